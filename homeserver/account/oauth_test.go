package account

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// TestRevoke revokes tokens of a device, live ones and old ones.
func TestRevoke(t *testing.T) {
	const stays, signedOut, gone = "stays", "is signed out", "is gone"
	tests := []struct {
		name  string
		token func(old, live Tokens) string
		later int64 // when it is revoked, in milliseconds
		want  string
	}{
		{"a used refresh token", func(old, _ Tokens) string { return old.RefreshToken }, 0, signedOut},
		{"an expired refresh token", func(_, live Tokens) string { return live.RefreshToken }, 10_000, stays},
		{"an expired access token", func(_, live Tokens) string { return live.AccessToken }, 1000, stays},
		{"an unknown token", func(Tokens, Tokens) string { return "x" }, 0, stays},
		{"a refresh token", func(_, live Tokens) string { return live.RefreshToken }, 0, gone},
		{"an access token", func(_, live Tokens) string { return live.AccessToken }, 0, gone},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.cfg.Lifetimes = Lifetimes{AccessMS: 1000, RefreshMS: 10_000}
		now := int64(1_000_000)
		s.now = func() int64 { return now }
		alice := createUser(t, s, "alice", "secret")
		for _, test := range tests {
			old, err := s.BeginOAuth(ctx, grantFor(alice, "D"))
			if err != nil {
				t.Fatal(err)
			}
			live, err := s.Refresh(ctx, old.RefreshToken, "client")
			if err == nil {
				_, err = s.Identify(ctx, live.AccessToken, "", "")
			}
			if err != nil {
				t.Fatal(err)
			}
			now += test.later
			if err := s.Revoke(ctx, test.token(old, live.Tokens)); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			now -= test.later
			got := stays
			if _, err := s.Identify(ctx, live.AccessToken, "", ""); err != nil {
				got = signedOut
			}
			if _, err := s.Device(ctx, alice, "D"); codeOf(err) == "M_NOT_FOUND" {
				got = gone
			}
			if got != test.want {
				t.Errorf("%s: the device %s, want that it %s", test.name, got, test.want)
			}
		}
	})
}
