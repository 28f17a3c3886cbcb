package accountpages

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/sso"
)

// ssoRoutes are those of signing in by providers.
func (p *Pages) ssoRoutes() []pageRoute {
	if p.SSO == nil {
		return nil
	}
	return []pageRoute{
		{sso.PathChoose, p.showChoice, p.choosePassword, httpapi.ClassLogin, httpapi.ClassRead},
		{sso.PathStart, p.startSSO, nil, "", httpapi.ClassRead},
		{sso.PathBack + "{provider}", p.backFromSSO, nil, "", httpapi.ClassLogin},
		{sso.PathContinue, p.showArrival, p.answerArrival, httpapi.ClassLogin, httpapi.ClassRead},
		{pathLinked, p.showLinked, p.unlink, httpapi.ClassLogin, httpapi.ClassRead},
	}
}

// providerButton leads to a provider.
type providerButton struct{ Name, To string }

// buttons lead to the providers, with more parameters ("name", "value", ...) for what.
func (v *visit) buttons(params ...string) []providerButton {
	if v.pages.SSO == nil {
		return nil
	}
	var all []providerButton
	for _, provider := range v.pages.SSO.Providers() {
		all = append(all, providerButton{Name: provider.Name, To: v.startAddress(provider.ID, params...)})
	}
	return all
}

// startAddress is where somebody sets out for a provider, at the address of this server to which the provider sends them back. The seal shows
// that a page of this server has led there, and not a link from anywhere: forms cannot, as browsers apply form-action to where their answers
// lead, and nobody knows where providers lead people.
func (v *visit) startAddress(provider string, params ...string) string {
	query := url.Values{"provider": {provider}}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] != "" {
			query.Set(params[i], params[i+1])
		}
	}
	v.token() // a browser without a cookie gets one
	query.Set("seal", v.sealOf(query))
	return v.pages.public + sso.PathStart + "?" + query.Encode()
}

func (v *visit) sealOf(query url.Values) string { return v.seal("start:" + query.Encode()) }

// pressed tells whether a page of this server that was shown to this browser has led to where it sets out.
func (v *visit) pressed() bool {
	query := v.URL.Query()
	seal := query.Get("seal")
	query.Del("seal")
	return v.cookie != "" && hmac.Equal([]byte(seal), []byte(v.sealOf(query)))
}

// stillThereButtons are the buttons by which whoever has no password shows that they are still there.
func (v *visit) stillThereButtons() []providerButton {
	if v.pages.SSO == nil || !v.signedIn || v.browser.Password {
		return nil
	}
	return v.buttons("next", v.shownAt(), "again", "yes")
}

// choicePage is for who is to sign in to a client.
type choicePage struct {
	To        string // what people are told of where the client is
	Providers []providerButton
	Redirect  string // the address of the client
	Action    string
	Password  string // the address of the page for those who have a password
}

// redirectParam returns the address of the client that a request names.
func redirectParam(v *visit) (*url.URL, error) {
	address := v.Query("redirectUrl")
	if v.Method == http.MethodPost {
		address = v.PostForm.Get("redirectUrl")
	}
	client, err := sso.CheckRedirect(address)
	if err != nil {
		return nil, httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "%s", sso.RedirectProblem(err))
	}
	return client, nil
}

// showChoice lets people choose how to sign in to a client. Where there is but one way, it is taken.
func (p *Pages) showChoice(ctx context.Context, v *visit) error {
	client, err := redirectParam(v)
	if err != nil {
		return err
	}
	if v.Query("password") != "" {
		return p.showPasswordChoice(ctx, v, client)
	}
	action := v.Query("action")
	providers := v.buttons("redirectUrl", client.String(), "action", action)
	if len(providers) == 1 && !p.SSO.Preferred() && v.Query("choose") == "" {
		return v.goTo(providers[0].To)
	}
	query := url.Values{"redirectUrl": {client.String()}, "action": {action}, "password": {"yes"}}
	v.show(http.StatusOK, "ssochoice", choicePage{
		To: destination(client.String()), Providers: providers, Redirect: client.String(), Action: action, Password: sso.PathChoose + "?" + query.Encode(),
	})
	return nil
}

// clientPage asks whether somebody wants to be signed in to a client.
type clientPage struct {
	To       string // what people are told of where the client is
	Open     bool   // what is sent there can be read on the way
	User     string
	Redirect string // of those who are signed in here; "" for who came from a provider
	ID       string // of who came from a provider
}

