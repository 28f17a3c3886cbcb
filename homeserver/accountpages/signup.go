package accountpages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix"
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
	Agreed     bool
	ByMail     string // the address of the page for an account with an email address, "" for none
	SID        string // of the proof of an email address, "" for none
	Address    string // that was proven
	CaptchaKey string // of the captcha to solve, "" for none
	Script     string // that shows it
	Nonce      string // by which it may run

	Providers []providerButton // by which one can get an account, too
}

// showSignUp is GET register.
func (p *Pages) showSignUp(ctx context.Context, v *visit) error {
	next := local(v.Query("next"))
	if sid := v.Query("sid"); sid != "" {
		return p.showSignUpWith(ctx, v, sid, next)
	}
	return p.askSignUp(ctx, v, next)
}

// askSignUp shows the page for making an account, in the place of one that needs one.
func (p *Pages) askSignUp(ctx context.Context, v *visit, next string) error {
	page, ways, err := p.signUpPage(ctx, v, next)
	if err != nil {
		return err
	}
	if ways.open() && ways.mailOnly() {
		v.show(http.StatusOK, "signupmail", p.signUpMailPage(ways, next))
		return nil
	}
	p.showSignUpForm(v, page)
	return nil
}

// showSignUpForm shows the form, with a policy that lets the captcha's script run, if there is one.
func (p *Pages) showSignUpForm(v *visit, page signUpPage) {
	page.Nonce = v.allowCaptcha(page)
	v.show(http.StatusOK, "signup", page)
}

func (p *Pages) signUpPage(ctx context.Context, v *visit, next string) (signUpPage, signUpWays, error) {
	ways, err := p.signUpWays(ctx)
	page := signUpPage{
		Next: next, SignIn: pathSignIn + "?next=" + url.QueryEscape(next), TokenAsked: ways.token != nil || ways.mailToken != nil,
		TokenMust: ways.plain == nil && ways.mailPlain == nil, Closed: !ways.open(), Policies: ways.Policies,
		CaptchaKey: ways.captchaKey, Script: p.Accounts.CaptchaScript(), Providers: v.buttons("next", next, "action", "register"),
	}
	if ways.mail() && !page.Closed {
		page.ByMail = withNext(pathSignUpMail, next)
	}
	return page, ways, err
}

// signUp is POST register.
func (p *Pages) signUp(ctx context.Context, v *visit) error {
	next, form := local(v.PostForm.Get("next")), v.PostForm
	page, ways, err := p.signUpPage(ctx, v, next)
	if err != nil {
		return err
	}
	if sid := form.Get("sid"); sid != "" {
		proof, err := p.Accounts.Proof(ctx, account.ForRegistration, sid, v.secretFor("registration"), "")
		if err != nil {
			return p.staleSignUp(v, ways, next, err)
		}
		page.SID, page.Address = sid, proof.Address
	}
	page.Name, page.Token, page.Agreed = form.Get("username"), form.Get("token"), form.Get("agree") != ""
	cookie, err := p.makeAccount(ctx, v, ways)
	if err != nil {
		page.Closed = page.Closed && !ways.any() // who has filled in the form hears what was wrong with it
		page.Nonce = v.allowCaptcha(page)
		return v.again(err, "signup", page)
	}
	if err := p.enterInstead(ctx, v, cookie); err != nil {
		return err
	}
	return v.goTo(next)
}

// makeAccount goes through the stages of a flow of registration.
func (p *Pages) makeAccount(ctx context.Context, v *visit, ways signUpWays) (cookie string, err error) {
	form := v.PostForm
	stages := ways.stages(form.Get("token") != "", form.Get("sid") != "")
	if err := checkSignUp(form, stages); err != nil {
		return "", err
	}
	in := account.RegisterRequest{Username: form.Get("username"), Password: form.Get("password"), ClientIP: v.ClientIP()}
	session := ""
	for _, stage := range stages {
		in.Auth = &account.AuthData{
			Type: stage, Session: session, Token: form.Get("token"), Response: form.Get("g-recaptcha-response"),
			Creds: &account.ThreepidCreds{SID: form.Get("sid"), Secret: v.secretFor("registration")},
		}
		if cookie, err = p.Accounts.SignUp(ctx, in); err == nil {
			return cookie, nil
		}
		challenge, ok := errors.AsType[*account.Challenge](err)
		switch {
		case !ok:
			return "", at(fieldOfCode(err), err)
		case challenge.ErrCode != "":
			return "", badField(fieldsOfStages[stage], challenge.Message+".")
		}
		session = challenge.Session
	}
	return "", badField("", "The server wants more than this page can ask for.")
}

// checkSignUp looks for what everybody has to fill in.
func checkSignUp(form url.Values, stages []string) error {
	switch {
	case stages == nil:
		return badField("", "Accounts cannot be made here.")
	case form.Get("username") == "":
		return badField("username", "Choose a user name.")
	case form.Get("password") == "":
		return badField("password", "Choose a password.")
	case form.Get("password") != form.Get("password2"):
		return badField("password2", "The two passwords are not the same.")
	case slices.Contains(stages, stageToken) && form.Get("token") == "":
		return badField("token", "Accounts on this server take a registration token.")
	case slices.Contains(stages, stageTerms) && form.Get("agree") == "":
		return badField("agree", "You have to agree to the terms.")
	case slices.Contains(stages, stageCaptcha) && form.Get("g-recaptcha-response") == "":
		return badField("captcha", "Show that you are no robot.")
	}
	return nil
}

func badField(field, text string) error {
	err := httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "%s", text)
	if field == "" {
		return err
	}
	return at(field, err)
}

// fieldsOfStages are the fields that stages are about.
var fieldsOfStages = map[string]string{stageToken: "token", stageTerms: "agree", stageCaptcha: "captcha"}

// fieldOfName returns the field that an error is about where nothing but a name is typed.
func fieldOfName(err error) string {
	if field := fieldOfCode(err); field == "username" {
		return field
	}
	return ""
}

// fieldOfCode returns the field that an error of a registration is about.
func fieldOfCode(err error) string {
	if refused, ok := errors.AsType[mautrix.RespError](err); ok {
		switch refused.ErrCode {
		case "M_INVALID_USERNAME", "M_USER_IN_USE", "M_EXCLUSIVE":
			return "username"
		case "M_INVALID_PARAM", "M_WEAK_PASSWORD":
			return "password"
		}
	}
	return ""
}
