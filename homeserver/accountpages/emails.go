package accountpages

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// mediumEmail is what the specification calls email addresses (Appendices, 3PID Types).
const mediumEmail = "email"

// emailsPage lists the addresses of an account.
type emailsPage struct {
	All     []account.Threepid
	Address string // that was typed
	Can     bool   // addresses can be added
}

func (p *Pages) emailsPage(ctx context.Context, v *visit) (emailsPage, error) {
	all, err := p.Accounts.Threepids(ctx, v.browser.UserID)
	all = slices.DeleteFunc(all, func(t account.Threepid) bool { return t.Medium != mediumEmail })
	return emailsPage{All: all, Can: p.Accounts.CanMail()}, err
}

// showEmails is GET emails; with an sid, the page for an address whose owner is asked by mail.
func (p *Pages) showEmails(ctx context.Context, v *visit) error {
	sid := v.Query("sid")
	if elsewhere, err := p.elsewhere(ctx, v, account.ForAccount, sid, "account"); elsewhere || err != nil {
		return err
	}
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	if sid != "" {
		return p.showNewEmail(ctx, v, sid)
	}
	page, err := p.emailsPage(ctx, v)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "emails", page)
	return nil
}

// askEmail is POST emails: it sends a mail to an address that is to be added.
func (p *Pages) askEmail(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.emailsPage(ctx, v)
	if err != nil {
		return err
	}
	page.Address = v.PostForm.Get("email")
	back := func(sid string) string { return pathEmails + "?sid=" + url.QueryEscape(sid) }
	sid, err := p.Accounts.AskProof(ctx, account.PageProof{
		Purpose: account.ForAccount, Address: page.Address, Secret: v.secretFor("account"), User: v.browser.UserID, ClientIP: v.ClientIP(),
		Return: func(sid string) string { return p.public + back(sid) },
	})
	if err != nil {
		return v.again(at("email", err), "emails", page)
	}
	return v.goTo(back(sid))
}

// newEmailPage is for an address that is to be added.
type newEmailPage struct {
	SID, Address string
	Confirmed    bool
}

func (p *Pages) showNewEmail(ctx context.Context, v *visit, sid string) error {
	proof, err := p.Accounts.Proof(ctx, account.ForAccount, sid, v.secretFor("account"), v.browser.UserID)
	if err != nil {
		return p.staleEmail(ctx, v, err)
	}
	page := newEmailPage{SID: sid, Address: proof.Address, Confirmed: proof.Confirmed}
	if !proof.Confirmed && v.Query("followed") != "" {
		return v.again(errNotFollowed(), "newemail", page)
	}
	v.show(http.StatusOK, "newemail", page)
	return nil
}

// staleEmail has somebody begin anew whose proof has expired, has served, or was asked for in another browser.
func (p *Pages) staleEmail(ctx context.Context, v *visit, err error) error {
	if status, _ := message(err); status >= http.StatusInternalServerError {
		return err
	}
	page, pageErr := p.emailsPage(ctx, v)
	if pageErr != nil {
		return pageErr
	}
	return v.again(errStaleProof(), "emails", page)
}

// addEmail is POST emails/add: the address was confirmed, and who is signed in here has given their password just now, or does so.
func (p *Pages) addEmail(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	sid := v.PostForm.Get("sid")
	proof, err := p.Accounts.Proof(ctx, account.ForAccount, sid, v.secretFor("account"), v.browser.UserID)
	if err != nil {
		return p.staleEmail(ctx, v, err)
	}
	page := newEmailPage{SID: sid, Address: proof.Address, Confirmed: proof.Confirmed}
	if !proof.Confirmed {
		return v.again(errNotFollowed(), "newemail", page)
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(at("password", err), "newemail", page)
	}
	if err := p.Accounts.AddProven(ctx, v.browser, sid, v.secretFor("account")); err != nil {
		return v.again(err, "newemail", page)
	}
	return v.goTo(pathEmails + "?done=email")
}

// oldEmailPage is for an address that is to be removed.
type oldEmailPage struct{ Address string }

// showEmail is GET email: the address that the address names.
func (p *Pages) showEmail(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	address, err := p.emailOf(ctx, v, v.Query("address"))
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "email", oldEmailPage{Address: address})
	return nil
}

// emailOf returns an address if the user has it.
func (p *Pages) emailOf(ctx context.Context, v *visit, address string) (string, error) {
	page, err := p.emailsPage(ctx, v)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(page.All, func(t account.Threepid) bool { return t.Address == address }) {
		return "", httpapi.NotFound("You have no such address.")
	}
	return address, nil
}

// removeEmail is POST email.
func (p *Pages) removeEmail(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	address, err := p.emailOf(ctx, v, v.PostForm.Get("address"))
	if err != nil {
		return err
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(at("password", err), "email", oldEmailPage{Address: address})
	}
	if err := p.Accounts.RemoveEmail(ctx, v.browser, address); err != nil {
		return err
	}
	return v.goTo(pathEmails + "?done=noemail")
}

// public is the address of this server, to which paths of pages are appended.
func public(address string) string { return strings.TrimRight(address, "/") }
