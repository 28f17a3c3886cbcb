package accountpages

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"causeway/homeserver/account"
)

// signInPage is for who is to sign in, to go on to Next.
type signInPage struct {
	Next    string
	Name    string
	OpenTo  bool   // accounts can be made here
	SignUp  string // the address where
	Why     string // what for, "" for the account page
	Confirm bool   // they are signed in, and are to show that they are still there

	Providers []providerButton // by which one can sign in, too
	NoForm    bool             // they have no password
}

// showSignIn is GET login.
func (p *Pages) showSignIn(ctx context.Context, v *visit) error {
	return p.askSignIn(ctx, v, local(v.Query("next")), "")
}

// askSignIn shows the page for signing in, in the place of one that needs it.
func (p *Pages) askSignIn(ctx context.Context, v *visit, next, why string) error {
	page, err := p.signInPage(ctx, next, why)
	if err != nil {
		return err
	}
	if v.signedIn {
		page.Name, page.Confirm, page.NoForm = string(v.browser.UserID), true, !v.browser.Password
		page.Providers = p.buttons("next", next, "again", "yes")
	}
	v.show(http.StatusOK, "signin", page)
	return nil
}

func (p *Pages) signInPage(ctx context.Context, next, why string) (signInPage, error) {
	flows, err := p.signUpWays(ctx)
	return signInPage{Next: next, Why: why, OpenTo: flows.open(), SignUp: pathSignUp + "?next=" + url.QueryEscape(next),
		Providers: p.buttons("next", next)}, err
}

// signIn is POST login.
func (p *Pages) signIn(ctx context.Context, v *visit) error {
	name, next := v.PostForm.Get("username"), local(v.PostForm.Get("next"))
	cookie, err := p.Accounts.SignIn(ctx, name, v.PostForm.Get("password"), v.ClientIP())
	if err != nil {
		page, pageErr := p.signInPage(ctx, next, "")
		if pageErr != nil {
			return pageErr
		}
		page.Name = name
		return v.again(err, "signin", page)
	}
	if err := p.leave(ctx, v); err != nil {
		return err
	}
	v.enterAs(cookie)
	return v.goTo(next)
}

// leave ends the session of the browser, if there is one.
func (p *Pages) leave(ctx context.Context, v *visit) error {
	if !v.signedIn {
		return nil
	}
	return p.Accounts.SignOut(ctx, v.cookie)
}

// signOut is POST logout.
func (p *Pages) signOut(ctx context.Context, v *visit) error {
	if err := p.leave(ctx, v); err != nil {
		return err
	}
	v.dropCookie()
	next := local(v.PostForm.Get("next"))
	if next == pathAccount {
		next = pathSignIn + "?done=signout"
	}
	return v.goTo(next)
}

// signUpWays are the flows of registration that these pages know.
type signUpWays struct {
	plain, token []string // the stages of the flow without a registration token, and of that with one; nil for none
	Policies     []policy // what the user has to agree to
}

func (w signUpWays) open() bool { return w.plain != nil || w.token != nil }

// policy is a document that the user has to agree to.
type policy struct{ Name, URL string }

// Stages that these pages know.
const (
	stageDummy = "m.login.dummy"
	stageToken = "m.login.registration_token"
	stageTerms = "m.login.terms"
)

// signUpWays asks for the ways in which one can get an account.
func (p *Pages) signUpWays(ctx context.Context) (signUpWays, error) {
	var ways signUpWays
	_, err := p.Accounts.SignUp(ctx, account.RegisterRequest{})
	challenge, ok := errors.AsType[*account.Challenge](err)
	if !ok {
		return ways, err
	}
	for _, flow := range challenge.Flows {
		if slices.ContainsFunc(flow.Stages, func(s string) bool { return s != stageDummy && s != stageToken && s != stageTerms }) {
			continue
		}
		if slices.Contains(flow.Stages, stageToken) {
			ways.token = flow.Stages
		} else {
			ways.plain = flow.Stages
		}
		if slices.Contains(flow.Stages, stageTerms) {
			ways.Policies = policies(challenge.Params[stageTerms])
		}
	}
	return ways, nil
}

// policies reads the parameters of the stage m.login.terms (Client-Server API, Terms of service at registration), in English or whatever
// language there is.
func policies(params any) (all []policy) {
	raw, err := json.Marshal(params)
	var terms struct {
		Policies map[string]map[string]json.RawMessage `json:"policies"`
	}
	if err != nil || json.Unmarshal(raw, &terms) != nil {
		return nil
	}
	for _, languages := range terms.Policies {
		var found policy
		for language, raw := range languages {
			var p policy
			if json.Unmarshal(raw, &p) == nil && p.URL != "" && (found.URL == "" || language == "en") {
				found = p
			}
		}
		if found.URL != "" {
			all = append(all, found)
		}
	}
	slices.SortFunc(all, func(a, b policy) int { return strings.Compare(a.Name, b.Name) })
	return all
}
