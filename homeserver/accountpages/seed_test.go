package accountpages

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"causeway/homeserver/httpapi"
)

// TestPlantedSeed has somebody else set what the secrets for mails are made of.
func TestPlantedSeed(t *testing.T) {
	visitWith := func(session, seed string) *visit {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		p := &Pages{cookie: "causeway"}
		r.AddCookie(&http.Cookie{Name: p.cookie + "_mail", Value: seed})
		return &visit{Request: &httpapi.Request{Request: r}, w: httptest.NewRecorder(), pages: p, cookie: session}
	}
	attacker, victim := visitWith("cwb_attacker", ""), visitWith("cwb_victim", "")
	secret := victim.secretFor("account")
	attacker.carrySeed("known")
	carried := (&http.Response{Header: attacker.w.Header()}).Cookies()[0].Value
	if visitWith("cwb_attacker", carried).mailSeed() != "known" {
		t.Error("it is not carried")
	}
	for _, planted := range []string{carried, "known", "known.", ".", ""} {
		if visitWith("cwb_victim", planted).secretFor("account") != secret {
			t.Errorf("%q counts in another session", planted)
		}
	}
}
