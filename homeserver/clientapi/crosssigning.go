package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/e2ee"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

type signingKeysRequest struct {
	e2ee.SigningKeysRequest
	Auth *account.AuthData `json:"auth"`
}

// uploadSigningKeys is POST /keys/device_signing/upload. Attempts at a password count as those to log in do.
func (a *API) uploadSigningKeys(ctx context.Context, r *httpapi.Request, in signingKeysRequest) (httpapi.Empty, error) {
	confirm := func(ctx context.Context, what string) (done func(), err error) {
		if in.Auth != nil {
			if err := r.LimitClient(httpapi.ClassLogin); err != nil {
				return nil, err
			}
		}
		// Where a user has allowed the reset on the account page (OAuth), this is the place to ask that instead.
		who := account.Requester{UserID: r.Requester.UserID, DeviceID: r.Requester.DeviceID, ByAppService: r.Requester.AppService != ""}
		return a.Accounts.Confirm(ctx, who, what, in.Auth)
	}
	return httpapi.Empty{}, challenge(a.E2EE.UploadSigningKeys(ctx, r.Requester.UserID, in.SigningKeysRequest, confirm))
}

// uploadSignatures is POST /keys/signatures/upload.
func (a *API) uploadSignatures(ctx context.Context, r *httpapi.Request, in e2ee.SignaturesRequest) (e2ee.SignaturesResponse, error) {
	return a.E2EE.UploadSignatures(ctx, r.Requester.UserID, in)
}

// putDehydrated is PUT /dehydrated_device (MSC3814).
func (a *API) putDehydrated(ctx context.Context, r *httpapi.Request, in e2ee.DehydratedDevice) (e2ee.Dehydrated, error) {
	return a.E2EE.Dehydrate(ctx, r.Requester.UserID, in)
}

// getDehydrated is GET /dehydrated_device (MSC3814).
func (a *API) getDehydrated(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.Dehydrated, error) {
	return a.E2EE.Dehydrated(ctx, r.Requester.UserID)
}

// deleteDehydrated is DELETE /dehydrated_device (MSC3814).
func (a *API) deleteDehydrated(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.Dehydrated, error) {
	return a.E2EE.DropDehydrated(ctx, r.Requester.UserID)
}

type dehydratedEventsRequest struct {
	NextBatch string `json:"next_batch"`
}

// dehydratedEvents is POST /dehydrated_device/{deviceId}/events, as clients have it from an earlier text of MSC3814.
func (a *API) dehydratedEvents(ctx context.Context, r *httpapi.Request, in dehydratedEventsRequest) (e2ee.DehydratedEvents, error) {
	return a.E2EE.DehydratedEvents(ctx, r.Requester.UserID, id.DeviceID(r.Path("deviceId")), in.NextBatch)
}

// getDehydratedEvents is GET /dehydrated_device/{deviceId}/events (MSC3814).
func (a *API) getDehydratedEvents(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.DehydratedEvents, error) {
	return a.E2EE.DehydratedEvents(ctx, r.Requester.UserID, id.DeviceID(r.Path("deviceId")), r.Query("next_batch"))
}
