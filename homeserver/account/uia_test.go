package account

import (
	"context"
	"errors"
	"strings"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

func TestStagesInOrder(t *testing.T) {
	op := operation{flows: []Flow{{Stages: []string{"a", "b"}}, {Stages: []string{"a", "c"}}, {Stages: []string{"d"}}}}
	tests := []struct {
		name      string
		completed []string
		stage     string
		next      bool
		complete  bool
	}{
		{"first", nil, "a", true, false},
		{"second is not first", nil, "b", false, false},
		{"second", []string{"a"}, "b", true, false},
		{"second of another flow", []string{"a"}, "c", true, false},
		{"flow of another start", []string{"a"}, "d", false, false},
		{"nothing after the end", []string{"a", "b"}, "c", false, true},
		{"short flow", []string{"d"}, "", false, true},
		{"unknown", nil, "x", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := op.next(test.completed, test.stage); got != test.next {
				t.Errorf("next: got %v, want %v", got, test.next)
			}
			if got := op.complete(test.completed); got != test.complete {
				t.Errorf("complete: got %v, want %v", got, test.complete)
			}
		})
	}
}

func TestUIASessions(t *testing.T) {
	u := newUIASessions()
	mine, other := operation{name: "password", user: "@alice:test"}, operation{name: "password", user: "@bob:test"}
	session := u.get(mine, "", 0)
	session.completed = []string{typePassword}
	u.put(mine, session, 0)
	for _, test := range []struct {
		name string
		op   operation
		now  int64
		want int
		same bool // the session
	}{
		{"same operation", mine, 1, 1, true},
		{"other user", other, 1, 0, false},
		{"other operation", operation{name: "deactivate", user: "@alice:test"}, 1, 0, false},
		{"of nobody", operation{name: opRegister}, 1, 0, false},
		{"expired", mine, uiaSessionMS + 1, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := u.get(test.op, session.id, test.now)
			if len(got.completed) != test.want || (got.id == session.id) != test.same {
				t.Errorf("got %+v, want %d completed", got, test.want)
			}
		})
	}
	if got := u.get(mine, "short", 1); got.id == "short" {
		t.Error("an id of the client's own making was taken")
	}
}

// TestStagesOnPages completes stages out of their order, and for sessions without end.
func TestStagesOnPages(t *testing.T) {
	u := newUIASessions()
	op := operation{flows: []Flow{{Stages: []string{typeCaptcha, typeTerms, typeRegistrationToken}}}}
	session := u.get(op, "", 0).id
	for i, step := range []struct {
		stage, token string
		want         int
	}{{typeTerms, "", 0}, {typeDummy, "", 0}, {typeCaptcha, "", 2}, {typeRegistrationToken, "token", 3}} {
		u.completeAside(session, step.stage, step.token, 0)
		if got := u.get(op, session, 1); len(got.completed) != step.want || got.token != step.token {
			t.Errorf("step %d: got %+v, want %d completed", i, got, step.want)
		}
	}
	if got := u.get(op, session, uiaSessionMS); len(got.completed) != 0 {
		t.Errorf("after their time: %+v", got)
	}
	for range maxUIASessions + 10 {
		id := u.get(operation{name: "x", user: "@alice:test"}, "", 0).id
		u.completeAside(id, typeTerms, "", 0)
	}
	if len(u.aside) != maxUIASessions || len(u.asked) != maxUIASessions {
		t.Errorf("got %d and %d, want %d", len(u.aside), len(u.asked), maxUIASessions)
	}
}

func TestUIASessionsAreBounded(t *testing.T) {
	u := newUIASessions()
	for range maxUIASessions + 10 {
		u.put(operation{}, u.get(operation{}, "", 0), 0)
	}
	if len(u.rows) != maxUIASessions {
		t.Errorf("got %d, want %d", len(u.rows), maxUIASessions)
	}
	u.put(operation{}, u.get(operation{}, "", 0), uiaSessionMS)
	if len(u.rows) != 1 {
		t.Errorf("got %d after all the others expired, want 1", len(u.rows))
	}
}

