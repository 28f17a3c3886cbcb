package accountpages

import (
	"context"
	"html/template"
	"net/http"
	"net/url"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/sso"

	"maunium.net/go/mautrix/id"
)

// Pages for those who came back from a provider, each of which asks once more, so that nothing is done because of a link that somebody was made
// to follow.

// newcomerPage is for who has no account here yet.
type newcomerPage struct {
	ID       string
	Provider string
	As       string // who they are there
	Name     string // the name that was typed, or that the provider has
	Fixed    bool   // it is the name that the provider has
	Policies []account.Document
	Agreed   bool
	Browser  bool // the browser is signed in then
}

// enterPage asks whether the browser is to be signed in.
type enterPage struct {
	ID, Provider, As string
	Who              id.UserID // whose account it is
}

// stagePage asks whether an operation is wanted.
type stagePage struct{ ID, What, User string }

// failedPage tells whoever could not sign in at a provider where to go on.
type failedPage struct {
	Message string
	Again   string       // the address of the page where they choose another way, or try again
	To      string       // what people are told of where the client is, "" for none
	Client  template.URL // its address: it goes there without having signed anybody in
}

// wayBack leads to where somebody can choose another way.
func (v *visit) wayBack(message string, why sso.Purpose) failedPage {
	page := failedPage{Message: message}
	switch why.Kind {
	case sso.ForClient:
		query := url.Values{"redirectUrl": {why.Client}, "choose": {"yes"}}
		if why.Create {
			query.Set("action", "register")
		}
		page.Again = sso.PathChoose + "?" + query.Encode()
		if client, err := sso.CheckRedirect(why.Client); err == nil { // it is of no scheme that runs scripts
			page.To, page.Client = destination(client.String()), template.URL(client.String())
		}
	case sso.ForStage:
		page.Again = stageAddress(why.Session)
	case sso.ForLink:
		page.Again = pathLinked
	default:
		if page.Again = withNext(pathSignIn, local(why.Next)); v.signedIn && why.User == v.browser.UserNID {
			page.Again = local(why.Next)
		}
	}
	return page
}

// stageAddress is that of the page of the stage m.login.sso.
func stageAddress(session string) string {
	return "/_matrix/client/v3/auth/m.login.sso/fallback/web?" + url.Values{"session": {session}}.Encode()
}

// linkPage asks whether an account is to be linked.
type linkPage struct{ ID, Provider, As string }

// arrival returns who has come back, and what for.
func (p *Pages) arrival(v *visit) (*sso.Arrival, error) {
	id := v.Query("id")
	if v.Method == http.MethodPost {
		id = v.PostForm.Get("id")
	}
	return p.SSO.Open(id, v.sealed(id))
}

// showArrival asks somebody who has come back what is to be asked, or goes on at once.
func (p *Pages) showArrival(ctx context.Context, v *visit) error {
	a, err := p.arrival(v)
	if err != nil {
		return err
	}
	switch a.For.Kind {
	case sso.ForStage:
		stage, err := p.Accounts.SSOStage(ctx, a.For.Session)
		if err != nil {
			return err
		}
		v.show(http.StatusOK, "ssostage", stagePage{ID: a.ID, What: stage.What, User: stage.User})
		return nil
	case sso.ForLink:
		if err := v.sameAs(a.For.User); err != nil {
			return err
		}
		v.show(http.StatusOK, "ssolink", p.linkPage(a))
		return nil
	}
	user, err := p.Accounts.LinkedUser(ctx, external(a.Who))
	if err != nil {
		return err
	}
	if user == "" {
		return p.newcomer(ctx, v, a)
	}
	return p.goOnAs(ctx, v, a, user)
}

func (p *Pages) linkPage(a *sso.Arrival) linkPage {
	provider, _ := p.SSO.Provider(a.Who.Provider)
	return linkPage{ID: a.ID, Provider: provider.Name, As: external(a.Who).Label}
}

// sameAs refuses where another is signed in by now than when they set out.
func (v *visit) sameAs(userNID int64) error {
	if !v.signedIn || v.browser.UserNID != userNID {
		return httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "You are not signed in any more as who you were when you set out. Sign in, and try again.")
	}
	return nil
}

// goOnAs takes somebody to where they wanted to go, whose account is known. Clients are named first, unless the operator trusts them, and nobody
// is signed in here by a link from elsewhere.
func (p *Pages) goOnAs(ctx context.Context, v *visit, a *sso.Arrival, user id.UserID) error {
	if a.For.Kind != sso.ForClient {
		if a.For.Pressed {
			return p.enterBySSO(ctx, v, a, user)
		}
		asked := p.linkPage(a)
		v.show(http.StatusOK, "ssoenter", enterPage{ID: a.ID, Provider: asked.Provider, As: asked.As, Who: user})
		return nil
	}
	client, err := sso.CheckRedirect(a.For.Client)
	if err != nil {
		return err
	}
	if p.SSO.Trusted(client) {
		return p.giveToken(ctx, v, a, client)
	}
	v.mayLeadTo(client)
	v.show(http.StatusOK, "ssoclient", clientPage{To: destination(client.String()), Open: open(client.String()), User: string(user), ID: a.ID})
	return nil
}

