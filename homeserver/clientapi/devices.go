package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// accountOf says who asks for a change of an account.
func accountOf(r *httpapi.Request) account.Requester {
	q := r.Requester
	return account.Requester{UserID: q.UserID, DeviceID: q.DeviceID, ByAppService: q.AppService != "", ClientIP: r.ClientIP()}
}

// confirming counts an attempt to prove who one is, which a request with auth is, by the address that it comes from. Those of an application
// service need no proof.
func confirming(r *httpapi.Request, auth *account.AuthData) error {
	if auth == nil || r.Requester.AppService != "" {
		return nil
	}
	return r.LimitClient(httpapi.ClassLogin)
}

type devicesResponse struct {
	Devices []account.DeviceInfo `json:"devices"`
}

// devices is GET /devices.
func (a *API) devices(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (devicesResponse, error) {
	all, err := a.Accounts.Devices(ctx, r.Requester.UserID)
	return devicesResponse{all}, err
}

// device is GET /devices/{deviceId}.
func (a *API) device(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (account.DeviceInfo, error) {
	return a.Accounts.Device(ctx, r.Requester.UserID, id.DeviceID(r.Path("deviceId")))
}

type updateDeviceRequest struct {
	DisplayName *string `json:"display_name"`
}

// updateDevice is PUT /devices/{deviceId}.
func (a *API) updateDevice(ctx context.Context, r *httpapi.Request, in updateDeviceRequest) (httpapi.Response, error) {
	created, err := a.Accounts.UpdateDevice(ctx, accountOf(r), id.DeviceID(r.Path("deviceId")), in.DisplayName)
	if created {
		return httpapi.Response{Status: http.StatusCreated}, err
	}
	return httpapi.Response{}, err
}

type deleteDevicesRequest struct {
	Auth    *account.AuthData `json:"auth"`
	Devices *[]id.DeviceID    `json:"devices"`
}

// deleteDevice is DELETE /devices/{deviceId}.
func (a *API) deleteDevice(ctx context.Context, r *httpapi.Request, in deleteDevicesRequest) (httpapi.Empty, error) {
	return a.signOut(ctx, r, []id.DeviceID{id.DeviceID(r.Path("deviceId"))}, in.Auth)
}

// deleteDevices is POST /delete_devices.
func (a *API) deleteDevices(ctx context.Context, r *httpapi.Request, in deleteDevicesRequest) (httpapi.Empty, error) {
	if in.Devices == nil {
		return httpapi.Empty{}, httpapi.MissingParam("devices")
	}
	return a.signOut(ctx, r, *in.Devices, in.Auth)
}

func (a *API) signOut(ctx context.Context, r *httpapi.Request, devices []id.DeviceID, auth *account.AuthData) (httpapi.Empty, error) {
	if err := confirming(r, auth); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, challenge(a.Accounts.DeleteDevices(ctx, accountOf(r), devices, auth))
}