func TestChangePassword(t *testing.T) {
	ctx := context.Background()
	s := newService(storetest.New(t), false)
	createUser(t, s, "alice", "secret")
	createUser(t, s, "bob", "bobs")
	alice := Requester{UserID: "@alice:test", DeviceID: "A"}
	proof := func(user, password string) *AuthData {
		return &AuthData{Type: typePassword, Identifier: &Identifier{Type: "m.id.user", User: user}, Password: password}
	}
	for _, test := range []struct {
		name string
		who  Requester
		in   PasswordRequest
		want string
	}{
		{"no auth", alice, PasswordRequest{NewPassword: "new"}, "401 "},
		{"wrong password", alice, PasswordRequest{NewPassword: "new", Auth: proof("alice", "x")}, "401 M_FORBIDDEN"},
		{"another user's proof", alice, PasswordRequest{NewPassword: "new", Auth: proof("bob", "bobs")}, "M_FORBIDDEN"},
		{"proof without a user", alice, PasswordRequest{NewPassword: "new", Auth: &AuthData{Type: typePassword}}, "M_MISSING_PARAM"},
		{"dummy", alice, PasswordRequest{NewPassword: "new", Auth: &AuthData{Type: typeDummy}}, "401 M_FORBIDDEN"},
		{"no new password", alice, PasswordRequest{Auth: proof("alice", "secret")}, "M_MISSING_PARAM"},
		{"application service", Requester{UserID: "@alice:test", ByAppService: true}, PasswordRequest{NewPassword: "new"}, "M_FORBIDDEN"},
		{"right", alice, PasswordRequest{NewPassword: "new", Auth: proof("@alice:test", "secret")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := s.ChangePassword(ctx, test.who, test.in); codeOf(err) != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	login(t, s, "alice", "new", "")
	if _, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret"}); codeOf(err) != "M_FORBIDDEN" {
		t.Errorf("login with the old password: got %v, want M_FORBIDDEN", err)
	}
}

// TestProofByOldPassword completes a stage before the password changes, and comes with it afterwards: it counts no more, wherever it was
// completed.
func TestProofByOldPassword(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, keep := context.Background(), false
		s := newService(db, false)
		alice := Requester{UserID: createUser(t, s, "alice", "secret"), DeviceID: "A"}
		login(t, s, "alice", "secret", "A")
		sessionOf := func(auth *AuthData) string {
			t.Helper()
			_, err := s.Confirm(ctx, alice, "an operation", auth)
			c, ok := errors.AsType[*Challenge](err)
			if !ok {
				t.Fatalf("got %v, want a challenge", err)
			}
			return c.Session
		}
		byAPI, onPage := sessionOf(nil), sessionOf(nil)
		if _, err := s.Confirm(ctx, alice, "an operation", &AuthData{Session: byAPI, Type: typePassword, User: "alice", Password: "secret"}); err != nil {
			t.Fatal(err)
		}
		if page, err := s.CompleteFallback(ctx, typePassword, onPage, "en", FallbackAnswer{Password: "secret"}); err != nil || !page.Done {
			t.Fatal(page, err)
		}
		err := s.ChangePassword(ctx, alice, PasswordRequest{NewPassword: "new", LogoutDevices: &keep, Auth: passwordProof("@alice:test", "secret")})
		if err != nil {
			t.Fatal(err)
		}
		for name, session := range map[string]string{"by a request": byAPI, "on a page": onPage} {
			if _, err := s.Confirm(ctx, alice, "an operation", &AuthData{Session: session}); codeOf(err) != "401 " {
				t.Errorf("%s: got %v, want another challenge", name, err)
			}
			if _, err := s.Confirm(ctx, alice, "an operation", &AuthData{Session: session, Type: typePassword, User: "alice", Password: "new"}); err != nil {
				t.Errorf("%s, and again with the new password: %v", name, err)
			}
		}
	})
}

// TestProofsAreSmall names a session of an address by more text than is remembered.
func TestProofsAreSmall(t *testing.T) {
	s := newService(storetest.New(t), false)
	alice := Requester{UserID: createUser(t, s, "alice", "secret"), DeviceID: "A"}
	err := s.AddThreepid(context.Background(), alice, AddThreepidRequest{SID: strings.Repeat("x", maxSIDBytes+1), Secret: "s"})
	if codeOf(err) != "M_INVALID_PARAM" || len(s.uia.asked) != 0 {
		t.Errorf("got %v, and %d operations are remembered", err, len(s.uia.asked))
	}
}

// TestSessionIsNotSwapped: somebody has the page of a session before them, and whoever has got hold of their token asks for something else in
// the same session. The password that they enter then is for what the page says.
func TestSessionIsNotSwapped(t *testing.T) {
	ctx := context.Background()
	s := newService(storetest.New(t), false)
	alice := Requester{UserID: createUser(t, s, "alice", "secret"), DeviceID: "A"}
	mallory := Requester{UserID: createUser(t, s, "mallory", "hers"), DeviceID: "M"}
	ask := func(who Requester, what, session string) (string, error) {
		_, err := s.Confirm(ctx, who, what, &AuthData{Session: session})
		if c, ok := errors.AsType[*Challenge](err); ok {
			return c.Session, err
		}
		return "", err
	}
	session, _ := ask(alice, "rename a device", "")
	if page, err := s.Fallback(typePassword, session, "en"); err != nil || page.What != "rename a device" {
		t.Fatal(page, err)
	}
	swapped, _ := ask(alice, "deactivate your account", session)
	others, _ := ask(mallory, "rename a device", session)
	if swapped == session || others == session || swapped == "" || others == "" {
		t.Errorf("the session %s is that of other operations, too: %s, %s", session, swapped, others)
	}
	if page, err := s.CompleteFallback(ctx, typePassword, session, "en", FallbackAnswer{Password: "secret"}); err != nil || !page.Done || page.What != "rename a device" {
		t.Fatal(page, err)
	}
	for _, id := range []string{session, swapped} {
		if _, err := ask(alice, "deactivate your account", id); codeOf(err) != "401 " {
			t.Errorf("in session %s: %v", id, err)
		}
	}
	if _, err := ask(alice, "rename a device", session); err != nil {
		t.Errorf("what the page said: %v", err)
	}
}
