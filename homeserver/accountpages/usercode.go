package accountpages

import (
	"context"
	"errors"
	"net/http"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"
)

type userCodePage struct{ UserCode string }

// showUserCode is GET device: the page for the code that a device shows (RFC 8628, section 3.3). A code in the address is filled in, and not
// taken yet: whoever sent the link may want their own device signed in.
func (p *Pages) showUserCode(ctx context.Context, v *visit) error {
	if !v.signedIn {
		return p.askSignIn(ctx, v, v.here(), "a device")
	}
	v.show(http.StatusOK, "usercode", userCodePage{UserCode: v.Query("user_code")})
	return nil
}

// enterUserCode is POST device: first the code, then what the user says to what it is for.
func (p *Pages) enterUserCode(ctx context.Context, v *visit) error {
	if !v.signedIn {
		return p.askSignIn(ctx, v, oauth.PathDevice, "a device")
	}
	// Guesses are counted by who guesses as well: addresses are cheap.
	if err := v.Limit(httpapi.ClassLogin, "user code "+string(v.browser.UserID)); err != nil {
		return err
	}
	userCode := v.PostForm.Get("user_code")
	d, err := p.OAuth.DeviceRequest(ctx, userCode)
	if err == nil {
		err = p.decide(ctx, v, d, userCode)
	}
	if errors.Is(err, oauth.ErrNoSuchCode) {
		err = httpapi.Error(http.StatusBadRequest, "M_NOT_FOUND", "There is no such code, or it has expired. Compare it with what your device shows.")
		return v.again(err, "usercode", userCodePage{UserCode: userCode})
	}
	return err
}

// decide asks what the user says to what a device wants, or does it.
func (p *Pages) decide(ctx context.Context, v *visit, d *oauth.DeviceRequest, userCode string) error {
	answer := v.PostForm.Get("answer")
	if answer != "allow" && answer != "deny" {
		replaces, err := p.replaced(ctx, v.browser, d.DeviceID)
		if err != nil {
			return err
		}
		v.show(http.StatusOK, "deviceconsent", consentPage{
			ClientName: d.ClientName, ClientHost: d.ClientHost, TOSURI: d.TOSURI, PolicyURI: d.PolicyURI, DeviceID: d.DeviceID,
			Replaces: replaces, UserCode: userCode,
		})
		return nil
	}
	if err := p.OAuth.Decide(ctx, d, v.browser, answer == "allow"); err != nil {
		return err
	}
	page := donePage{Title: "Request refused", Text: "The device has no access to your account."}
	if answer == "allow" {
		page = donePage{Title: "Device signed in", Text: "Go on on your device. You can close this page."}
	}
	v.show(http.StatusOK, "done", page)
	return nil
}

// donePage says what was done, where there is nothing more to do.
type donePage struct{ Title, Text string }
