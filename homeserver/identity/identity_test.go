package identity_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
	"causeway/homeserver/identityapi"
	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// bench is a built-in service of the server "hs.example", at a URL, by a clock of its own.
type bench struct {
	*identity.Service
	t    *testing.T
	site *httptest.Server
	key  *event.Key // of the homeserver

	mu       sync.Mutex // guards the rest
	now      time.Time
	redeemed []identity.SignedInvite
	fault    error
}

func newBench(t *testing.T, db *store.DB) *bench {
	b := &bench{t: t, now: time.UnixMilli(1_800_000_000_000)}
	b.key = &event.Key{ServerName: "hs.example", KeyID: "ed25519:hs", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	clock := func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}
	config := mail.DefaultConfig()
	config.Host, config.From = "127.0.0.1", "matrix@hs.example"
	post := mail.New(mail.Options{Config: config, ServerName: "hs.example", DB: db, Now: clock})
	var handler http.Handler
	b.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(b.site.Close)
	threepids := threepid.New(threepid.Options{DB: db, Mail: post, ServerName: "hs.example", PublicURL: b.site.URL, Now: clock})
	b.Service = identity.New(identity.Options{
		Config: identity.DefaultConfig(), ServerName: "hs.example", PublicURL: b.site.URL, DB: db, Mail: post, Threepids: threepids, Now: clock,
		OpenID: func(_ context.Context, server, token string) (id.UserID, error) {
			return id.UserID("@" + token + ":" + server), nil
		},
		Keys: func(_ context.Context, server, keyID string) (ed25519.PublicKey, bool) {
			return b.key.Private.Public().(ed25519.PublicKey), server == b.key.ServerName && keyID == b.key.KeyID
		},
		Redeem: func(_ context.Context, in identity.SignedInvite) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.redeemed = append(b.redeemed, in)
			return b.fault
		},
	})
	handler = httpapi.NewMux((&identityapi.API{Identity: b.Service, Threepids: threepids}).Routes(), httpapi.Options{})
	return b
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) token(localpart string) string {
	b.t.Helper()
	token, err := b.Register(b.t.Context(), identity.OpenIDToken{AccessToken: localpart, MatrixServerName: "hs.example"})
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// validate returns the session in which a user has validated an address.
func (b *bench) validate(user id.UserID, email string) string {
	b.t.Helper()
	one := int64(1)
	out, err := b.Threepids.RequestToken(b.t.Context(), threepid.TokenRequest{Secret: "s", Email: email, SendAttempt: &one, Medium: mail.Email, Purpose: threepid.Identity, User: user, Requester: "x"})
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.DB.Write(b.t.Context(), func(tx *store.Tx) error {
		session, err := tx.ThreepidSession(out.SID)
		if err != nil {
			return err
		}
		session.ValidatedTS = b.Now().UnixMilli()
		return tx.UpdateThreepidSession(session)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.SID
}

func codeOf(err error) string {
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return refused.ErrCode
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// The pepper changes every day, and with it the hash of each address that is published.
func TestPepperRotates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		alice := id.UserID("@alice:hs.example")
		if _, _, err := b.Bind(t.Context(), alice, b.validate(alice, "alice@example.org"), "s", alice); err != nil {
			t.Fatal(err)
		}
		gateway := identity.NewRemoteGateway(b.site.URL, b.key, nil)
		token := b.token("bob")
		first, err := b.HashDetails(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := b.HashDetails(t.Context()); err != nil || again.Pepper != first.Pepper {
			t.Errorf("the pepper was %q, and is %q (%v)", first.Pepper, again.Pepper, err)
		}
		for day := range 3 {
			if user, err := gateway.Find(t.Context(), b.site.URL, token, "@bob:hs.example", "email", "Alice@example.org"); err != nil || user != alice {
				t.Errorf("day %d: found %q (%v)", day, user, err)
			}
			b.pass(25 * time.Hour)
		}
		now, err := b.HashDetails(t.Context())
		if err != nil || now.Pepper == first.Pepper {
			t.Errorf("the pepper is the old one (%v)", err)
		}
		if _, err := b.Lookup(t.Context(), identity.LookupRequest{Algorithm: "sha256", Pepper: first.Pepper, Addresses: []string{"x"}}); codeOf(err) != "M_INVALID_PEPPER" {
			t.Errorf("by the old pepper: %v", err)
		}
		b.PlainLookup = true
		found, err := b.Lookup(t.Context(), identity.LookupRequest{Algorithm: "none", Pepper: now.Pepper, Addresses: []string{"ALICE@example.org email", "alice@example.org", "x email", "alice@example.org fax"}})
		if err != nil || len(found) != 1 || found["ALICE@example.org email"] != alice {
			t.Errorf("plain: got %v (%v)", found, err)
		}
		if _, err := b.Lookup(t.Context(), identity.LookupRequest{Algorithm: "sha256", Pepper: now.Pepper, Addresses: make([]string, 1001)}); codeOf(err) != "M_INVALID_PARAM" {
			t.Errorf("too many at once: %v", err)
		}
	})
}

// A homeserver that works with a service elsewhere binds, finds, invites and unbinds by it, and by no other.
func TestRemoteGateway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		g := identity.NewRemoteGateway(b.site.URL+"/", b.key, nil)
		alice, token := id.UserID("@alice:hs.example"), b.token("alice")
		host := strings.TrimPrefix(b.site.URL, "http://")
		sid := b.validate(alice, "alice@example.org")
		for _, c := range []struct{ name, server, token, secret, want string }{
			{"another service", "evil.example", token, "s", "M_SERVER_NOT_TRUSTED"},
			{"no token", host, "x", "s", "M_FORBIDDEN"},
			{"another's token", host, b.token("bob"), "s", "M_FORBIDDEN"},
			{"another secret", host, token, "x", "M_NO_VALID_SESSION"},
			{"bound", host, token, "s", ""},
		} {
			medium, address, at, err := g.Bind(t.Context(), c.server, c.token, alice, sid, c.secret)
			if got := codeOf(err); got != c.want {
				t.Errorf("%s: got %q, want %q", c.name, got, c.want)
			}
			if c.want == "" && (medium != "email" || address != "alice@example.org" || at != host) {
				t.Errorf("%s: got %s %s at %s", c.name, medium, address, at)
			}
		}
		if user, err := g.Find(t.Context(), host, b.token("bob"), "@bob:hs.example", "email", "alice@example.org"); err != nil || user != alice {
			t.Errorf("found %q (%v)", user, err)
		}
		stored, err := g.Store(t.Context(), token, identity.InviteRequest{Medium: "email", Address: "carol@example.org", RoomID: "!r:hs.example", Sender: alice})
		if err != nil || stored.Token == "" || len(stored.PublicKeys) != 2 || stored.DisplayName != "c...@e..." {
			t.Errorf("stored %+v (%v)", stored, err)
		}
		if _, err := g.Store(t.Context(), token, identity.InviteRequest{Medium: "email", Address: "alice@example.org", RoomID: "!r:hs.example", Sender: alice}); codeOf(err) != "M_THREEPID_IN_USE" {
			t.Errorf("an invitation of who is known: %v", err)
		}
		if ok, err := g.Unbind(t.Context(), host, "@alice:evil.example", "email", "alice@example.org"); ok || err != nil {
			t.Errorf("for a user of another server: %t, %v", ok, err)
		}
		if ok, err := g.Unbind(t.Context(), host, alice, "email", "alice@example.org"); !ok || err != nil {
			t.Errorf("unbind: %t, %v", ok, err)
		}
		if user, err := g.Find(t.Context(), host, token, alice, "email", "alice@example.org"); err != nil || user != "" {
			t.Errorf("found %q after that (%v)", user, err)
		}
		b.site.Close()
		if _, err := g.Find(t.Context(), host, token, alice, "email", "alice@example.org"); codeOf(err) != "M_CONNECTION_FAILED" {
			t.Errorf("the service is gone: %v", err)
		}
	})
}

