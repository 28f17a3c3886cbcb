package accountpages

import (
	"context"
	"net/http"
	"net/url"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// signUpMailPage asks for the email address of who wants an account.
type signUpMailPage struct {
	Next, Address string
	SignIn        string
	SignUp        string // where one makes an account without an address, "" for nowhere
}

func (p *Pages) signUpMailPage(ways signUpWays, next string) signUpMailPage {
	page := signUpMailPage{Next: next, SignIn: withNext(pathSignIn, next)}
	if !ways.mailOnly() {
		page.SignUp = withNext(pathSignUp, next)
	}
	return page
}

// showSignUpMail is GET register/mail.
func (p *Pages) showSignUpMail(ctx context.Context, v *visit) error {
	next := local(v.Query("next"))
	ways, err := p.signUpWays(ctx)
	if err != nil {
		return err
	}
	if !ways.open() || !ways.mail() {
		return p.askSignUp(ctx, v, next)
	}
	v.show(http.StatusOK, "signupmail", p.signUpMailPage(ways, next))
	return nil
}

// askSignUpMail is POST register/mail: a mail goes to the address, and what is answered says nothing of whose it is.
func (p *Pages) askSignUpMail(ctx context.Context, v *visit) error {
	next := kept(v.PostForm.Get("next"))
	ways, err := p.signUpWays(ctx)
	if err != nil {
		return err
	}
	if !ways.open() || !ways.mail() {
		return httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "Accounts cannot be made here by an email address.")
	}
	page := p.signUpMailPage(ways, next)
	page.Address = v.PostForm.Get("email")
	back := func(sid string) string { return signUpWith(sid, next) }
	sid, err := p.Accounts.AskProof(ctx, account.PageProof{
		Purpose: account.ForRegistration, Address: page.Address, Secret: v.secretFor("registration"), ClientIP: v.ClientIP(),
		Return: func(sid string) string { return p.public + back(sid) },
	})
	if err != nil {
		return v.again(at("email", err), "signupmail", page)
	}
	return v.goTo(back(sid))
}

// signUpWith is the address of the page for making an account with an email address.
func signUpWith(sid, next string) string {
	query := url.Values{"sid": {sid}}
	if next != pathAccount {
		query.Set("next", next)
	}
	return pathSignUp + "?" + query.Encode()
}

// waitPage is for who has been sent a mail to go on.
type waitPage struct {
	SID, Next, Address string
	Again              string // the address of the page before
}

// showSignUpWith is GET register with the sid of a proof: the page for an account with that address, once that is confirmed.
func (p *Pages) showSignUpWith(ctx context.Context, v *visit, sid, next string) error {
	if elsewhere, err := p.elsewhere(ctx, v, account.ForRegistration, sid, "registration"); elsewhere || err != nil {
		return err
	}
	signUp, ways, err := p.signUpPage(ctx, v, next)
	if err != nil {
		return err
	}
	proof, err := p.Accounts.Proof(ctx, account.ForRegistration, sid, v.secretFor("registration"), "")
	if err != nil {
		return p.staleSignUp(v, ways, next, err)
	}
	if proof.Confirmed {
		signUp.SID, signUp.Address = sid, proof.Address
		p.showSignUpForm(v, signUp)
		return nil
	}
	page := waitPage{SID: sid, Next: next, Address: proof.Address, Again: withNext(pathSignUpMail, next)}
	if v.Query("followed") != "" {
		return v.again(errNotFollowed(), "signupwait", page)
	}
	v.show(http.StatusOK, "signupwait", page)
	return nil
}

// staleSignUp has somebody begin anew whose proof is of no use.
func (p *Pages) staleSignUp(v *visit, ways signUpWays, next string, err error) error {
	if status, _ := message(err); status >= http.StatusInternalServerError {
		return err
	}
	return v.again(errStaleProof(), "signupmail", p.signUpMailPage(ways, next))
}