// enterBySSO signs the browser in.
func (p *Pages) enterBySSO(ctx context.Context, v *visit, a *sso.Arrival, user id.UserID) error {
	if a.For.User != 0 {
		if err := v.sameAs(a.For.User); err != nil {
			return err
		}
		if v.browser.UserID != user {
			return httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "You have signed in there as somebody else than %s.", v.browser.UserID)
		}
	}
	if !p.SSO.Spend(a) {
		return sso.Stale()
	}
	cookie, err := p.Accounts.SignInLinked(ctx, external(a.Who))
	if err != nil {
		return err
	}
	if err := p.enterInstead(ctx, v, cookie); err != nil {
		return err
	}
	v.keep(a.ID, "")
	return v.goTo(local(a.For.Next))
}

// giveToken takes a browser to a client, with a login token.
func (p *Pages) giveToken(ctx context.Context, v *visit, a *sso.Arrival, client *url.URL) error {
	if !p.SSO.Spend(a) {
		return sso.Stale()
	}
	token, err := p.Accounts.LinkedLoginToken(ctx, external(a.Who))
	if err != nil {
		return err
	}
	v.keep(a.ID, "")
	return v.goToClient(sso.WithLoginToken(client, token))
}

// newcomer asks whether an account is wanted, and how it is to be called.
func (p *Pages) newcomer(ctx context.Context, v *visit, a *sso.Arrival) error {
	provider, ok := p.SSO.Provider(a.Who.Provider)
	if !ok || provider.NoNewAccounts || a.For.User != 0 {
		return httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "Nobody here has linked their account to %s, who you are at %s. "+
			"If you have an account, sign in with your password, and link it on the account page.", external(a.Who).Label, provider.Name)
	}
	page := p.newcomerPage(a, provider)
	page.Name, page.Fixed = p.nameOf(ctx, a, provider)
	p.mayLeadToTrusted(v, a)
	v.show(http.StatusOK, "ssonew", page)
	return nil
}

func (p *Pages) newcomerPage(a *sso.Arrival, provider sso.Provider) newcomerPage {
	return newcomerPage{
		ID: a.ID, Provider: provider.Name, As: external(a.Who).Label, Policies: p.Accounts.Terms("en"), Browser: a.For.Kind == sso.ForBrowser,
	}
}

// nameOf returns what somebody could be called here, and whether they are called that: the provider has a name that is free, and the operator
// has not said that people are asked.
func (p *Pages) nameOf(ctx context.Context, a *sso.Arrival, provider sso.Provider) (name string, fixed bool) {
	name, good := p.Accounts.SuggestName(ctx, a.Who.Localpart)
	return name, good && !provider.AskUsername
}

// mayLeadToTrusted lets the forms of a page lead to a client that is not asked about.
func (p *Pages) mayLeadToTrusted(v *visit, a *sso.Arrival) {
	if client, err := sso.CheckRedirect(a.For.Client); err == nil && p.SSO.Trusted(client) {
		v.mayLeadTo(client)
	}
}

// answerArrival is POST continue: what somebody who has come back says.
func (p *Pages) answerArrival(ctx context.Context, v *visit) error {
	a, err := p.arrival(v)
	if err != nil {
		return err
	}
	switch a.For.Kind {
	case sso.ForStage:
		return p.completeStage(ctx, v, a)
	case sso.ForLink:
		return p.link(ctx, v, a)
	}
	user, err := p.Accounts.LinkedUser(ctx, external(a.Who))
	if err != nil {
		return err
	}
	if user == "" {
		return p.signUpNewcomer(ctx, v, a)
	}
	if a.For.Kind != sso.ForClient {
		return p.enterBySSO(ctx, v, a, user)
	}
	client, err := sso.CheckRedirect(a.For.Client)
	if err != nil {
		return err
	}
	v.mayLeadTo(client)
	return p.giveToken(ctx, v, a, client)
}

// signUpNewcomer makes an account of the name that was typed, and goes on.
func (p *Pages) signUpNewcomer(ctx context.Context, v *visit, a *sso.Arrival) error {
	provider, ok := p.SSO.Provider(a.Who.Provider)
	if !ok || provider.NoNewAccounts || a.For.User != 0 {
		return httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "Accounts cannot be made here.")
	}
	if err := v.LimitClient(httpapi.ClassRegister); err != nil {
		return err
	}
	name, agreed := v.PostForm.Get("username"), v.PostForm.Get("agree") != ""
	if given, fixed := p.nameOf(ctx, a, provider); fixed {
		name = given
	}
	p.mayLeadToTrusted(v, a)
	if err := p.Accounts.SignUpLinked(ctx, name, external(a.Who), agreed); err != nil {
		page := p.newcomerPage(a, provider)
		page.Name, page.Agreed = name, agreed
		_, page.Fixed = p.nameOf(ctx, a, provider)
		return v.again(at(fieldOfName(err), err), "ssonew", page)
	}
	if a.For.Kind == sso.ForClient {
		return v.goTo(continueAddress(a))
	}
	user, err := p.Accounts.LinkedUser(ctx, external(a.Who))
	if err != nil {
		return err
	}
	return p.enterBySSO(ctx, v, a, user)
}

// completeStage completes the stage m.login.sso.
func (p *Pages) completeStage(ctx context.Context, v *visit, a *sso.Arrival) error {
	if !p.SSO.Spend(a) {
		return sso.Stale()
	}
	if err := p.Accounts.CompleteSSOStage(ctx, a.For.Session, external(a.Who)); err != nil {
		return err
	}
	v.keep(a.ID, "")
	return v.goTo(stageAddress(a.For.Session))
}
