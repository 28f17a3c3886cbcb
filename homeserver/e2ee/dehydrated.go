package e2ee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on dehydrated devices.
const (
	maxDehydratedBytes  = 256 << 10 // of what a client needs to wake one
	maxDehydratedEvents = 100       // of one answer
)

// DehydratedDevice is the body of PUT /dehydrated_device.
type DehydratedDevice struct {
	UploadRequest
	DeviceID    id.DeviceID     `json:"device_id"`
	Data        json.RawMessage `json:"device_data"`
	DisplayName string          `json:"initial_device_display_name"`
}

// Dehydrated is a user's dehydrated device, without its keys.
type Dehydrated struct {
	DeviceID id.DeviceID     `json:"device_id"`
	Data     json.RawMessage `json:"device_data,omitempty"`
}

// DehydratedEvents are some of the messages that wait for a dehydrated device.
type DehydratedEvents struct {
	Events    []DehydratedEvent `json:"events"`
	NextBatch string            `json:"next_batch,omitempty"` // where what comes after these begins
	More      bool              `json:"-"`                    // something comes after these
}

// DehydratedEvent is a to-device message.
type DehydratedEvent struct {
	Type    string          `json:"type"`
	Sender  id.UserID       `json:"sender"`
	Content json.RawMessage `json:"content"`
}

// Dehydrate gives a user a dehydrated device: one that nobody runs, for which messages wait until a new device of the user wakes it
// (MSC3814). It takes the place of the one that was there; the same one again keeps its messages. Its identity keys must be signed by it.
// Errors: those of Upload, M_MISSING_PARAM, M_FORBIDDEN for a device id that is the name of a cross-signing key.
func (s *Service) Dehydrate(ctx context.Context, user id.UserID, in DehydratedDevice) (Dehydrated, error) {
	out := Dehydrated{DeviceID: in.DeviceID}
	data, up, err := checkDehydrated(user, in)
	if err != nil {
		return out, err
	}
	if err := s.verifyUpload(ctx, up); err != nil {
		return out, err
	}
	var change store.DeviceChange
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		change = store.DeviceChange{}
		userNID, err := holder(tx, user)
		if err != nil {
			return err
		}
		if change, err = makeRoom(tx, userNID, user, in.DeviceID); err != nil {
			return err
		}
		if err := tx.EnsureDevice(userNID, in.DeviceID, in.DisplayName, s.now().UnixMilli()); errors.Is(err, store.ErrKeyName) {
			return matrixError(http.StatusForbidden, "M_FORBIDDEN", "The device_id is the name of a cross-signing key")
		} else if err != nil {
			return err
		}
		if err := tx.SetDehydratedDevice(userNID, in.DeviceID, data); err != nil {
			return err
		}
		added, err := up.store(tx, userNID)
		if added.Pos != 0 {
			change = added
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("store a dehydrated device of %s: %w", user, err)
	}
	s.ring(change)
	return out, nil
}

func checkDehydrated(user id.UserID, in DehydratedDevice) (json.RawMessage, *upload, error) {
	for name, value := range map[string]string{"device_id": string(in.DeviceID), "device_data": string(in.Data), "device_keys": string(in.DeviceKeys)} {
		if value == "" || value == "null" {
			return nil, nil, matrixError(http.StatusBadRequest, "M_MISSING_PARAM", "Missing %s", name)
		}
	}
	if !isName(string(in.DeviceID)) || in.DisplayName != "" && !isName(in.DisplayName) {
		return nil, nil, invalidParam("device_id and initial_device_display_name must be text of at most %d bytes", maxNameBytes)
	}
	data, err := event.CanonicalJSON(in.Data)
	if err != nil {
		return nil, nil, badJSON("device_data: %v", err)
	}
	if _, hasAlgorithm := event.Text(event.Field(data, "algorithm")); !hasAlgorithm {
		return nil, nil, badJSON("device_data must be an object with an algorithm")
	}
	if len(data) > maxDehydratedBytes {
		return nil, nil, tooLarge("device_data can have %d bytes", maxDehydratedBytes)
	}
	up, err := checkUpload(By{User: user, Device: in.DeviceID}, in.UploadRequest)
	if err != nil {
		return nil, nil, err
	}
	if !up.keys.signed {
		return nil, nil, invalidSignature("device_keys are not signed by the device")
	}
	return data, up, nil
}

