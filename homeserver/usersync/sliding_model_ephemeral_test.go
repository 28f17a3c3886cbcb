package usersync

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// modelTyping is who types where, of which it remembers the last few changes.
type modelTyping struct {
	serial, floor int64
	rooms         map[int64][]id.UserID
	changed       map[int64]int64 // by room, the serial
}

// turn has a user begin to type, or end.
func (m *modelTyping) turn(p *place, user id.UserID) {
	if m.rooms == nil {
		m.rooms, m.changed = make(map[int64][]id.UserID), make(map[int64]int64)
	}
	m.serial++
	old := m.rooms[p.nid]
	if i := slices.Index(old, user); i >= 0 {
		m.rooms[p.nid] = slices.Delete(slices.Clone(old), i, i+1)
	} else {
		m.rooms[p.nid] = append(slices.Clone(old), user)
	}
	m.changed[p.nid] = m.serial
	m.floor = max(m.floor, m.serial-20)
}

// TypingSince implements Typing.
func (m *modelTyping) TypingSince(serial int64) (rooms map[int64][]id.UserID, upto int64, known bool) {
	rooms = make(map[int64][]id.UserID)
	if serial < m.floor {
		maps.Copy(rooms, m.rooms)
		maps.DeleteFunc(rooms, func(_ int64, users []id.UserID) bool { return len(users) == 0 })
		return rooms, m.serial, false
	}
	for nid, at := range m.changed {
		if at > serial {
			rooms[nid] = m.rooms[nid]
		}
	}
	return rooms, m.serial, true
}

// restart has another server take over.
func (m *slidingModel) restart() {
	m.w.s = New(Config{DB: m.w.db, Bus: m.w.bus, Typing: m.typing, Now: func() time.Time { return time.UnixMilli(2_000_000) }})
	if m.bound > 0 {
		m.w.s.slidingBody = m.bound
	}
}

// read has a user read up to the last event of a room.
func (m *slidingModel) read(p *place, user id.UserID) { p.read(user, store.ReceiptRead, p.last) }

func (p *place) read(user id.UserID, kind string, e *store.Event) {
	p.w.t.Helper()
	if err := p.w.db.Write(context.Background(), func(tx *store.Tx) error {
		nid, err := tx.NID(string(user))
		if err != nil {
			return err
		}
		_, err = tx.SetReceipt(store.Receipt{RoomNID: p.nid, UserNID: nid, Type: kind, EventID: e.EventID, EventPos: e.Pos, TS: p.w.now})
		return err
	}); err != nil {
		p.w.t.Fatal(err)
	}
}

// applyEphemeral has the client believe what the answer says beside events.
func (m *slidingModel) applyEphemeral(a *slidingAnswer) {
	m.w.t.Helper()
	for roomID, e := range a.Extensions.Receipts.Rooms {
		known := m.rooms[roomID]
		if known == nil {
			m.w.t.Errorf("receipts of %s, which is not known", roomID)
			continue
		}
		for eventID, kinds := range e.Content {
			for user := range kinds[store.ReceiptRead] {
				known.receipts[user] = eventID
			}
		}
	}
	for roomID, e := range a.Extensions.Typing.Rooms {
		if m.rooms[roomID] == nil {
			m.w.t.Errorf("typing in %s, which is not known", roomID)
			continue
		}
		m.rooms[roomID].typing = e.Content.UserIDs
	}
}

// checkEphemeral compares what the client believes of a room that it wants to know of with what is true. Receipts of before their users
// came are not told to everybody.
func (m *slidingModel) checkEphemeral(p *place, known *modelRoom) {
	t := m.w.t
	t.Helper()
	m.w.view(func(tx *store.Tx) error {
		rows, err := tx.Receipts(p.nid, m.w.nid(alice), 0, math.MaxInt64, true, 100)
		for _, row := range rows {
			name, err := tx.Text(row.UserNID)
			if err != nil {
				return err
			}
			user := id.UserID(name)
			if row.Pos > p.state[[2]string{event.TypeMember, name}].Pos && known.receipts[user] != row.EventID {
				t.Errorf("%s: %s has read %s, want %s", p.id, user, known.receipts[user], row.EventID)
			}
		}
		return err
	})
	if got, want := sortedUsers(known.typing), sortedUsers(m.typing.rooms[p.nid]); !slices.Equal(got, want) {
		t.Errorf("%s: %q are believed to type, want %q", p.id, got, want)
	}
}

func sortedUsers(users []id.UserID) []id.UserID { return slices.Sorted(slices.Values(users)) }
