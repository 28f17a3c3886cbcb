package usersync

import (
	"context"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxToDevice is how many to-device messages one answer has at most. Client-Server API, "Send-to-Device messaging", Server behaviour.
const maxToDevice = 100

// Inbox is where messages wait for devices.
type Inbox interface {
	// Acknowledge says that a device has its messages up to a position.
	Acknowledge(ctx context.Context, user id.UserID, device id.DeviceID, upto int64) error
	// Syncs says that a device asks for its messages.
	Syncs(ctx context.Context, user id.UserID, device id.DeviceID) error
}

// mail is the messages that one answer has for a device.
type mail struct {
	messages []store.ToDevice
	upto     int64 // the device has all up to here when it has these
}

// readMail returns the first messages for a device at after < pos ≤ upto, at most limit.
func readMail(tx *store.Tx, userNID int64, device id.DeviceID, after, upto int64, limit int) (mail, error) {
	m := mail{upto: upto}
	if device == "" || after >= upto || tx.Quiet(store.FamilyToDevice, after) {
		return m, nil
	}
	var err error
	m.messages, err = tx.ToDeviceAfter(userNID, device, after, upto, limit+1)
	if len(m.messages) > limit {
		m.messages = m.messages[:limit]
		m.upto = m.messages[limit-1].Pos
	}
	return m, err
}

// appendEvents appends the messages as the elements of an array.
func (m mail) appendEvents(dst []byte) []byte {
	for _, message := range m.messages {
		dst = append(appendComma(dst), `{"type":`...)
		dst = appendString(dst, message.Type)
		dst = appendString(append(dst, `,"sender":`...), message.Sender)
		dst = append(append(dst, `,"content":`...), message.Content...)
		dst = append(dst, '}')
	}
	return dst
}

// readToDevice looks for messages to this device. A device that is told of new ones, or of keys that were taken, has news.
func (p *pass) readToDevice() (err error) {
	after := p.known.toDevice
	if p.initial {
		after = 0
	}
	if p.mail, err = readMail(p.tx, p.userNID, p.req.Device, after, p.upto, maxToDevice); err != nil {
		return err
	}
	p.news = p.news || len(p.mail.messages) > 0
	if p.initial || p.req.Device == "" || p.tx.Quiet(store.FamilyKeyCounts, p.after) {
		return nil
	}
	counts, err := deviceKeys(p.tx, p.userNID, p.req.Device)
	p.news = p.news || counts.Pos > p.after
	return err
}

// keysLeft is what of its keys a device has left, if a reading that led to an answer knows that.
type keysLeft struct {
	known  bool
	counts store.KeyCounts
}

// look takes what was read ahead.
func (k *keysLeft) look(tx *store.Tx, userNID int64, device id.DeviceID) {
	k.counts, k.known = keysAhead(tx, userNID, device)
}

// keyCounts returns what of its keys a device has left, as of the reading or of now: what was uploaded before the request counts, lest the
// client uploads more.
func (s *Service) keyCounts(ctx context.Context, userNID int64, device id.DeviceID, left keysLeft) (counts store.KeyCounts, err error) {
	if device == "" {
		return store.KeyCounts{OneTime: []byte(`{}`), Fallback: []byte(`[]`)}, nil
	}
	if left.known {
		return left.counts, nil
	}
	err = s.db.Peek(ctx, func(tx *store.Tx) error {
		counts, err = tx.KeyCounts(userNID, device)
		return err
	})
	return counts, err
}

// appendToDevice appends the messages to this device, a member of the answer, with a comma after it.
func (p *pass) appendToDevice(dst []byte) []byte {
	dst = append(dst, `"to_device":{"events":[`...)
	return append(p.mail.appendEvents(dst), `]},`...)
}

// appendDevices appends whose devices have changed, and which keys of this device are left, members of the answer.
func (p *pass) appendDevices(dst []byte, counts store.KeyCounts) []byte {
	dst = append(dst, `"device_lists":`...)
	dst = p.devices.append(dst)
	dst = append(append(dst, `,"device_one_time_keys_count":`...), counts.OneTime...)
	dst = append(append(dst, `,"device_unused_fallback_key_types":`...), counts.Fallback...)
	// MSC2732 by the name that it had before it was merged: there are clients that look for it alone.
	return append(append(dst, `,"org.matrix.msc2732.device_unused_fallback_key_types":`...), counts.Fallback...)
}
