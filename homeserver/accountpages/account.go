package accountpages

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"
)

// actions are the pages that the account page leads to by its parameter action (Client-Server API, Account management URL actions).
func (p *Pages) actions() map[string]handler {
	return map[string]handler{
		oauth.ActionProfile:      p.showProfile,
		oauth.ActionDevicesList:  p.showDevices,
		"devices_list":           p.showDevices,
		oauth.ActionDeviceView:   p.showDevice,
		"device_view":            p.showDevice,
		oauth.ActionDeviceDelete: p.showDevice,
		"device_delete":          p.showDevice,
		oauth.ActionDeactivate:   p.showDeactivate,
		"account_deactivate":     p.showDeactivate,
		oauth.ActionResetKeys:    p.showReset,
		"cross_signing_reset":    p.showReset,
	}
}

// showAccount is GET account. An action that is not known leads to the profile.
func (p *Pages) showAccount(ctx context.Context, v *visit) error {
	action := v.Query("action")
	if now, old := oauth.OldActions[action]; old {
		action = now
	}
	if show, ok := p.actions()[action]; ok {
		return show(ctx, v)
	}
	return p.showProfile(ctx, v)
}

// needs asks who is there, where nobody is signed in. It returns true when the handler has nothing more to do.
func (p *Pages) needs(ctx context.Context, v *visit) (asked bool, err error) {
	if v.signedIn {
		return false, nil
	}
	next := v.here()
	if v.Method == http.MethodPost {
		next = v.URL.Path
	}
	return true, p.askSignIn(ctx, v, next, "")
}

// stillThere has the user give their password again, unless they did just now.
func (p *Pages) stillThere(ctx context.Context, v *visit) error {
	if v.browser.Recent {
		return nil
	}
	if err := v.LimitClient(httpapi.ClassLogin); err != nil {
		return err
	}
	return p.Accounts.Reauthenticate(ctx, v.browser, v.PostForm.Get("password"), v.ClientIP())
}

type profilePage struct{ Name string }

func (p *Pages) showProfile(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	profile, err := p.Accounts.Profile(ctx, v.browser.UserID)
	if err != nil {
		return err
	}
	var name string
	if raw, ok := profile[account.FieldDisplayName]; ok {
		if err := json.Unmarshal(raw, &name); err != nil {
			return err
		}
	}
	v.show(http.StatusOK, "profile", profilePage{Name: name})
	return nil
}

// setName is POST account.
func (p *Pages) setName(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	name := v.PostForm.Get("name")
	if v.browser.Suspended { // Client-Server API, Account suspension
		err := httpapi.Error(http.StatusForbidden, "M_USER_SUSPENDED", "Your account is suspended: you cannot change your name.")
		return v.again(err, "profile", profilePage{Name: name})
	}
	if err := p.Accounts.SetDisplayName(ctx, v.browser.UserID, name); err != nil {
		return v.again(err, "profile", profilePage{Name: name})
	}
	if err := p.Rooms.PropagateProfile(ctx, v.browser.UserID); err != nil {
		return err
	}
	return v.goTo(pathAccount + "?done=name")
}

func (p *Pages) showPassword(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	v.show(http.StatusOK, "password", nil)
	return nil
}

// setPassword is POST password. Afterwards nobody is signed in any more.
func (p *Pages) setPassword(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	form := v.PostForm
	if form.Get("new") != form.Get("new2") {
		return v.again(httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "The two new passwords are not the same."), "password", nil)
	}
	if !v.browser.Password {
		if err := p.Accounts.FirstPassword(ctx, v.browser, form.Get("new")); err != nil {
			return v.again(err, "password", nil)
		}
		return v.goTo(pathPassword + "?done=first")
	}
	if err := p.Accounts.SetPassword(ctx, v.browser, form.Get("password"), form.Get("new"), v.ClientIP(), form.Get("devices") == ""); err != nil {
		return v.again(err, "password", nil)
	}
	v.dropCookie()
	return v.goTo(pathSignIn + "?done=password")
}

func (p *Pages) showReset(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	v.show(http.StatusOK, "reset", nil)
	return nil
}

// allowReset is POST reset (MSC4312).
func (p *Pages) allowReset(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(err, "reset", nil)
	}
	if err := p.Accounts.AllowCrossSigningReset(ctx, v.browser); err != nil {
		return err
	}
	return v.goTo(pathReset + "?done=reset")
}

func (p *Pages) showDeactivate(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	v.show(http.StatusOK, "deactivate", nil)
	return nil
}

// deactivate is POST deactivate. It takes the password, however little time has gone by since it was given.
func (p *Pages) deactivate(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	if p.Deactivate == nil {
		return httpapi.NotFound("Accounts cannot be ended here. Ask those who run the server.")
	}
	if v.PostForm.Get("sure") == "" {
		return v.again(httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "Tick the box to say that you mean it."), "deactivate", nil)
	}
	if err := p.Accounts.Reauthenticate(ctx, v.browser, v.PostForm.Get("password"), v.ClientIP()); err != nil {
		return v.again(err, "deactivate", nil)
	}
	if err := p.Config.Deactivate(ctx, v.browser.UserID, v.PostForm.Get("erase") != ""); err != nil {
		return err
	}
	if err := p.leave(ctx, v); err != nil {
		return err
	}
	v.dropCookie()
	v.browser, v.signedIn = account.Browser{}, false
	v.show(http.StatusOK, "done", donePage{Title: "Account ended", Text: "Your account is gone. You can close this page."})
	return nil
}

// deviceAddress is that of the page of a device.
func deviceAddress(device string) string { return pathDevice + "?device_id=" + url.QueryEscape(device) }
