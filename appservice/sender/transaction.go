package sender

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// maxTxnEvents bounds the events of a transaction.
	maxTxnEvents = 100
	// maxTxnBytes bounds the body of a transaction. An event with its previous content is a good eighth of it at the most, and a
	// message to a device, which is there twice, another.
	maxTxnBytes = 1 << 20
	// maxTxnTyping bounds the rooms of which a transaction says who is typing.
	maxTxnTyping = 100
)

// The names that parts of a transaction have beside those of the specification, or of a proposal that has not been merged yet: what
// was made for the one or for the other finds what it looks for. MSC2409, MSC4203 and MSC3202, each in "Unstable prefix".
const (
	oldMSC2409 = "de.sorunome.msc2409."
	oldMSC3202 = "org.matrix.msc3202."
)

// taken tells how many of the first items of a queue fit into a transaction. An item that is larger than the bound goes alone.
func taken(queue []item) (n, size int) {
	var have [kinds]int
	size = len(bodyStart) + len(bodyEnd)
	for n < len(queue) {
		i := &queue[n]
		more := i.size()
		if have[i.kind] >= maxOfKind[i.kind] || n > 0 && size+more > maxTxnBytes {
			break
		}
		have[i.kind]++
		size += more
		n++
	}
	return whole(queue, n), size
}

// whole returns a number near n of first items such that no others have the position of the last: a cursor cannot stand within one.
func whole(queue []item, n int) int {
	for k := n; k > 0; k-- {
		if k == len(queue) || queue[k].pos != queue[k-1].pos {
			return k
		}
	}
	for n < len(queue) && queue[n].pos == queue[0].pos {
		n++
	}
	return n
}

const (
	bodyStart = `{"events":[`
	bodyEnd   = `]}`
)

// buildBody makes the body of a transaction of items, and of ephemeral events that are in no row.
// Application Service API, "Pushing events" and "Pushing ephemeral data"; MSC4203; MSC3202.
func buildBody(items []item, live [][]byte, size int) []byte {
	p := parts{devices: make(map[id.UserID]map[id.DeviceID]store.KeyCounts)}
	body := append(make([]byte, 0, size), bodyStart...)
	first := len(body)
	for n := range items {
		i := &items[n]
		if i.kind != kindEvent {
			p.add(i)
			continue
		}
		if len(body) > first {
			body = append(body, ',')
		}
		body = append(body, i.json...)
	}
	p.ephemeral = append(p.ephemeral, live...)
	p.addReceipts()
	return append(p.append(append(body, ']')), '}')
}

// parts are those of a transaction beside its events.
type parts struct {
	ephemeral, mail [][]byte
	receipts        []*receipt
	changed, left   []id.UserID
	devices         map[id.UserID]map[id.DeviceID]store.KeyCounts
}

func (p *parts) add(i *item) {
	switch i.kind {
	case kindReceipt:
		p.receipts = append(p.receipts, i.receipt)
	case kindPresence:
		p.ephemeral = append(p.ephemeral, i.json)
	case kindMail:
		p.mail = append(p.mail, i.json)
	case kindChanged:
		p.changed = appendNew(p.changed, i.user)
		p.left = without(p.left, i.user)
	case kindLeft:
		p.left = appendNew(p.left, i.user)
		p.changed = without(p.changed, i.user)
	case kindKeys:
		if p.devices[i.user] == nil {
			p.devices[i.user] = make(map[id.DeviceID]store.KeyCounts)
		}
		p.devices[i.user][i.device] = i.left
	}
}

func appendNew(users []id.UserID, user id.UserID) []id.UserID {
	if slices.Contains(users, user) {
		return users
	}
	return append(users, user)
}

func without(users []id.UserID, user id.UserID) []id.UserID {
	return slices.DeleteFunc(users, func(u id.UserID) bool { return u == user })
}

