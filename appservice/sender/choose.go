package sender

import (
	"slices"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// choose returns what of a stretch concerns the service, in the order of the stream, and ends the stretch where there are enough
// events.
func (w *worker) choose(tx *store.Tx, s *stretch) ([]item, error) {
	var aliases map[int64][]id.RoomAlias
	if w.interest.hasAliases() {
		var err error
		if aliases, err = aliasesOf(tx, s.rows); err != nil {
			return nil, err
		}
	}
	var wanted []store.EventIDs
	for _, row := range s.rows {
		if row.Pos > s.upto {
			break
		}
		if w.interest.boring(row, aliases[row.RoomNID]) {
			continue
		}
		want, err := w.interest.decide(tx, row, aliases[row.RoomNID])
		if err != nil {
			return nil, err
		}
		if want {
			wanted = append(wanted, row)
		}
		if len(wanted) >= maxTxnEvents {
			s.cut(row.Pos)
		}
	}
	events, err := loadEvents(tx, wanted)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	items := events.items(now)
	c := &choice{w: w, tx: tx, s: s, now: now, items: items}
	if w.beside.ephemeral {
		err = errFirst(c.receipts(), c.presences())
	}
	if err == nil && w.beside.devices {
		err = errFirst(c.mail(), c.keys(), c.deviceLists(events))
	}
	slices.SortStableFunc(c.items, func(a, b item) int { return int(a.pos - b.pos) })
	return c.items, err
}

// choice gathers what of a stretch concerns the service.
type choice struct {
	w     *worker
	tx    *store.Tx
	s     *stretch
	now   int64
	items []item
}

// receipts takes those of rooms that concern the service and where it may listen, and of the private ones those of its own users.
// Application Service API, "Pushing ephemeral data", m.receipt.
func (c *choice) receipts() error {
	for _, r := range c.s.receipts {
		if r.Pos > c.s.upto {
			break
		}
		ours, err := c.w.interest.user(c.tx, r.UserNID)
		if err != nil {
			return err
		}
		if r.Type == store.ReceiptReadPrivate && !ours {
			continue
		}
		hears, err := c.w.interest.hears(c.tx, r.RoomNID, c.s.upto)
		if err != nil {
			return err
		}
		if !hears {
			continue
		}
		roomID, err := c.tx.RoomID(r.RoomNID)
		if err != nil {
			return err
		}
		user, err := c.tx.Text(r.UserNID)
		if err != nil {
			return err
		}
		c.items = append(c.items, item{pos: r.Pos, kind: kindReceipt, receipt: &receipt{roomID: roomID, Receipt: event.Receipt{
			EventID: r.EventID, Type: r.Type, User: id.UserID(user), Thread: r.Thread, TS: r.TS,
		}}})
	}
	return nil
}

// presences takes those of the service's users, and of those who share a room with one, of the size in which people hear of each other's
// presence. Application Service API, "Pushing ephemeral data", m.presence.
func (c *choice) presences() error {
	for _, p := range c.s.presences {
		if p.Pos > c.s.upto {
			break
		}
		near, err := c.w.interest.user(c.tx, p.UserNID)
		if err == nil && !near {
			var rooms []int64
			if rooms, err = c.tx.SmallRooms(p.UserNID, c.w.beside.presenceMembers); err == nil {
				near, err = c.w.interest.inAny(c.tx, rooms, c.s.upto)
			}
		}
		if err != nil {
			return err
		}
		if !near {
			continue
		}
		name, err := c.tx.Text(p.UserNID)
		if err != nil {
			return err
		}
		shown := event.Presence{User: id.UserID(name), State: p.State, StatusMsg: p.StatusMsg, LastActiveTS: p.LastActiveTS}
		if c.w.beside.live != nil {
			shown.LastActiveTS = max(shown.LastActiveTS, c.w.beside.live.LastActive(shown.User))
		}
		c.items = append(c.items, item{pos: p.Pos, kind: kindPresence, json: event.AppendPresence(nil, shown, c.now)})
	}
	return nil
}