// An invitation that could not be delivered is tried again, by another process too; one that is refused is void.
func TestInvitationsAreDelivered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		alice := id.UserID("@alice:hs.example")
		invite := func(address string) {
			_, err := b.StoreInvite(t.Context(), alice, identity.InviteRequest{Medium: "email", Address: address, RoomID: "!r:hs.example", Sender: alice, SenderName: "Buy at http://evil.example"})
			if err != nil {
				t.Fatal(err)
			}
		}
		claim := func(user id.UserID, address string) {
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return b.Claim(tx, user, "email", address) }); err != nil {
				t.Fatal(err)
			}
		}
		count := func() int {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.redeemed)
		}
		look := func() {
			if err := b.Deliver(t.Context()); err != nil {
				t.Error(err)
			}
		}
		invite("bob@example.org")
		look()
		if count() != 0 {
			t.Error("delivered to nobody")
		}
		b.fault = errors.New("the room is busy")
		claim("@bob:hs.example", "bob@example.org")
		look()
		if count() == 0 {
			t.Fatal("not tried")
		}
		before := count()
		look()
		if count() != before {
			t.Error("tried again at once")
		}
		b.fault = nil
		b.pass(2 * time.Minute)
		look()
		before = count()
		last := b.redeemed[before-1]
		if last.User != "@bob:hs.example" || last.Sender != alice || last.RoomID != "!r:hs.example" || last.Token == "" {
			t.Errorf("delivered %+v", last)
		}
		key, err := b.PublicKey(t.Context(), "ed25519:0")
		if err != nil {
			t.Fatal(err)
		}
		if !event.SignedByAny(last.Signed, []ed25519.PublicKey{decodeKey(t, key)}, 10) {
			t.Errorf("the signature does not hold: %s", last.Signed)
		}
		b.pass(24 * time.Hour)
		look()
		if count() != before {
			t.Error("delivered again")
		}
		b.fault = mautrix.RespError{StatusCode: 403, ErrCode: "M_FORBIDDEN"}
		invite("carol@example.org")
		claim("@carol:hs.example", "carol@example.org")
		look()
		before = count()
		b.pass(24 * time.Hour)
		look()
		if count() != before {
			t.Error("what was refused is tried again")
		}
		var text string
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			due, err := tx.OutboxDue(b.Now().UnixMilli(), 10)
			for _, m := range due {
				text += m.Message
			}
			return err
		}); err != nil || strings.Contains(text, "evil") || !strings.Contains(text, "@alice:hs.example") {
			t.Errorf("the invitations say %s (%v)", text, err)
		}
	})
}

