package account

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// TestOneProofOneToken has many requests come at the same moment with one session in which the user has proven who they are, and then as many
// logins with the one token that there is.
func TestOneProofOneToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice := Requester{UserID: createUser(t, s, "alice", "secret"), DeviceID: "D"}
		login(t, s, "alice", "secret", "D")
		_, err := s.GetLoginToken(ctx, alice, nil)
		var challenge *Challenge
		if !errors.As(err, &challenge) {
			t.Fatal(err)
		}
		page, err := s.CompleteFallback(ctx, typePassword, challenge.Session, "", FallbackAnswer{Password: "secret"})
		if err != nil || !page.Done || page.What != "let another device sign in" || page.User != "@alice:test" {
			t.Fatalf("%+v, %v", page, err)
		}
		var (
			many   sync.WaitGroup
			tokens = make(chan string, 10)
		)
		for range cap(tokens) {
			many.Go(func() {
				token, err := s.GetLoginToken(ctx, alice, &AuthData{Session: challenge.Session})
				if err == nil {
					tokens <- token.Token
				} else if !errors.As(err, new(*Challenge)) {
					t.Error(err)
				}
			})
		}
		many.Wait()
		if len(tokens) != 1 {
			t.Fatalf("%d tokens, want 1", len(tokens))
		}
		token := <-tokens
		var logins atomic.Int32
		for range 10 {
			many.Go(func() {
				if login, err := s.Login(ctx, LoginRequest{Type: typeToken, Token: token}); err == nil && login.UserID == alice.UserID {
					logins.Add(1)
				} else if codeOf(err) != "M_FORBIDDEN" {
					t.Error(err)
				}
			})
		}
		many.Wait()
		if n := logins.Load(); n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

// TestOneProofOneAccount has many requests come at the same moment with one session in which all was completed.
func TestOneProofOneAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, true)
		_, err := s.Register(ctx, RegisterRequest{Password: "p"})
		var challenge *Challenge
		if !errors.As(err, &challenge) {
			t.Fatal(err)
		}
		s.uia.completeAside(challenge.Session, typeDummy, "", s.now())
		var (
			many sync.WaitGroup
			made atomic.Int32
		)
		for range 10 {
			many.Go(func() {
				if _, err := s.Register(ctx, RegisterRequest{Password: "p", Auth: &AuthData{Session: challenge.Session}}); err == nil {
					made.Add(1)
				} else if !errors.As(err, new(*Challenge)) {
					t.Error(err)
				}
			})
		}
		many.Wait()
		if n := made.Load(); n != 1 {
			t.Errorf("%d accounts, want 1", n)
		}
	})
}
