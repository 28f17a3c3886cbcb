package usersync

import (
	"context"

	"causeway/homeserver/store"
)

// slidingKeys is what is new of the encryption of a device and of those with whom its user shares rooms.
type slidingKeys struct {
	read  bool
	lists deviceLists
	taken bool // keys of the device
}

func (k *slidingKeys) news() bool { return k.taken || len(k.lists.changed)+len(k.lists.left) > 0 }

// receive takes the tokens of extensions: that of sticky_events, and that of to_device, by which the device has what is before it (MSC3885). It is one of its own: a
// client may keep it longer than its connection. The error is M_INVALID_PARAM.
func (l *slidingLook) receive(ctx context.Context) error {
	if err := l.readStickySince(); err != nil {
		return err
	}
	x := &l.req.extensions.ToDevice
	if !x.Enabled {
		return nil
	}
	if l.s.inbox != nil {
		if err := l.s.inbox.Syncs(ctx, l.req.User, l.req.Device); err != nil {
			return err
		}
	}
	if x.Since == "" {
		return nil
	}
	var err error
	if l.mailed, err = parseToken("extensions.to_device.since", x.Since); err != nil || l.s.inbox == nil {
		return err
	}
	return l.s.inbox.Acknowledge(ctx, l.req.User, l.req.Device, l.mailed)
}

// readMail looks for messages to the device, once.
func (p *slidingPass) readMail() (err error) {
	x := &p.req.extensions.ToDevice
	if !x.Enabled || p.mail.upto > 0 {
		return nil
	}
	limit := maxToDevice
	if x.Limit > 0 {
		limit = min(limit, x.Limit)
	}
	after := p.mailed
	if after > p.upto {
		after = 0 // of a database that was since restored from a backup
	}
	p.mail, err = readMail(p.tx, p.userNID, p.req.Device, max(after, p.checked), p.upto, limit)
	return err
}

// toDevice is the extension to_device (MSC3885): {next_batch, events}.
func (p *slidingPass) toDevice() ([]byte, error) {
	if err := p.readMail(); err != nil {
		return nil, err
	}
	p.news = p.news || len(p.mail.messages) > 0
	dst := appendString([]byte(`{"next_batch":`), token(p.mail.upto))
	return append(p.mail.appendEvents(append(dst, `,"events":[`...)), `]}`...), nil
}

// readKeys looks for changes of device lists and of the device's own keys after a position, once.
func (p *slidingPass) readKeys(after int64) error {
	if !p.req.extensions.E2EE.Enabled || p.keys.read || p.since == 0 {
		return nil
	}
	p.keys.read = true
	if p.req.Device != "" && !p.tx.Quiet(store.FamilyKeyCounts, after) {
		counts, err := deviceKeys(p.tx, p.userNID, p.req.Device)
		if err != nil {
			return err
		}
		p.keys.taken = counts.Pos > after
	}
	var seats []store.Seat
	if !p.tx.Quiet(store.FamilyMemberships, after) {
		var err error
		if seats, err = seatsSince(p.tx, p.userNID, after, p.upto); err != nil {
			return err
		}
	}
	var err error
	p.keys.lists, err = readDeviceLists(p.tx, p.userNID, after, seats)
	return err
}

// e2ee is the extension e2ee (MSC3884). What it says is written by appendKeys, when the answer is.
func (p *slidingPass) e2ee() ([]byte, error) {
	if err := p.readKeys(max(p.checked, p.since)); err != nil {
		return nil, err
	}
	p.news = p.news || p.keys.news()
	p.tellsKeys = true
	return nil, nil
}

// appendKeys appends the extension e2ee to the others: {device_lists, device_one_time_keys_count, device_unused_fallback_key_types}. The
// lists are there where something has changed, and not in the first answer, by which a client that knows others' devices must ask
// for all of them again (MSC3884).
func (p *slidingPass) appendKeys(counts store.KeyCounts) {
	dst := append(appendField(p.extensions, "e2ee"), '{')
	if len(p.keys.lists.changed)+len(p.keys.lists.left) > 0 {
		dst = p.keys.lists.append(appendKey(dst, "device_lists"))
	}
	dst = append(appendKey(dst, "device_one_time_keys_count"), counts.OneTime...)
	dst = append(appendKey(dst, "device_unused_fallback_key_types"), counts.Fallback...)
	p.extensions = append(dst, '}')
}
