//go:build goolm

package e2be

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Receive takes what a transaction holds beside events, and returns when it is in the database, so that the transaction
// can be acknowledged. What has been received before does no harm.
func (m *Machine) Receive(ctx context.Context, b Beside) error {
	machine := m.machine()
	if machine == nil {
		return errors.New("encryption has not started")
	}
	if b.DeviceLists != nil {
		machine.HandleDeviceLists(ctx, b.DeviceLists, "")
	}
	for _, raw := range b.ToDevice {
		evt := &event.Event{}
		if err := json.Unmarshal(raw, evt); err != nil {
			continue // it stays malformed
		}
		evt.Type.Class = event.ToDeviceEventType
		if evt.Content.ParseRaw(evt.Type) == nil {
			machine.HandleToDeviceEvent(ctx, evt)
		}
	}
	for user, devices := range b.KeyCounts {
		for device, counts := range devices {
			counts.UserID, counts.DeviceID = user, device
			if user == machine.Client.UserID && device == machine.Client.DeviceID {
				machine.HandleOTKCounts(ctx, &counts)
			}
		}
	}
	return ctx.Err()
}

// HandleMemberEvent implements matrix.Crypto: who comes does not read what was said before, and who goes not what is
// said from now on.
func (m *Machine) HandleMemberEvent(ctx context.Context, evt *event.Event) {
	m.machine().HandleMemberEvent(ctx, evt)
}

// Decrypt implements matrix.Crypto. An event whose key has not come is not handled until it has, or KeyWait is over: if
// the process dies before, it is handled after the next start.
func (m *Machine) Decrypt(ctx context.Context, evt *event.Event) (*event.Event, error) {
	decrypted, err := m.machine().DecryptMegolmEvent(ctx, evt)
	if errors.Is(err, crypto.ErrNoSessionFound) {
		m.holdFor(evt.ID, KeyWait)
	}
	return decrypted, err
}

// Encrypt implements matrix.Crypto. It gives the key to everybody in the room when they do not have it.
func (m *Machine) Encrypt(ctx context.Context, room id.RoomID, eventType event.Type, content *event.Content) error {
	machine := m.machine()
	encrypted, err := machine.EncryptMegolmEvent(ctx, room, eventType, content)
	if needsKey(err) {
		encrypted, err = m.encryptAnew(ctx, machine, room, eventType, content)
	}
	if err != nil {
		return fmt.Errorf("encrypt for %s: %w", room, err)
	}
	content.Parsed, content.Raw = encrypted, nil
	return nil
}

func needsKey(err error) bool {
	return errors.Is(err, crypto.ErrNoGroupSession) || errors.Is(err, crypto.ErrSessionExpired) ||
		errors.Is(err, crypto.ErrSessionNotShared)
}

func (m *Machine) encryptAnew(ctx context.Context, machine *crypto.OlmMachine, room id.RoomID, eventType event.Type,
	content *event.Content) (*event.EncryptedEventContent, error) {
	defer m.sharing.WithLock(room)()
	// Somebody else may have shared one meanwhile.
	encrypted, err := machine.EncryptMegolmEvent(ctx, room, eventType, content)
	if !needsKey(err) {
		return encrypted, err
	}
	people, err := m.people(ctx, room)
	if err != nil {
		return nil, fmt.Errorf("list the members: %w", err)
	}
	if err := machine.ShareGroupSession(ctx, room, people); err != nil {
		return nil, fmt.Errorf("share a key: %w", err)
	}
	return machine.EncryptMegolmEvent(ctx, room, eventType, content)
}

// people are those in a room, and those invited, who are not the bridge itself.
func (m *Machine) people(ctx context.Context, room id.RoomID) ([]id.UserID, error) {
	states, client := m.o.Connector.StateStore, m.Client()
	fetched, err := states.HasFetchedMembers(ctx, room)
	if err != nil {
		return nil, err
	}
	if !fetched {
		// Those who were there before the bridge are in no transaction.
		if _, err := client.Members(ctx, room); err != nil {
			return nil, err
		}
	}
	members, err := states.GetRoomMembers(ctx, room, event.MembershipJoin, event.MembershipInvite)
	if err != nil {
		return nil, err
	}
	var people []id.UserID
	for user := range members {
		if user != client.UserID && !m.o.IsGhost(user) {
			people = append(people, user)
		}
	}
	return people, nil
}

// WaitForSession implements matrix.Crypto. When the bridge stops meanwhile, it ends the goroutine, with which bridgev2 would
// tell people that the key did not come: the event stays unfinished, and is handled after the next start.
func (m *Machine) WaitForSession(ctx context.Context, room id.RoomID, sender id.SenderKey, session id.SessionID, timeout time.Duration) bool {
	came := m.machine().WaitForSession(ctx, room, sender, session, timeout)
	if !came && ctx.Err() != nil {
		runtime.Goexit()
	}
	return came
}

// RequestSession implements matrix.Crypto: it asks the devices of who wrote a message for its key.
func (m *Machine) RequestSession(ctx context.Context, room id.RoomID, sender id.SenderKey, session id.SessionID, user id.UserID, device id.DeviceID) {
	if device == "" {
		device = "*"
	}
	err := m.machine().SendRoomKeyRequest(ctx, room, sender, session, "", map[id.UserID][]id.DeviceID{user: {device}})
	if err != nil {
		m.log.Err(err).Stringer("room_id", room).Stringer("user_id", user).Msg("Asking for the key of a message")
	}
}

// ResetSession implements matrix.Crypto: the next message in the room has a new key.
func (m *Machine) ResetSession(ctx context.Context, room id.RoomID) {
	if err := m.machine().CryptoStore.RemoveOutboundGroupSession(ctx, room); err != nil {
		m.log.Err(err).Stringer("room_id", room).Msg("Dropping the key of a room")
	}
}
