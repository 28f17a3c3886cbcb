package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
)

// maxPingTxnID bounds the transaction id of a ping, in bytes. It is handed on to the application service.
const maxPingTxnID = 255

type pingRequest struct {
	TransactionID string `json:"transaction_id"`
}

type pingResponse struct {
	DurationMS int64 `json:"duration_ms"`
}

// pingAppService is POST /appservice/{appserviceId}/ping. Application Service API, "Pinging".
func (a *API) pingAppService(ctx context.Context, r *httpapi.Request, in pingRequest) (pingResponse, error) {
	service := r.Path("appserviceId")
	if service == "" || r.Requester.AppService != service {
		return pingResponse{}, httpapi.Forbidden("The access token is not that of this application service")
	}
	if len(in.TransactionID) > maxPingTxnID {
		return pingResponse{}, httpapi.InvalidParam("transaction_id is longer than %d bytes", maxPingTxnID)
	}
	duration, err := a.Pinger.Ping(ctx, service, in.TransactionID)
	return pingResponse{DurationMS: duration}, err
}
