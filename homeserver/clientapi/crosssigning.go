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
		if err := confirming(r, in.Auth); err != nil {
			return nil, err
		}
		return a.Accounts.Confirm(ctx, accountOf(r), account.ReplaceKeys+": "+what, in.Auth)
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

// dehydratedEvents is POST /dehydrated_device/{deviceId}/events, as an earlier text of MSC3814 has it: an answer without events is the last.
func (a *API) dehydratedEvents(ctx context.Context, r *httpapi.Request, in dehydratedEventsRequest) (e2ee.DehydratedEvents, error) {
	return a.E2EE.DehydratedEvents(ctx, r.Requester.UserID, id.DeviceID(r.Path("deviceId")), in.NextBatch)
}

// getDehydratedEvents is GET /dehydrated_device/{deviceId}/events, as MSC3814 has it now: an answer without next_batch is the last.
func (a *API) getDehydratedEvents(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.DehydratedEvents, error) {
	from := r.Query("from")
	if from == "" {
		from = r.Query("next_batch") // as an earlier text has it
	}
	out, err := a.E2EE.DehydratedEvents(ctx, r.Requester.UserID, id.DeviceID(r.Path("deviceId")), from)
	if !out.More {
		out.NextBatch = ""
	}
	return out, err
}
