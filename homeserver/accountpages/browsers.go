package accountpages

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
)

// browsersPage lists where a user is signed in to these pages.
type browsersPage struct {
	All    []account.SignedInBrowser
	Others bool // there are more than this one
}

func (p *Pages) browsersPage(ctx context.Context, v *visit) (browsersPage, error) {
	all, err := p.Accounts.Browsers(ctx, v.browser)
	return browsersPage{All: all, Others: len(all) > 1}, err
}

// showBrowsers is GET browsers.
func (p *Pages) showBrowsers(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.browsersPage(ctx, v)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "browsers", page)
	return nil
}

// endBrowsers is POST browsers: it signs out one of the browsers, or all but this one.
func (p *Pages) endBrowsers(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	if err := p.stillThere(ctx, v); err != nil {
		page, pageErr := p.browsersPage(ctx, v)
		if pageErr != nil {
			return pageErr
		}
		return v.again(at("password", err), "browsers", page)
	}
	which := v.PostForm.Get("which")
	if which == "others" {
		if err := p.Accounts.EndOtherBrowsers(ctx, v.browser); err != nil {
			return err
		}
		return v.goTo(pathBrowsers + "?done=browsers")
	}
	if err := p.Accounts.EndBrowser(ctx, v.browser, which); err != nil {
		return err
	}
	return v.goTo(pathBrowsers + "?done=browser") // who has signed this one out is asked to sign in
}
