package accountpages

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxNext bounds the address that is remembered of a page to go on to, in bytes. What is longer is forgotten.
const maxNext = 8 << 10

// secretFor is what only the browser knows that asked for a mail: whoever has another cannot go on with it. A browser without a cookie has
// asked for none.
func (v *visit) secretFor(what string) string {
	if v.cookie == "" {
		return ""
	}
	return formMAC(v.mailSeed(), "mail:"+what)
}

// mailSeed is what the secrets for mails are made of: the browser's cookie or, if its user has signed in anew since, that of before. What stands
// for that is kept in a cookie of its own, which counts with the session that it was carried to alone: nobody who has it set elsewhere knows by
// that what a secret is.
func (v *visit) mailSeed() string {
	if c, err := v.Cookie(v.seedCookie()); err == nil && len(c.Value) <= maxCookieBytes {
		seed, seal, _ := strings.Cut(c.Value, ".")
		if hmac.Equal([]byte(seal), []byte(v.seal("seed:"+seed))) {
			return seed
		}
	}
	return formMAC(v.cookie, "seed")
}

// carrySeed keeps a seed for the session that has just begun.
func (v *visit) carrySeed(seed string) {
	v.writeNamed(v.seedCookie(), seed+"."+v.seal("seed:"+seed), int(cookieLifetime.Seconds()))
}

func (v *visit) seedCookie() string { return v.pages.cookie + "_mail" }

// kept returns where somebody was going to, as far as that is remembered.
func kept(next string) string {
	if next = local(next); len(next) > maxNext {
		return pathAccount
	}
	return next
}

// withNext is the address of a page that goes on to another.
func withNext(path, next string) string {
	if next == pathAccount {
		return path
	}
	return path + "?next=" + url.QueryEscape(next)
}

// forgotPage is for who has lost the password.
type forgotPage struct {
	Next, Address string
	SignIn        string
	Sent          bool
}

// showForgot is GET forgot.
func (p *Pages) showForgot(_ context.Context, v *visit) error {
	next := local(v.Query("next"))
	v.show(http.StatusOK, "forgot", forgotPage{Next: next, SignIn: withNext(pathSignIn, next), Sent: v.Query("sent") != ""})
	return nil
}

// forgot is POST forgot: a mail goes to the address, and what is answered says nothing of whose it is.
func (p *Pages) forgot(ctx context.Context, v *visit) error {
	next := kept(v.PostForm.Get("next"))
	page := forgotPage{Next: next, SignIn: withNext(pathSignIn, next), Address: v.PostForm.Get("email")}
	_, err := p.Accounts.AskProof(ctx, account.PageProof{
		Purpose: account.ForPassword, Address: page.Address, Secret: v.secretFor("password"), ClientIP: v.ClientIP(),
		Return: func(string) string { return next },
	})
	if err != nil {
		return v.again(at("email", err), "forgot", page)
	}
	query := url.Values{"sent": {"yes"}}
	if next != pathAccount {
		query.Set("next", next)
	}
	return v.goTo(pathForgot + "?" + query.Encode())
}

// newPasswordPage is where the link of that mail leads.
type newPasswordPage struct {
	SID, LinkToken string
	User           id.UserID
}

// showNewPassword is GET new-password. Nothing has changed by that: what reads people's mail for them follows links.
func (p *Pages) showNewPassword(ctx context.Context, v *visit) error {
	page := newPasswordPage{SID: v.Query("sid"), LinkToken: v.Query("token")}
	lost, err := p.Accounts.LostPassword(ctx, page.SID, page.LinkToken, v.secretFor("password"))
	if err != nil {
		return p.deadLink(v, err)
	}
	page.User = lost.User
	v.show(http.StatusOK, "newpassword", page)
	return nil
}

// deadLinkPage is for a link that does not serve.
type deadLinkPage struct{ Forgot string }

func (p *Pages) deadLink(v *visit, err error) error {
	return v.again(err, "deadlink", deadLinkPage{Forgot: pathForgot})
}

// newPassword is POST new-password. Who has asked for the mail in this browser goes on to where they were going.
func (p *Pages) newPassword(ctx context.Context, v *visit) error {
	form := v.PostForm
	page := newPasswordPage{SID: form.Get("sid"), LinkToken: form.Get("token")}
	lost, err := p.Accounts.LostPassword(ctx, page.SID, page.LinkToken, v.secretFor("password"))
	if err != nil {
		return p.deadLink(v, err)
	}
	page.User = lost.User
	if err := samePasswords(form); err != nil {
		return v.again(err, "newpassword", page)
	}
	lost, err = p.Accounts.ReplacePassword(ctx, page.SID, page.LinkToken, v.secretFor("password"), form.Get("new"), form.Get("devices") == "")
	if refused, ok := errors.AsType[mautrix.RespError](err); ok && refused.StatusCode == http.StatusNotFound {
		return p.deadLink(v, err)
	}
	if err != nil {
		return v.again(at("new", err), "newpassword", page)
	}
	query := url.Values{"done": {"password"}}
	if next := local(lost.Next); next != pathAccount {
		query.Set("next", next)
	}
	return v.goTo(pathSignIn + "?" + query.Encode())
}

// samePasswords demands a new password, twice the same.
func samePasswords(form url.Values) error {
	switch {
	case form.Get("new") == "":
		return at("new", httpapi.Error(http.StatusBadRequest, "M_MISSING_PARAM", "Choose a password."))
	case form.Get("new") != form.Get("new2"):
		return at("new2", httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "The two new passwords are not the same."))
	}
	return nil
}
