package accountpages

import (
	"context"
	"net/http"
	"net/url"
)

// signInPage is for who is to sign in, to go on to Next.
type signInPage struct {
	Next    string
	Name    string
	OpenTo  bool   // accounts can be made here
	SignUp  string // the address where
	Why     string // what for, "" for the account page
	Confirm bool   // they are signed in, and are to show that they are still there
	Forgot  string // the address for who has lost the password, "" for none

	Providers []providerButton // by which one can sign in, too
	NoForm    bool             // they have no password
}

// showSignIn is GET login.
func (p *Pages) showSignIn(ctx context.Context, v *visit) error {
	return p.askSignIn(ctx, v, local(v.Query("next")), "")
}

// askSignIn shows the page for signing in, in the place of one that needs it.
func (p *Pages) askSignIn(ctx context.Context, v *visit, next, why string) error {
	return p.askSignInAnew(ctx, v, next, why, v.signedIn)
}

// askSignInAnew is askSignIn; with anew, whoever is signed in at a provider has to prove anew who they are, too.
func (p *Pages) askSignInAnew(ctx context.Context, v *visit, next, why string, anew bool) error {
	page, err := p.signInPage(ctx, v, next, why)
	if err != nil {
		return err
	}
	if anew {
		page.Providers = v.buttons("next", next, "again", "yes")
	}
	if v.signedIn {
		page.Name, page.Confirm, page.NoForm = string(v.browser.UserID), true, !v.browser.Password
	}
	v.show(http.StatusOK, "signin", page)
	return nil
}

func (p *Pages) signInPage(ctx context.Context, v *visit, next, why string) (signInPage, error) {
	flows, err := p.signUpWays(ctx)
	page := signInPage{Next: next, Why: why, OpenTo: flows.open(), SignUp: pathSignUp + "?next=" + url.QueryEscape(next),
		Providers: v.buttons("next", next)}
	if p.Accounts.CanMail() {
		page.Forgot = withNext(pathForgot, next)
	}
	return page, err
}

// signIn is POST login.
func (p *Pages) signIn(ctx context.Context, v *visit) error {
	name, next := v.PostForm.Get("username"), local(v.PostForm.Get("next"))
	cookie, err := p.Accounts.SignIn(ctx, name, v.PostForm.Get("password"), v.ClientIP())
	if err != nil {
		page, pageErr := p.signInPage(ctx, v, next, "")
		if pageErr != nil {
			return pageErr
		}
		page.Name = name
		return v.again(err, "signin", page)
	}
	if err := p.enterInstead(ctx, v, cookie); err != nil {
		return err
	}
	return v.goTo(next)
}

// enterInstead signs the browser in, in the place of whoever is signed in.
func (p *Pages) enterInstead(ctx context.Context, v *visit, cookie string) error {
	if !v.signedIn {
		v.enterAs(cookie)
		return nil
	}
	now, _, err := p.Accounts.Browser(ctx, cookie)
	if err != nil {
		return err
	}
	if err := p.leave(ctx, v); err != nil {
		return err
	}
	seed := v.mailSeed()
	v.enterAs(cookie)
	if now.UserNID == v.browser.UserNID {
		v.carrySeed(seed)
	}
	return nil
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
