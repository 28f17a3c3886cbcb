package accountpages_test

import (
	"errors"
	"strings"
	"testing"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix"
)

// TestSignedOutMeanwhile has somebody signed out between what a form asks for and what is done: nothing is.
func TestSignedOutMeanwhile(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		_, device := s.whoami(alice.Token)
		cookie, err := s.Accounts.SignIn(t.Context(), "alice", password, "")
		if err != nil {
			t.Fatal(err)
		}
		b, ok, err := s.Accounts.Browser(t.Context(), cookie)
		if err != nil || !ok {
			t.Fatalf("nobody is signed in: %v", err)
		}
		if err := s.Accounts.SignOut(t.Context(), cookie); err != nil {
			t.Fatal(err)
		}
		for name, do := range map[string]func() error{
			"rename a device": func() error { return s.Accounts.RenameDevice(t.Context(), b, device, "stolen") },
			"end a device":    func() error { return s.Accounts.EndDevice(t.Context(), b, device) },
			"remove an email": func() error { return s.Accounts.RemoveEmail(t.Context(), b, "alice@example.org") },
			"unlink":          func() error { return s.Accounts.Unlink(t.Context(), b, "x", "y") },
			"link":            func() error { return s.Accounts.Link(t.Context(), b, account.External{Issuer: "x", Subject: "y"}) },
		} {
			refused, ok := errors.AsType[mautrix.RespError](do())
			if !ok || refused.ErrCode != "M_FORBIDDEN" || !strings.Contains(refused.Err, "signed out") {
				t.Errorf("%s: got %v", name, refused)
			}
		}
		if user, _ := s.whoami(alice.Token); user != alice.ID {
			t.Error("the device is gone")
		}
	})
}

// TestWords looks at what people are told.
func TestWords(t *testing.T) {
	for text, want := range map[string]string{"": "", "No": "No.", "No.": "No.", "Sure?": "Sure?"} {
		if got := httpapi.Sentence(text); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	provider := newIDP(t)
	here(t, func(s *site) {
		s.Register("alice")
		b := s.browser()
		b.visit("/_causeway/account/register").form("/_causeway/account/register").
			send("username=alice", "password="+password, "password2="+password).want(400, ">This name is taken.<", `id="username-problem"`)
		b.visit("/_causeway/account/sso?redirectUrl=javascript:x").want(400, "an address to go back to that cannot be used: no application is reached by the scheme javascript.")
	}, provider.provider("id"))
}
