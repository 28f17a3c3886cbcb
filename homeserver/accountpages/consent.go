package accountpages

import (
	"context"
	"crypto/hmac"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"
	"causeway/homeserver/sso"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// consentPage is what a client asks for.
type consentPage struct {
	ClientName, ClientHost string
	To                     string // where the answer goes, "" for nowhere
	Open                   bool   // it can be read on the way there
	TOSURI, PolicyURI      string
	DeviceID               id.DeviceID
	Replaces               string // the name of the device of that id, which there is already; "" for none
	UserCode               string
	Seal                   string // of what is asked for
}

// showConsent is GET authorize: the authorization endpoint (RFC 6749, section 3.1).
func (p *Pages) showConsent(ctx context.Context, v *visit) error {
	a, err := p.authorization(ctx, v)
	if a == nil || err != nil {
		return err
	}
	page, err := p.consentPage(ctx, v, a)
	if err != nil {
		return err
	}
	// Browsers apply form-action to where a form's answer leads, too.
	v.w.Header().Set("Content-Security-Policy", leadingTo(a.RedirectURI))
	v.show(http.StatusOK, "consent", page)
	return nil
}

// authorization reads the request. It returns nil where something else than the question was answered already: the browser is taken to
// the client with an error, or asks who is there.
func (p *Pages) authorization(ctx context.Context, v *visit) (*oauth.Authorization, error) {
	a, err := p.OAuth.Authorization(ctx, v.URL.RawQuery)
	if refused, ok := errors.AsType[*oauth.RedirectError](err); ok {
		return nil, p.refuse(ctx, v, refused)
	}
	switch {
	case err != nil:
		return nil, err
	case v.signedIn && (!a.Login || v.browser.Recent):
		return a, nil
	case a.Create && !v.signedIn:
		return nil, p.askSignUp(ctx, v, v.here())
	}
	return nil, p.askSignInAnew(ctx, v, v.here(), a.ClientName, v.signedIn || a.Login)
}

// refusedPage says that a request is not in order, and where one gets back to the client.
type refusedPage struct {
	ClientName, To string
	Back           template.URL
}

// refuse takes an error to the client: at once from who uses it, and when they say so from anybody else.
func (p *Pages) refuse(ctx context.Context, v *visit, refused *oauth.RedirectError) error {
	if v.signedIn {
		if used, err := p.OAuth.Uses(ctx, v.browser, refused); err != nil {
			return err
		} else if used {
			return v.goTo(refused.URL)
		}
	}
	v.show(http.StatusBadRequest, "refused", refusedPage{
		ClientName: refused.ClientName, To: destination(refused.URL),
		Back: template.URL(refused.URL), // of a scheme that clients may register, which are none that run scripts
	})
	return nil
}

func (p *Pages) consentPage(ctx context.Context, v *visit, a *oauth.Authorization) (consentPage, error) {
	replaces, err := p.replaced(ctx, v.browser, a.DeviceID)
	return consentPage{
		ClientName: a.ClientName, ClientHost: a.ClientHost, To: destination(a.RedirectURI), Open: open(a.RedirectURI), TOSURI: a.TOSURI, PolicyURI: a.PolicyURI,
		DeviceID: a.DeviceID, Replaces: replaces, Seal: v.seal(a.Shown()),
	}, err
}

// replaced returns the name of a device that a user has already, "" for none.
func (p *Pages) replaced(ctx context.Context, b account.Browser, device id.DeviceID) (string, error) {
	d, err := p.Accounts.Session(ctx, b, device)
	if missing, ok := errors.AsType[mautrix.RespError](err); ok && missing.StatusCode == http.StatusNotFound {
		return "", nil
	}
	if err == nil && d.DisplayName == "" {
		return "a device without a name", nil
	}
	return d.DisplayName, err
}

// consent is POST authorize: what the user says, to what the form with the seal was shown for.
func (p *Pages) consent(ctx context.Context, v *visit) error {
	a, err := p.authorization(ctx, v)
	if a == nil || err != nil {
		return err
	}
	if !hmac.Equal([]byte(v.PostForm.Get("seal")), []byte(v.seal(a.Shown()))) {
		return errOtherForm
	}
	v.w.Header().Set("Content-Security-Policy", leadingTo(a.RedirectURI))
	var to string
	switch v.PostForm.Get("answer") {
	case "allow":
		to, err = p.OAuth.Approve(ctx, a, v.browser)
	case "deny":
		to, err = p.OAuth.Deny(a)
	default:
		err = httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "The form does not say yes or no.")
	}
	if err != nil {
		return err
	}
	return v.goToClient(to)
}

// destination is what people are told of where an answer goes: the host, or the application of the address's scheme.
func destination(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	switch {
	case u.Scheme == "http" && sso.Loopback(u.Hostname()):
		return "an application on this device (" + u.Host + ")"
	case u.Scheme == "https", u.Scheme == "http":
		return u.Host
	}
	return "an application on this device (" + u.Scheme + ")"
}

// open tells whether what is sent to an address can be read on the way.
func open(uri string) bool {
	u, err := url.Parse(uri)
	return err != nil || u.Scheme == "http" && !sso.Loopback(u.Hostname())
}

// goOnPage leads to a client.
type goOnPage struct {
	To      string
	Address template.URL
}

// goToClient takes a browser to a client: by a page, where the policy of the page before cannot name it.
func (v *visit) goToClient(address string) error {
	if source(address) != "" {
		return v.goTo(address)
	}
	// The scheme is one of those that clients may have, which are none that run scripts.
	v.show(http.StatusOK, "goon", goOnPage{To: destination(address), Address: template.URL(address)})
	return nil
}

// leadingTo is the Content-Security-Policy of a page whose forms may lead to an address.
func leadingTo(address string) string {
	return contentPolicy(strings.TrimSpace("'self' " + source(address)))
}

// source is a source expression of the Content-Security-Policy for an address, "" where it has none, as for IPv6 addresses.
func source(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	case strings.HasPrefix(u.Host, "["):
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}
