package accountpages

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"

	"maunium.net/go/mautrix/id"
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
	return true, p.askSignIn(ctx, v, v.shownAt(), "")
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
		return v.again(at("name", err), "profile", profilePage{Name: name})
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
	if err := samePasswords(form); err != nil {
		return v.again(err, "password", nil)
	}
	if !v.browser.Password {
		if err := p.Accounts.FirstPassword(ctx, v.browser, form.Get("new")); err != nil {
			return v.again(err, "password", nil)
		}
		return v.goTo(pathPassword + "?done=first")
	}
	if err := p.Accounts.SetPassword(ctx, v.browser, form.Get("password"), form.Get("new"), v.ClientIP(), form.Get("devices") == ""); err != nil {
		return v.again(at(passwordField(err), err), "password", nil)
	}
	v.dropCookie()
	return v.goTo(pathSignIn + "?done=password")
}

// passwordField returns the field that an error of a change of passwords is about.
func passwordField(err error) string {
	if status, _ := message(err); status == http.StatusForbidden {
		return "password"
	}
	return "new"
}

// resetPage is about the device that wants to replace keys, or about those that could be meant.
type resetPage struct {
	Device  *device
	Devices []device
}

// resetOf returns what the page is about where an address or a form names a device. Applications send people here with their own; without,
// people choose.
func (p *Pages) resetOf(ctx context.Context, v *visit, deviceID id.DeviceID) (page resetPage, err error) {
	if deviceID != "" {
		d, err := p.Accounts.Session(ctx, v.browser, deviceID)
		if err != nil {
			return resetPage{}, err
		}
		if asks := showable(d); asks.ByOAuth {
			return resetPage{Device: &asks}, nil
		}
	}
	all, err := p.Accounts.Sessions(ctx, v.browser)
	if err != nil {
		return resetPage{}, err
	}
	for _, d := range all {
		if choice := showable(d); choice.ByOAuth {
			choice.Address = pathReset + "?device_id=" + url.QueryEscape(choice.ID)
			page.Devices = append(page.Devices, choice)
		}
	}
	return page, nil
}

func (p *Pages) showReset(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.resetOf(ctx, v, id.DeviceID(v.Query("device_id")))
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "reset", page)
	return nil
}

// allowReset is POST reset (MSC4312).
func (p *Pages) allowReset(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	deviceID := id.DeviceID(v.PostForm.Get("device_id"))
	page, err := p.resetOf(ctx, v, deviceID)
	if err != nil {
		return err
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(at("password", err), "reset", page)
	}
	if err := p.Accounts.AllowCrossSigningReset(ctx, v.browser, deviceID); err != nil {
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
		return v.again(at("sure", httpapi.Error(http.StatusBadRequest, "M_INVALID_PARAM", "Tick the box to say that you mean it.")), "deactivate", nil)
	}
	if err := p.Accounts.Reauthenticate(ctx, v.browser, v.PostForm.Get("password"), v.ClientIP()); err != nil {
		return v.again(at("password", err), "deactivate", nil)
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
