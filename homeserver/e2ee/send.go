package e2ee

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Bounds on to-device messages.
const (
	maxMessageBytes = 64 << 10 // of one content
	maxRecipients   = 5000     // of one request, as it names them
	maxRequestBytes = 32 << 20 // of the contents of one request, once for each device that they go to
	// maxWaiting is how many messages of one sender may wait for one device. Beyond, the oldest of this sender go: nobody can push
	// out what others have sent.
	maxWaiting = 5000
	// trimEvery is on which messages a sender's are counted: counting takes time when there are many.
	trimEvery = 64
	// rememberTxns is how long a repeated request is known for what it is.
	rememberTxns = 24 * time.Hour
)

// allDevices stands for all devices of a user.
const allDevices id.DeviceID = "*"

// Messages are the contents of to-device messages, by user and device.
type Messages map[id.UserID]map[id.DeviceID]json.RawMessage

// Send has messages wait for devices, each until the device has it (Client-Server API, "Send-to-Device messaging"). The same txnID from
// the same device changes nothing the second time. Devices that are not there are left out, as are users of other servers until this
// server speaks with others. Errors: M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE, M_UNKNOWN_TOKEN for a device
// that is gone.
func (s *Service) Send(ctx context.Context, by By, eventType, txnID string, messages Messages) error {
	if !isName(eventType) || !isName(txnID) {
		return invalidParam("The type and the transaction ID must be text of 1 to %d bytes", maxNameBytes)
	}
	messages, err := checkMessages(messages)
	if err != nil {
		return err
	}
	for user := range messages {
		if _, local := s.local(user); !local {
			// Federation sends these on.
			zerolog.Ctx(ctx).Debug().Str("user_id", string(user)).Msg("To-device messages to another server are not sent")
			delete(messages, user)
		}
	}
	var signals []notify.Signal
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		signals = signals[:0]
		d := delivery{s: s, tx: tx, eventType: eventType, nowTS: s.now().UnixMilli()}
		var err error
		if d.sender, err = owner(tx, by); err != nil {
			return err
		}
		fresh, err := tx.InsertToDeviceTxn(d.sender, by.Scope, eventType, txnID, d.nowTS, d.nowTS-rememberTxns.Milliseconds())
		if err != nil || !fresh {
			return err
		}
		for _, user := range slices.Sorted(maps.Keys(messages)) {
			if err := d.toUser(user, messages[user]); err != nil {
				return err
			}
		}
		signals = append(signals, d.signals...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("send to-device messages of %s: %w", by.User, err)
	}
	s.bus.Publish(signals...)
	return nil
}

// checkMessages returns messages, with their contents made compact.
func checkMessages(messages Messages) (Messages, error) {
	if messages == nil {
		return nil, matrixError(400, "M_MISSING_PARAM", "Missing messages")
	}
	n := 0
	checked := make(Messages, len(messages))
	for user, devices := range messages {
		checked[user] = make(map[id.DeviceID]json.RawMessage, len(devices))
		for device, content := range devices {
			if n++; n > maxRecipients {
				return nil, tooLarge("A request can have messages to %d devices", maxRecipients)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, content); err != nil || compact.Bytes()[0] != '{' {
				return nil, badJSON("The message to %s must be an object", user)
			}
			if compact.Len() > maxMessageBytes {
				return nil, tooLarge("A to-device message can have %d bytes", maxMessageBytes)
			}
			checked[user][device] = compact.Bytes()
		}
	}
	return checked, nil
}

// delivery is one request in its transaction.
type delivery struct {
	s         *Service
	tx        *store.Tx
	eventType string
	sender    int64
	nowTS     int64
	bytes     int
	signals   []notify.Signal
}

func (d *delivery) toUser(user id.UserID, contents map[id.DeviceID]json.RawMessage) error {
	userNID, err := d.tx.LookupNID(string(user))
	if err != nil || userNID == 0 {
		return err
	}
	devices, err := d.tx.DeviceIDs(userNID)
	if err != nil {
		return err
	}
	var pos int64
	for _, device := range devices {
		content, ok := contents[device]
		if !ok {
			if content, ok = contents[allDevices]; !ok {
				continue
			}
		}
		if d.bytes += len(content); d.bytes > maxRequestBytes {
			return tooLarge("The messages of a request can have %d bytes together", maxRequestBytes)
		}
		if pos, err = d.tx.InsertToDevice(userNID, device, d.sender, d.eventType, content, d.nowTS); err != nil {
			return err
		}
		if err := d.trim(userNID, device, pos); err != nil {
			return err
		}
	}
	if pos != 0 {
		d.signals = append(d.signals, notify.Signal{Key: notify.Key{Kind: notify.User, NID: userNID}, Pos: pos})
	}
	return nil
}

func (d *delivery) trim(userNID int64, device id.DeviceID, pos int64) error {
	if pos%trimEvery != 0 {
		return nil
	}
	dropped, err := d.tx.TrimToDevice(userNID, device, d.sender, d.s.maxWaiting)
	if err == nil && dropped > 0 {
		zerolog.Ctx(d.tx.Context()).Warn().Int64("dropped", dropped).Str("device_id", string(device)).
			Msg("One sender has too many messages waiting for a device: the oldest are dropped")
	}
	return err
}
