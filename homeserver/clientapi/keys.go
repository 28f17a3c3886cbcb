package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/e2ee"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"
)

// byDevice says on behalf of which device a request acts.
func byDevice(r *httpapi.Request) e2ee.By {
	return e2ee.By{User: r.Requester.UserID, Device: r.Requester.DeviceID, Scope: by(r).Device}
}

type sendToDeviceRequest struct {
	Messages e2ee.Messages `json:"messages"`
}

// sendToDevice is PUT /sendToDevice/{eventType}/{txnId}.
func (a *API) sendToDevice(ctx context.Context, r *httpapi.Request, in sendToDeviceRequest) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.E2EE.Send(ctx, byDevice(r), r.Path("eventType"), r.Path("txnId"), in.Messages)
}

type uploadKeysResponse struct {
	OneTimeKeyCounts json.RawMessage `json:"one_time_key_counts"`
}

// uploadKeys is POST /keys/upload.
func (a *API) uploadKeys(ctx context.Context, r *httpapi.Request, in e2ee.UploadRequest) (uploadKeysResponse, error) {
	counts, err := a.E2EE.Upload(ctx, byDevice(r), in)
	return uploadKeysResponse{counts}, err
}

// queryKeys is POST /keys/query.
func (a *API) queryKeys(ctx context.Context, r *httpapi.Request, in e2ee.QueryRequest) (e2ee.QueryResponse, error) {
	return a.E2EE.Query(ctx, r.Requester.UserID, in)
}

// claimKeys is POST /keys/claim.
func (a *API) claimKeys(ctx context.Context, _ *httpapi.Request, in e2ee.ClaimRequest) (e2ee.ClaimResponse, error) {
	return a.E2EE.Claim(ctx, in)
}

// keyChanges is GET /keys/changes.
func (a *API) keyChanges(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	for _, name := range [...]string{"from", "to"} {
		if r.Query(name) == "" {
			return nil, httpapi.MissingParam(name)
		}
	}
	return a.Sync.KeyChanges(ctx, r.Requester.UserID, r.Query("from"), r.Query("to"))
}
