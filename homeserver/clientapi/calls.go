package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// Calls makes tokens for group calls (MatrixRTC by LiveKit's signalling, MSC4195). Errors are Matrix errors.
type Calls interface {
	// Transports are where clients may send sound and picture.
	Transports() []CallTransport
	// Delegates is whether memberships can be ended by the server.
	Delegates() bool
	// CallToken makes a token for a member of a call.
	CallToken(ctx context.Context, m CallMember) (CallToken, error)
	// DelegateLeave has a delayed event, which ends somebody's membership, be sent when they have left the call.
	DelegateLeave(ctx context.Context, m CallMember, delayID string) error
}

// CallTransport is a transport of calls (MSC4143).
type CallTransport struct {
	Type string `json:"type"` // livekit
	// ServiceURL is where clients ask for tokens that do not ask the homeserver, and URL the address of the SFU.
	ServiceURL string `json:"livekit_service_url"`
	URL        string `json:"url,omitempty"`
}

// CallMember is a member of a call, and who asks on their behalf.
type CallMember struct {
	UserID          id.UserID
	DeviceID        id.DeviceID // of the session that asks, "" for none
	ClaimedDeviceID id.DeviceID
	RoomID          id.RoomID
	SlotID          string
	MemberID        string
}

// CallToken is by what a client comes into a call.
type CallToken struct {
	JWT string `json:"jwt"`
	URL string `json:"url"`
}

// calls has the endpoints of group calls. Without calls there are none, also for those who show no token: clients take every status but 404 for a
// sign that the server ends memberships for them, and then do it so late themselves that whoever crashes stays in the call for an hour.
func (a *API) calls() []httpapi.Route {
	if a.Calls == nil {
		return nil
	}
	const (
		transports = "/rtc/transports"
		token      = "/rtc/livekit/get_token"
		delegate   = "/rtc/livekit/delegate_delayed_leave"

		msc4143 = "/_matrix/client/unstable/org.matrix.msc4143"
		msc4195 = "/_matrix/client/unstable/io.element.msc4195"
		v1      = "/_matrix/client/v1"
	)
	var rows []row
	for _, prefix := range []string{v1, msc4143} {
		rows = append(rows, row{"GET", prefix + transports, user, httpapi.JSON(a.callTransports).Limited(httpapi.ClassRead)})
	}
	for _, prefix := range []string{v1, msc4195} {
		rows = append(rows, row{"POST", prefix + token, user, httpapi.JSON(a.callToken).Limited(httpapi.ClassOpenID)})
		if a.Calls.Delegates() {
			rows = append(rows, row{"POST", prefix + delegate, user, httpapi.JSON(a.delegateLeave).Limited(httpapi.ClassDelayed)})
		}
	}
	return table(rows)
}

type transportsResponse struct {
	Transports []CallTransport `json:"rtc_transports"`
}

// callTransports is GET /rtc/transports (MSC4143).
func (a *API) callTransports(context.Context, *httpapi.Request, httpapi.Empty) (transportsResponse, error) {
	return transportsResponse{a.Calls.Transports()}, nil
}

// callRequest is the body of the endpoints of MSC4195. Its newer texts have member_id in the place of member.
type callRequest struct {
	ServerName string    `json:"server_name"`
	RoomID     id.RoomID `json:"room_id"`
	SlotID     string    `json:"slot_id"`
	Member     *struct {
		ID              string      `json:"id"`
		ClaimedUserID   id.UserID   `json:"claimed_user_id"`
		ClaimedDeviceID id.DeviceID `json:"claimed_device_id"`
	} `json:"member"`
	MemberID string `json:"member_id"`
	DelayID  string `json:"delay_id"`
}

// member returns whom a request is about.
func (a *API) callMember(r *httpapi.Request, in callRequest) (CallMember, error) {
	who := r.Requester
	m := CallMember{
		UserID: who.UserID, DeviceID: who.DeviceID, ClaimedDeviceID: who.DeviceID, RoomID: in.RoomID, SlotID: in.SlotID, MemberID: in.MemberID,
	}
	if in.Member != nil {
		m.MemberID = in.Member.ID
		if in.Member.ClaimedDeviceID != "" {
			m.ClaimedDeviceID = in.Member.ClaimedDeviceID
		}
		if claimed := in.Member.ClaimedUserID; claimed != "" && claimed != who.UserID {
			return m, httpapi.Forbidden("claimed_user_id is not yours")
		}
	}
	switch {
	case in.RoomID == "":
		return m, httpapi.MissingParam("room_id")
	case in.SlotID == "":
		return m, httpapi.MissingParam("slot_id")
	case m.MemberID == "":
		return m, httpapi.MissingParam("member")
	case in.ServerName != "" && in.ServerName != a.ServerName:
		return m, httpapi.Error(http.StatusForbidden, "M_FORBIDDEN", "This server does not reach the calls of %s: it has no federation", in.ServerName)
	}
	return m, nil
}

// callToken is POST /rtc/livekit/get_token (MSC4195).
func (a *API) callToken(ctx context.Context, r *httpapi.Request, in callRequest) (CallToken, error) {
	m, err := a.callMember(r, in)
	if err != nil {
		return CallToken{}, err
	}
	return a.Calls.CallToken(ctx, m)
}

// delegateLeave is POST /rtc/livekit/delegate_delayed_leave (MSC4195).
func (a *API) delegateLeave(ctx context.Context, r *httpapi.Request, in callRequest) (httpapi.Empty, error) {
	m, err := a.callMember(r, in)
	if err != nil {
		return httpapi.Empty{}, err
	}
	if in.DelayID == "" {
		return httpapi.Empty{}, httpapi.MissingParam("delay_id")
	}
	return httpapi.Empty{}, a.Calls.DelegateLeave(ctx, m, in.DelayID)
}
