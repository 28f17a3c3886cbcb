package accountpages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// signUpPage is for who wants an account, to go on to Next.
type signUpPage struct {
	Next       string
	SignIn     string // the address for those who have one
	Name       string
	Token      string // the registration token that was typed
	TokenAsked bool
	TokenMust  bool // there is no other way
	Closed     bool // there is no way at all
	Policies   []policy

	Providers []providerButton // by which one can get an account, too
}

// showSignUp is GET register.
func (p *Pages) showSignUp(ctx context.Context, v *visit) error {
	return p.askSignUp(ctx, v, local(v.Query("next")))
}

// askSignUp shows the page for making an account, in the place of one that needs one.
func (p *Pages) askSignUp(ctx context.Context, v *visit, next string) error {
	page, _, err := p.signUpPage(ctx, next)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "signup", page)
	return nil
}

func (p *Pages) signUpPage(ctx context.Context, next string) (signUpPage, signUpWays, error) {
	ways, err := p.signUpWays(ctx)
	return signUpPage{
		Next: next, SignIn: pathSignIn + "?next=" + url.QueryEscape(next), TokenAsked: ways.token != nil, TokenMust: ways.plain == nil,
		Closed: !ways.open(), Policies: ways.Policies, Providers: p.buttons("next", next, "action", "register"),
	}, ways, err
}

// signUp is POST register.
func (p *Pages) signUp(ctx context.Context, v *visit) error {
	next := local(v.PostForm.Get("next"))
	page, ways, err := p.signUpPage(ctx, next)
	if err != nil {
		return err
	}
	page.Name, page.Token = v.PostForm.Get("username"), v.PostForm.Get("token")
	cookie, err := p.makeAccount(ctx, v, ways)
	if err != nil {
		return v.again(err, "signup", page)
	}
	if err := p.leave(ctx, v); err != nil {
		return err
	}
	v.enterAs(cookie)
	return v.goTo(next)
}

// makeAccount goes through the stages of a flow of registration.
func (p *Pages) makeAccount(ctx context.Context, v *visit, ways signUpWays) (cookie string, err error) {
	form := v.PostForm
	stages := ways.plain
	if form.Get("token") != "" || stages == nil {
		stages = ways.token
	}
	bad := func(text string) error { return httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "%s", text) }
	switch {
	case stages == nil:
		return "", bad("Accounts cannot be made here.")
	case form.Get("username") == "":
		return "", bad("Choose a user name.")
	case form.Get("password") == "":
		return "", bad("Choose a password.")
	case form.Get("password") != form.Get("password2"):
		return "", bad("The two passwords are not the same.")
	case slices.Contains(stages, stageTerms) && form.Get("agree") == "":
		return "", bad("You have to agree to the terms.")
	}
	in := account.RegisterRequest{Username: form.Get("username"), Password: form.Get("password"), ClientIP: v.ClientIP()}
	session := ""
	for _, stage := range stages {
		in.Auth = &account.AuthData{Type: stage, Session: session, Token: form.Get("token")}
		if cookie, err = p.Accounts.SignUp(ctx, in); err == nil {
			return cookie, nil
		}
		challenge, ok := errors.AsType[*account.Challenge](err)
		switch {
		case !ok:
			return "", err
		case challenge.ErrCode != "":
			return "", bad(challenge.Message)
		}
		session = challenge.Session
	}
	return "", bad("The server wants more than this page can ask for.")
}