// showPasswordChoice is for those who sign in to a client as who they are on these pages.
func (p *Pages) showPasswordChoice(ctx context.Context, v *visit, client *url.URL) error {
	switch {
	case v.signedIn:
	case v.Query("action") == "register":
		return p.askSignUp(ctx, v, v.here())
	default:
		return p.askSignIn(ctx, v, v.here(), destination(client.String()))
	}
	v.mayLeadTo(client)
	v.show(http.StatusOK, "ssoclient", clientPage{To: destination(client.String()), Open: open(client.String()), User: string(v.browser.UserID), Redirect: client.String()})
	return nil
}

// mayLeadTo lets the forms of a page lead to a client: browsers apply form-action to where a form's answer leads, too.
func (v *visit) mayLeadTo(client *url.URL) {
	v.w.Header().Set("Content-Security-Policy", leadingTo(client.String()))
}

// choosePassword is the answer to that.
func (p *Pages) choosePassword(ctx context.Context, v *visit) error {
	client, err := redirectParam(v)
	if err != nil {
		return err
	}
	if !v.signedIn {
		return errOtherForm
	}
	v.mayLeadTo(client)
	token, err := p.Accounts.BrowserLoginToken(ctx, v.browser)
	if err != nil {
		return err
	}
	return v.goToClient(sso.WithLoginToken(client, token))
}

// startSSO sends somebody to a provider. What they come back for is asked once they are back: this address may be a link from anywhere.
func (p *Pages) startSSO(ctx context.Context, v *visit) error {
	id := v.Query("provider")
	why, err := p.purpose(ctx, v, id)
	if err != nil {
		return err
	}
	if why == nil {
		return nil // asked to sign in
	}
	departure, err := p.SSO.Begin(ctx, id, *why)
	if err != nil {
		return err
	}
	v.forgetOlder(len(departure.Sealed))
	v.keep(departure.ID, departure.Sealed)
	return v.goTo(departure.To)
}

// purpose is what somebody is sent to a provider for; nil for who was asked to sign in first.
func (p *Pages) purpose(ctx context.Context, v *visit, provider string) (*sso.Purpose, error) {
	if session := v.Query("session"); session != "" {
		if _, err := p.Accounts.SSOStage(ctx, session); err != nil {
			return nil, err
		}
		return &sso.Purpose{Kind: sso.ForStage, Session: session, Again: true}, nil
	}
	if v.Query("redirectUrl") != "" {
		client, err := redirectParam(v)
		if err != nil {
			return nil, err
		}
		return &sso.Purpose{Kind: sso.ForClient, Client: client.String(), Create: v.Query("action") == "register"}, nil
	}
	if v.Query("link") != "" {
		if asked, err := p.needs(ctx, v); asked || err != nil {
			return nil, err
		}
		if found, ok := p.SSO.Provider(provider); ok && found.NoLinking {
			return nil, httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "Accounts cannot be linked to %s here.", found.Name)
		}
		return &sso.Purpose{Kind: sso.ForLink, User: v.browser.UserNID}, nil
	}
	why := &sso.Purpose{Kind: sso.ForBrowser, Next: local(v.Query("next")), Create: v.Query("action") == "register", Pressed: v.pressed()}
	if why.Again = v.Query("again") != ""; why.Again && v.signedIn {
		why.User = v.browser.UserNID
	}
	if len(why.Next) > maxKeptNext {
		why.Next = pathAccount
	}
	return why, nil
}

// maxKeptNext bounds the page to go on to: it is kept in a cookie.
const maxKeptNext = 1500

// backFromSSO is the callback: somebody comes back from a provider. The code is not to stay in the address.
func (p *Pages) backFromSSO(ctx context.Context, v *visit) error {
	a, err := p.SSO.Finish(ctx, v.Path("provider"), v.URL.Query(), v.sealed)
	if err != nil {
		return err
	}
	sealed, err := p.SSO.Seal(a)
	if err != nil {
		return err
	}
	v.keep(a.ID, sealed)
	return v.goTo(continueAddress(a))
}

func continueAddress(a *sso.Arrival) string {
	return sso.PathContinue + "?" + url.Values{"id": {a.ID}}.Encode()
}

// external is somebody as package account wants it.
func external(who sso.Identity) account.External {
	label := who.Subject
	for _, better := range []string{who.DisplayName, who.Localpart, who.Email} {
		if better != "" {
			label = better
		}
	}
	return account.External{Issuer: who.Issuer, Subject: who.Subject, DisplayName: who.DisplayName, Email: who.Email, Label: label, AuthTS: who.AuthTS}
}

// ssoMessage returns what somebody is told of an error of package sso, and the status.
func ssoMessage(err error) (status int, text string) {
	if page, ok := errors.AsType[*sso.PageError](err); ok {
		return page.Status, page.Message
	}
	return http.StatusInternalServerError, ""
}