// makeRoom deletes the dehydrated device that a user has, unless it is the one that comes.
func makeRoom(tx *store.Tx, userNID int64, user id.UserID, device id.DeviceID) (store.DeviceChange, error) {
	old, _, err := tx.DehydratedDevice(userNID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.DeviceChange{}, err
	}
	if old == device {
		return store.DeviceChange{}, nil
	}
	taken, err := tx.HasDevice(user, device)
	if err == nil && taken {
		err = invalidParam("You have a device of this id, which is not dehydrated")
	}
	if err != nil {
		return store.DeviceChange{}, err
	}
	if old == "" {
		return store.DeviceChange{}, nil
	}
	return tx.DeleteDevice(userNID, old)
}

// Dehydrated returns the user's dehydrated device (MSC3814, GET /dehydrated_device). The error is M_NOT_FOUND.
func (s *Service) Dehydrated(ctx context.Context, user id.UserID) (out Dehydrated, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		_, out, err = dehydrated(tx, user)
		return err
	})
	return out, err
}

// dehydrated returns a user and their dehydrated device. The error is M_NOT_FOUND.
func dehydrated(tx *store.Tx, user id.UserID) (userNID int64, out Dehydrated, err error) {
	if userNID, err = tx.LookupNID(string(user)); err != nil {
		return 0, out, err
	}
	out.DeviceID, out.Data, err = tx.DehydratedDevice(userNID)
	if errors.Is(err, store.ErrNotFound) {
		err = keyNotFound("You have no dehydrated device")
	}
	return userNID, out, err
}

// DropDehydrated deletes the user's dehydrated device, with the messages that wait for it (MSC3814, DELETE /dehydrated_device). The error is
// M_NOT_FOUND.
func (s *Service) DropDehydrated(ctx context.Context, user id.UserID) (Dehydrated, error) {
	var (
		out    Dehydrated
		change store.DeviceChange
	)
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		userNID, device, err := dehydrated(tx, user)
		if err != nil {
			return err
		}
		out = Dehydrated{DeviceID: device.DeviceID}
		change, err = tx.DeleteDevice(userNID, device.DeviceID)
		return err
	})
	if err != nil {
		return out, err
	}
	s.ring(change)
	return out, nil
}

// DehydratedEvents returns the messages that wait for the user's dehydrated device, from a position that an answer named, "" for the first.
// They stay: who wakes the device may not come to the end (MSC3814). Errors: M_FORBIDDEN for another device, M_INVALID_PARAM.
func (s *Service) DehydratedEvents(ctx context.Context, user id.UserID, device id.DeviceID, from string) (DehydratedEvents, error) {
	out := DehydratedEvents{Events: []DehydratedEvent{}}
	var after int64
	if from != "" {
		var err error
		if after, err = strconv.ParseInt(from, 10, 64); err != nil || after < 0 {
			return out, invalidParam("next_batch is not one that this server gave")
		}
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		userNID, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		own, _, err := tx.DehydratedDevice(userNID)
		if errors.Is(err, store.ErrNotFound) || err == nil && own != device {
			return matrixError(http.StatusForbidden, "M_FORBIDDEN", "This is not your dehydrated device")
		}
		if err != nil {
			return err
		}
		return readDehydrated(tx, userNID, device, after, &out)
	})
	return out, err
}

// readDehydrated reads messages after a position.
func readDehydrated(tx *store.Tx, userNID int64, device id.DeviceID, after int64, out *DehydratedEvents) error {
	upto, err := tx.StreamPos()
	if err != nil {
		return err
	}
	messages, err := tx.ToDeviceAfter(userNID, device, after, upto, maxDehydratedEvents+1)
	if len(messages) > maxDehydratedEvents {
		messages, out.More = messages[:maxDehydratedEvents], true
	}
	for _, m := range messages {
		out.Events = append(out.Events, DehydratedEvent{Type: m.Type, Sender: m.Sender, Content: m.Content})
		after = m.Pos
	}
	out.NextBatch = strconv.FormatInt(after, 10)
	return err
}