// Of many to whom an address belongs at the same moment, one gets the invitation that waits for it, once.
func TestOneGetsTheInvitation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		alice := id.UserID("@alice:hs.example")
		if _, err := b.StoreInvite(t.Context(), alice, identity.InviteRequest{Medium: "email", Address: "x@example.org", RoomID: "!r:hs.example", Sender: alice}); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			all.Go(func() {
				if err := db.Write(t.Context(), func(tx *store.Tx) error {
					return b.Claim(tx, id.UserID("@"+name+":hs.example"), "email", "x@example.org")
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for range 2 {
			if err := b.Deliver(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if len(b.redeemed) != 1 {
			t.Errorf("delivered %+v", b.redeemed)
		}
	})
}

func decodeKey(t *testing.T, key string) ed25519.PublicKey {
	t.Helper()
	raw, err := base64.RawStdEncoding.DecodeString(key)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		t.Fatalf("%q is not a key: %v", key, err)
	}
	return raw
}

// FuzzXMatrix reads headers of strangers.
func FuzzXMatrix(f *testing.F) {
	f.Add(`origin="a",destination="b",key="ed25519:1",sig="c"`)
	f.Add(`origin=a,key="x\\"y",sig=`)
	f.Add(`="`)
	f.Fuzz(func(t *testing.T, fields string) {
		for name := range identity.ParseXMatrix(fields) {
			if strings.ContainsAny(name, "=") {
				t.Errorf("%q has the name %q", fields, name)
			}
		}
	})
}

// What a header says of one name is what is read of it, quoted or not.
func TestXMatrix(t *testing.T) {
	for fields, want := range map[string]string{
		`origin="a.b",key="ed25519:1"`: "a.b", `key=x, origin=a.b`: "a.b", `Origin = "a.b"`: "a.b", `key="x,origin=c", origin=a.b`: "a.b", `origin="a\".b"`: `a".b`,
	} {
		if got := identity.ParseXMatrix(fields)["origin"]; got != want {
			t.Errorf("%s: got %q, want %q", fields, got, want)
		}
	}
}

// A name that would be a link in a mail is left out, however it is written; others stay.
func TestShownName(t *testing.T) {
	for name, want := range map[string]string{
		"Tea": "Tea", "St. Mary's choir": "St. Mary's choir", "Mr. T": "Mr. T", "Q&A ...": "Q&A ...", "v1": "v1", "a\r\nBcc: b": "a Bcc: b", "\u202eabc": "abc",
		"win at evil.example": "", "WWW.EVIL.ORG/x": "", "https://evil": "", "a@b": "", "evil\uff0eexample": "", "evil\u3002example": "", "пример.рф": "", "x\u200b.y": "x .y",
		strings.Repeat("ä", 90): strings.Repeat("ä", 80) + "…",
	} {
		if got := identity.ShownName(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// What another service answers is not taken by a client for the end of its own session, nor for a redirect.
func TestRemoteRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{401, `{"errcode":"M_UNAUTHORIZED","error":"x"}`, "M_FORBIDDEN"}, {403, `{"errcode":"M_UNKNOWN_TOKEN","error":"x"}`, "M_FORBIDDEN"},
		{400, `{"errcode":"M_USER_LOCKED","error":"x","soft_logout":true}`, "M_FORBIDDEN"}, {403, `{"errcode":"M_TERMS_NOT_SIGNED","error":"x"}`, "M_TERMS_NOT_SIGNED"},
		{302, `{"errcode":"M_SESSION_EXPIRED","error":"x"}`, "M_UNKNOWN"}, {500, `oops`, "M_UNKNOWN"}, {200, `oops`, "M_BAD_JSON"},
		{200, `{"token":""}`, "M_BAD_JSON"},
	} {
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		g := identity.NewRemoteGateway(site.URL, &event.Key{ServerName: "hs.example", KeyID: "ed25519:hs", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}, nil)
		_, err := g.Store(t.Context(), "token", identity.InviteRequest{})
		var refused mautrix.RespError
		if !errors.As(err, &refused) || refused.ErrCode != c.want || refused.StatusCode < 400 || refused.StatusCode == 401 {
			t.Errorf("%d %s: got %v", c.status, c.body, err)
		}
		site.Close()
	}
}
