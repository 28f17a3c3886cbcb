package bridges

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"causeway/registration"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// ControlPath is below which a bridge answers whoever runs it: how it is doing, and to leave a room. A request has the hs_token. It is the way
// to a bridge in another process, and the same for one in this.
const ControlPath = "/_causeway/control"

// maxControlBytes bounds a request, and an answer.
const maxControlBytes = 1 << 20

// ErrNotInside is the error of a room that a bridge is to leave and is not in.
var ErrNotInside = errors.New("the bridge is not in the room")

// unbridgeOrder is the body of POST unbridge.
type unbridgeOrder struct {
	RoomID id.RoomID `json:"room_id"`
	Reason string    `json:"reason"`
}

// addControl adds the endpoints.
func (b *Bridge) addControl(mux *http.ServeMux) {
	mux.HandleFunc("GET "+ControlPath+"/status", func(w http.ResponseWriter, r *http.Request) {
		if !b.conn.AS.CheckServerToken(w, r) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(b.Status())
	})
	mux.HandleFunc("POST "+ControlPath+"/unbridge", func(w http.ResponseWriter, r *http.Request) {
		if b.conn.AS.CheckServerToken(w, r) {
			b.takeUnbridge(w, r)
		}
	})
	mux.HandleFunc(ControlPath+"/", http.NotFound)
}

func (b *Bridge) takeUnbridge(w http.ResponseWriter, r *http.Request) {
	var order unbridgeOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes)).Decode(&order); err != nil || order.RoomID == "" {
		mautrix.MBadJSON.WithMessage("The order is not valid").Write(w)
		return
	}
	inside, err := b.IsIn(r.Context(), order.RoomID)
	switch {
	case errors.Is(err, errNotReady):
		mautrix.MUnknown.WithMessage("The bridge has not started").WithStatus(http.StatusServiceUnavailable).Write(w)
		return
	case err == nil && !inside:
		mautrix.MNotFound.WithMessage("The bridge is not in this room").Write(w)
		return
	case err == nil:
		err = b.Unbridge(r.Context(), order.RoomID, order.Reason)
	}
	if err != nil {
		b.log.Err(err).Stringer("room_id", order.RoomID).Msg("unbridge a room")
		mautrix.MUnknown.WithMessage("The room cannot be unbridged at the moment: %v", err).WithStatus(http.StatusInternalServerError).Write(w)
		return
	}
	writeEmpty(w)
}

// Control reaches a bridge by its registration, wherever it runs.
type Control struct {
	Registration *registration.Registration
	Transport    http.RoundTripper // carries requests to the bridge
}

// Status is Bridge.Status. An error is that the bridge does not answer.
func (c Control) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

// Unbridge is Bridge.Unbridge for a room that the bridge is in. ErrNotInside for others.
func (c Control) Unbridge(ctx context.Context, room id.RoomID, reason string) error {
	err := c.call(ctx, http.MethodPost, "/unbridge", unbridgeOrder{room, reason}, nil)
	if errors.Is(err, mautrix.MNotFound) {
		return ErrNotInside
	}
	return err
}

func (c Control) call(ctx context.Context, method, path string, body, answer any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Registration.URL+ControlPath+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.Registration.HSToken)
	resp, err := c.Transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxControlBytes))
	if err != nil {
		return fmt.Errorf("read the answer of the bridge: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		refused := mautrix.RespError{StatusCode: resp.StatusCode}
		if json.Unmarshal(said, &refused) != nil || refused.ErrCode == "" {
			return fmt.Errorf("the bridge answers with status %d", resp.StatusCode)
		}
		return refused
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(said, answer)
}
