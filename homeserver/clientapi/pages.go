package clientapi

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix"
)

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Parse(pagesText))

// page is what the templates of pages.html are given.
type page struct {
	Nonce string // of the Content-Security-Policy, for what is in the page
	account.FallbackPage
	Providers []pageLink // of m.login.sso
}

// pageLink is a link of a page.
type pageLink struct{ Name, URL string }

// writePage answers with a page, in which only what has the nonce is styled and run. It can be framed by nobody, is not kept, and tells other
// sites nothing of its address, which has the session in it. captcha is the address of the script that shows a captcha, "" for none.
func writePage(w http.ResponseWriter, status int, name string, p page, captcha string) error {
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	p.Nonce = base64.RawURLEncoding.EncodeToString(secret)
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, p); err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	policy := "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self'; " +
		"style-src 'nonce-" + p.Nonce + "'; script-src 'nonce-" + p.Nonce + "'"
	if captcha != "" {
		// The script of the service loads others, and shows what it has to show in a frame with styles of its own.
		policy = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'unsafe-inline'; img-src https:; " +
			"script-src 'nonce-" + p.Nonce + "' 'strict-dynamic'; connect-src " + origin(captcha) + "; frame-src https: " + origin(captcha)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	httpapi.SetPageHeaders(h, policy, "no-referrer")
	w.WriteHeader(status)
	_, err := w.Write(body.Bytes())
	return err
}

// origin is the scheme and the host of an address that was validated.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}

// refusedInBrowser shows people what is wrong with where they were sent, and tells programs.
func refusedInBrowser(w http.ResponseWriter, r *httpapi.Request, err error) error {
	refused, ok := errors.AsType[mautrix.RespError](err)
	if !ok || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return err
	}
	return writePage(w, refused.StatusCode, "refused", page{FallbackPage: account.FallbackPage{Problem: httpapi.Sentence(refused.Err)}}, "")
}
