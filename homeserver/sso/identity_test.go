package sso

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestVerifiedEmail believes email_verified of the claim that it is about.
func TestVerifiedEmail(t *testing.T) {
	claims := map[string]any{"email": "a@example.org", "upn": "b@example.org", "email_verified": true}
	for claim, want := range map[string]string{"": "a@example.org", "upn": "", NoClaim: ""} {
		p := &provider{Provider: Provider{EmailClaim: claim}.withDefaults()}
		if got := p.identity("x", claims, flow{}).Email; got != want {
			t.Errorf("%q: got %q, want %q", claim, got, want)
		}
	}
	claims["email_verified"] = false
	p := &provider{Provider: Provider{}.withDefaults()}
	if got := p.identity("x", claims, flow{}).Email; got != "" {
		t.Errorf("got %q, which nobody has verified", got)
	}
}

// TestAsked has a provider say when it asked somebody who was to be asked anew.
func TestAsked(t *testing.T) {
	begun := time.Now()
	again := flow{Expires: begun.Add(Lifetime).UnixMilli(), For: Purpose{Again: true}}
	at := func(ts time.Time) map[string]any { return map[string]any{"auth_time": float64(ts.Unix())} }
	for name, test := range map[string]struct {
		claims  map[string]any
		assumed bool
		want    string
	}{
		"just now":            {at(begun), false, ""},
		"an hour ago":         {at(begun.Add(-time.Hour)), false, "did not ask"},
		"not said":            {nil, false, "The ID does not say when"},
		"not said, assumed":   {nil, true, ""},
		"long ago, all asked": {at(begun.Add(-time.Hour)), true, "did not ask"},
	} {
		p := &provider{Provider: Provider{Name: "The ID", AssumeLoginPrompt: test.assumed}}
		err := p.checkAsked(test.claims, again)
		if err == nil && test.want == "" {
			if got := p.identity("x", test.claims, again).AuthTS; got < begun.Add(-time.Second).UnixMilli() {
				t.Errorf("%s: the proof is of %d", name, got)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if shown, ok := errors.AsType[*PageError](p.wrong(err)); !ok || strings.Contains(test.want, "The ID") != strings.Contains(shown.Message, "auth_time") {
			t.Errorf("%s: people are told %v", name, shown)
		}
	}
	// Who was let pass has proven nothing.
	p := &provider{Provider: Provider{AssumeLoginPrompt: true}}
	if got := p.identity("x", nil, flow{Expires: again.Expires}).AuthTS; got != 0 {
		t.Errorf("got a proof of %d", got)
	}
}
