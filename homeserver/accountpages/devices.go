package accountpages

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// device is what a page shows of a device.
type device struct {
	ID, Name, Address string
	Given             string // the name, "" for none
	CreatedTS, SeenTS int64  // SeenTS is 0 for never
	SeenIP, SeenAgent string
	ByOAuth           bool
}

func showable(d account.SignedIn) device {
	out := device{
		ID: string(d.DeviceID), Name: d.DisplayName, Address: deviceAddress(string(d.DeviceID)), CreatedTS: d.CreatedTS, SeenTS: d.SeenTS,
		SeenIP: d.SeenIP, SeenAgent: d.SeenAgent, ByOAuth: d.OAuthClient != "",
	}
	if out.Given = out.Name; out.Name == "" {
		out.Name = "Device without a name"
	}
	return out
}

// showDevices lists the user's devices.
func (p *Pages) showDevices(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	all, err := p.Accounts.Sessions(ctx, v.browser)
	if err != nil {
		return err
	}
	shown := make([]device, len(all))
	for i, d := range all {
		shown[i] = showable(d)
	}
	v.show(http.StatusOK, "devices", shown)
	return nil
}

// showDevice shows the device that the address names, with a button that signs it out.
func (p *Pages) showDevice(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	deviceID := id.DeviceID(v.Query("device_id"))
	if deviceID == "" {
		return p.showDevices(ctx, v)
	}
	d, err := p.Accounts.Session(ctx, v.browser, deviceID)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "device", showable(d))
	return nil
}

// endDevice is POST device: it signs out a device of whoever is signed in here.
func (p *Pages) endDevice(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	deviceID := id.DeviceID(v.PostForm.Get("device_id"))
	if deviceID == "" {
		return httpapi.Error(http.StatusBadRequest, "M_MISSING_PARAM", "The form names no device.")
	}
	d, err := p.Accounts.Session(ctx, v.browser, deviceID)
	if err != nil {
		return err
	}
	if err := p.stillThere(ctx, v); err != nil {
		return v.again(at("password", err), "device", showable(d))
	}
	if err := p.Accounts.EndDevice(ctx, v.browser, deviceID); err != nil {
		return err
	}
	return v.goTo(pathDevices + "?done=device")
}

// renameDevice is POST device/name. Others see the name.
func (p *Pages) renameDevice(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	deviceID, name := id.DeviceID(v.PostForm.Get("device_id")), v.PostForm.Get("name")
	d, err := p.Accounts.Session(ctx, v.browser, deviceID)
	if err != nil {
		return err
	}
	if v.browser.Suspended { // Client-Server API, Account suspension
		err = httpapi.Error(http.StatusForbidden, "M_USER_SUSPENDED", "Your account is suspended: you cannot change names.")
	} else {
		err = p.Accounts.RenameDevice(ctx, v.browser, deviceID, name)
	}
	if err != nil {
		return v.again(at("name", err), "device", showable(d))
	}
	return v.goTo(deviceAddress(string(deviceID)) + "&done=rename")
}
