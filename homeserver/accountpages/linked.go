package accountpages

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/sso"
)

// linkedPage is who somebody is at providers, and where they can become more.
type linkedPage struct {
	Links     []account.Link
	Providers []providerButton
}

func (p *Pages) linkedPage(ctx context.Context, v *visit) (page linkedPage, err error) {
	page.Links, err = p.Accounts.Links(ctx, v.browser)
	for _, provider := range p.SSO.Providers() {
		if !provider.NoLinking {
			page.Providers = append(page.Providers, providerButton{Name: provider.Name, To: v.startAddress(provider.ID, "link", "yes")})
		}
	}
	return page, err
}

// showLinked lists who somebody is at providers.
func (p *Pages) showLinked(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.linkedPage(ctx, v)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "linked", page)
	return nil
}

// link links the account of whoever is signed in. They have to show that they are still there: it is another way in.
func (p *Pages) link(ctx context.Context, v *visit, a *sso.Arrival) error {
	if err := v.sameAs(a.For.User); err != nil {
		return err
	}
	if provider, ok := p.SSO.Provider(a.Who.Provider); !ok || provider.NoLinking {
		return httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "Accounts cannot be linked to this here.")
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(err, "ssolink", p.linkPage(a))
	}
	if !p.SSO.Spend(a) {
		return sso.Stale()
	}
	if err := p.Accounts.Link(ctx, v.browser, external(a.Who)); err != nil {
		return err
	}
	v.keep(a.ID, "")
	return v.goTo(pathLinked + "?done=linked")
}

// unlink is POST linked.
func (p *Pages) unlink(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.linkedPage(ctx, v)
	if err != nil {
		return err
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(at("password", err), "linked", page)
	}
	if err := p.Accounts.Unlink(ctx, v.browser, v.PostForm.Get("issuer"), v.PostForm.Get("subject")); err != nil {
		return v.again(err, "linked", page)
	}
	return v.goTo(pathLinked + "?done=unlinked")
}
