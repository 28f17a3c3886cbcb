package clientapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

type delayIDResponse struct {
	DelayID string `json:"delay_id"`
}

type delayRequest struct {
	DelayMS  *int64          `json:"delay_ms"`
	StateKey *string         `json:"state_key"`
	Content  json.RawMessage `json:"content"`
}

// delayEvent is PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}.
func (a *API) delayEvent(ctx context.Context, r *httpapi.Request, in delayRequest) (delayIDResponse, error) {
	if in.DelayMS == nil {
		return delayIDResponse{}, httpapi.MissingParam("delay_ms")
	}
	if in.Content == nil {
		return delayIDResponse{}, httpapi.MissingParam("content")
	}
	who, err := a.bySticky(r)
	if err != nil {
		return delayIDResponse{}, err
	}
	delayID, err := a.Rooms.Delay(ctx, who, roomID(r), room.DelayRequest{
		Type: r.Path("eventType"), StateKey: in.StateKey, Content: in.Content, DelayMS: *in.DelayMS, TxnID: r.Path("txnId"),
	})
	return delayIDResponse{delayID}, err
}

// delayRequestUnstable has the field names of MSC4140 before it was merged, too.
type delayRequestUnstable struct {
	delayRequest
	Delay *int64 `json:"delay"`
}

// delayEventUnstable is the same below /unstable/org.matrix.msc4140.
func (a *API) delayEventUnstable(ctx context.Context, r *httpapi.Request, in delayRequestUnstable) (delayIDResponse, error) {
	if in.DelayMS == nil {
		in.DelayMS = in.Delay
	}
	out, err := a.delayEvent(ctx, r, in.delayRequest)
	if limit, ok := tooLate(err); ok {
		err = mautrix.RespError{
			StatusCode: http.StatusBadRequest, ErrCode: "ORG.MATRIX.MSC4140_DELAY_TOO_LARGE", Err: "The delay is too large",
			ExtraData: map[string]any{"org.matrix.msc4140.max_delay": limit},
		}
	}
	return out, err
}

// queryDelay is the parameter by which /send and /state had an event wait, in MSC4140 before it was merged.
const queryDelay = "org.matrix.msc4140.delay"

// delayByQuery is PUT /rooms/{roomId}/send/{eventType}/{txnId} and PUT /rooms/{roomId}/state/{eventType}/{stateKey} with a delay. A
// request that was answered before is answered whatever its body.
func (a *API) delayByQuery(ctx context.Context, r *httpapi.Request, stateKey *string) (delayIDResponse, error) {
	delayMS, err := r.QueryInt(queryDelay, 0)
	if err != nil {
		return delayIDResponse{}, err
	}
	before, err := a.Rooms.DelayedByTxn(ctx, by(r), roomID(r), r.Path("eventType"), r.Path("txnId"))
	if err != nil || before != "" {
		return delayIDResponse{before}, err
	}
	var in json.RawMessage
	if err := r.Decode(&in); err != nil {
		return delayIDResponse{}, err
	}
	who, err := a.bySticky(r)
	if err != nil {
		return delayIDResponse{}, err
	}
	delayID, err := a.Rooms.Delay(ctx, who, roomID(r), room.DelayRequest{
		Type: r.Path("eventType"), StateKey: stateKey, Content: in, DelayMS: delayMS, TxnID: r.Path("txnId"),
	})
	if limit, ok := tooLate(err); ok {
		err = mautrix.RespError{
			StatusCode: http.StatusBadRequest, ErrCode: "M_UNKNOWN", Err: "The delay is too large",
			ExtraData: map[string]any{
				"org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED", "org.matrix.msc4140.max_delay": limit,
			},
		}
	}
	return delayIDResponse{delayID}, err
}

// tooLate returns the limit of delays when an error is that one is beyond it. Each form of the endpoint says so in words of its own.
func tooLate(err error) (limitMS any, ok bool) {
	refused, ok := errors.AsType[mautrix.RespError](err)
	if !ok || refused.ErrCode != room.CodeDelayTooLarge {
		return nil, false
	}
	return refused.ExtraData["max_delay_ms"], true
}

// delayedAction acts on a delayed event.
type delayedAction = func(rooms *room.Service, ctx context.Context, delayID string, owner id.UserID) error

var delayedActions = map[string]delayedAction{
	"send":    (*room.Service).SendDelayed,
	"cancel":  (*room.Service).CancelDelayed,
	"restart": (*room.Service).RestartDelayed,
}

// manageDelayedEvent is POST /delayed_events/{delayId}/{action}.
func (a *API) manageDelayedEvent(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	act, ok := delayedActions[r.Path("action")]
	if !ok {
		return httpapi.Empty{}, httpapi.Unrecognized()
	}
	return httpapi.Empty{}, a.actOnDelayed(ctx, r, act)
}

// actOnDelayed acts on the delayed event in the path. Where no token is needed, a token that is there must be the owner's.
func (a *API) actOnDelayed(ctx context.Context, r *httpapi.Request, act delayedAction) error {
	owner := id.UserID("")
	if r.Requester != nil {
		owner = r.Requester.UserID
	}
	return act(a.Rooms, ctx, r.Path("delayId"), owner)
}

// manageDelayedEventUnstable is the same below /unstable/org.matrix.msc4140.
func (a *API) manageDelayedEventUnstable(ctx context.Context, r *httpapi.Request, in httpapi.Empty) (httpapi.Empty, error) {
	out, err := a.manageDelayedEvent(ctx, r, in)
	return out, forgotten(err)
}

// manageDelayedEventByBody is POST /unstable/org.matrix.msc4140/delayed_events/{delayId}, with the action in the body.
func (a *API) manageDelayedEventByBody(ctx context.Context, r *httpapi.Request, in struct {
	Action string `json:"action"`
}) (httpapi.Empty, error) {
	if in.Action == "" {
		return httpapi.Empty{}, httpapi.MissingParam("action")
	}
	act, ok := delayedActions[in.Action]
	if !ok {
		return httpapi.Empty{}, httpapi.InvalidParam("action must be send, cancel or restart")
	}
	return httpapi.Empty{}, forgotten(a.actOnDelayed(ctx, r, act))
}

// forgotten has an event of which something else has become look as one that is not there. The clients of the unstable endpoints know
// no other way, and schedule it anew.
func forgotten(err error) error {
	if refused, ok := errors.AsType[mautrix.RespError](err); ok && refused.StatusCode == http.StatusConflict {
		return httpapi.NotFound("%s", refused.Err)
	}
	return err
}