// append appends the parts that are not empty, as members with a comma before each.
func (p *parts) append(dst []byte) []byte {
	dst = appendArrays(dst, p.ephemeral, "ephemeral", oldMSC2409+"ephemeral")
	dst = appendArrays(dst, p.mail, "to_device", oldMSC2409+"to_device")
	if len(p.changed)+len(p.left) > 0 {
		lists, _ := json.Marshal(struct { // strings do not fail
			Changed []id.UserID `json:"changed"`
			Left    []id.UserID `json:"left"`
		}{append([]id.UserID{}, p.changed...), append([]id.UserID{}, p.left...)})
		dst = appendMembers(dst, lists, "device_lists", oldMSC3202+"device_lists")
	}
	if len(p.devices) == 0 {
		return dst
	}
	counts := make(map[id.UserID]map[id.DeviceID]json.RawMessage, len(p.devices))
	unused := make(map[id.UserID]map[id.DeviceID]json.RawMessage, len(p.devices))
	for user, devices := range p.devices {
		counts[user], unused[user] = make(map[id.DeviceID]json.RawMessage), make(map[id.DeviceID]json.RawMessage)
		for device, left := range devices {
			counts[user][device], unused[user][device] = left.OneTime, left.Fallback
		}
	}
	oneTime, _ := json.Marshal(counts) // of JSON that was made by this server
	fallback, _ := json.Marshal(unused)
	dst = appendMembers(dst, oneTime, "device_one_time_keys_count", oldMSC3202+"device_one_time_keys_count")
	return appendMembers(dst, fallback, "device_unused_fallback_key_types", oldMSC3202+"device_unused_fallback_key_types")
}

// appendMembers appends a value as members of several names.
func appendMembers(dst, value []byte, names ...string) []byte {
	for _, name := range names {
		dst = append(append(append(dst, `,"`...), name...), `":`...)
		dst = append(dst, value...)
	}
	return dst
}

// appendArrays appends an array, unless it is empty, as members of several names.
func appendArrays(dst []byte, elements [][]byte, names ...string) []byte {
	if len(elements) == 0 {
		return dst
	}
	for _, name := range names {
		dst = append(append(append(dst, `,"`...), name...), `":[`...)
		for n, e := range elements {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, e...)
		}
		dst = append(dst, ']')
	}
	return dst
}

// recipients returns the devices that a transaction has messages for.
func recipients(body []byte) (map[id.UserID][]id.DeviceID, error) {
	if !bytes.Contains(body, []byte(`,"to_device":[`)) { // mostly
		return nil, nil
	}
	var txn struct {
		ToDevice []struct {
			User   id.UserID   `json:"to_user_id"`
			Device id.DeviceID `json:"to_device_id"`
		} `json:"to_device"`
	}
	if err := json.Unmarshal(body, &txn); err != nil {
		return nil, fmt.Errorf("read a stored transaction: %w", err)
	}
	if len(txn.ToDevice) == 0 {
		return nil, nil
	}
	all := make(map[id.UserID][]id.DeviceID)
	for _, m := range txn.ToDevice {
		if !slices.Contains(all[m.User], m.Device) {
			all[m.User] = append(all[m.User], m.Device)
		}
	}
	return all, nil
}

// loadedEvents are events of interest, in the order of the stream, with those that they name.
type loadedEvents struct {
	rows    []store.EventIDs
	events  map[int64]*store.Event
	related map[int64]*store.Event
}

// loadEvents reads events.
func loadEvents(tx *store.Tx, rows []store.EventIDs) (l loadedEvents, err error) {
	if len(rows) == 0 {
		return l, nil
	}
	nids := make([]int64, len(rows))
	for i, row := range rows {
		nids[i] = row.NID
	}
	l.rows = rows
	if l.events, err = eventMap(tx, nids); err != nil {
		return l, err
	}
	nids = nids[:0]
	for _, e := range l.events {
		if e.IsState() && e.Replaces != 0 {
			nids = append(nids, e.Replaces)
		}
		if e.RedactedBy != 0 {
			nids = append(nids, e.RedactedBy)
		}
	}
	l.related, err = eventMap(tx, nids)
	return l, err
}

// items returns the events in the form that application services get.
func (l loadedEvents) items(now int64) []item {
	out := make([]item, 0, len(l.rows))
	for _, row := range l.rows {
		e := l.events[row.NID]
		if e == nil || e.Type == event.TypeDummy { // nil: purged since the row was read
			continue
		}
		out = append(out, item{pos: row.Pos, json: appendEvent(nil, e, l.related, now)})
	}
	return out
}

func eventMap(tx *store.Tx, nids []int64) (map[int64]*store.Event, error) {
	all, err := tx.EventsByNID(nids)
	if err != nil {
		return nil, err
	}
	m := make(map[int64]*store.Event, len(all))
	for _, e := range all {
		m[e.NID] = e
	}
	return m, nil
}
