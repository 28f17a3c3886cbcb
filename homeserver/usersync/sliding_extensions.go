package usersync

import (
	"slices"

	"causeway/homeserver/store"
)

// covers tells whether an extension is for a room: by a list in which it lies, or by the subscription to it.
func (x *scopedExtension) covers(r *slidingRoom) bool {
	if x.Lists == nil && len(r.lists) > 0 || x.Rooms == nil && r.subscribed {
		return true
	}
	if x.Lists != nil && len(r.lists) > 0 && slices.ContainsFunc(*x.Lists, func(name string) bool {
		return name == wildcard || slices.Contains(r.lists, name)
	}) {
		return true
	}
	return x.Rooms != nil && slices.ContainsFunc(*x.Rooms, func(name string) bool {
		return name == wildcard && r.subscribed || name == string(r.roomID)
	})
}

// quiet tells that nothing has happened besides events: to what a settled request was told up to a position, and to what lives
// outside of connections after another.
func (p *slidingPass) quiet(settled, since int64) (bool, error) {
	if p.req.extensions.AccountData.Enabled || p.asksForRooms() { // is_dm is told of every room
		if !p.tx.Quiet(store.FamilyAccountData, settled) {
			rows, err := p.tx.AccountDataSince(p.req.User, settled, p.upto)
			if err != nil || len(rows) > 0 {
				return false, err
			}
		}
	}
	return p.quietElsewhere(settled, since)
}

// extend writes the extensions.
func (p *slidingPass) extend() error {
	x := &p.req.extensions
	for _, e := range [...]struct {
		name    string
		enabled bool
		append  func() (body []byte, err error) // sets news where its answer should not wait
	}{
		{"to_device", x.ToDevice.Enabled, p.toDevice},
		{"e2ee", x.E2EE.Enabled, p.e2ee},
		{"account_data", x.AccountData.Enabled, p.accountData},
		{"receipts", x.Receipts.Enabled, p.receipts},
		{"typing", x.Typing.Enabled, p.whoTypes},
		{stickyExtension, p.wantsSticky(), p.stickyEvents},
		{"io.element.msc4308.thread_subscriptions", x.Threads.Enabled, p.threads},
	} {
		if !e.enabled {
			continue
		}
		body, err := e.append()
		if err != nil {
			return err
		}
		if len(body) > 0 {
			p.extensions = append(appendField(p.extensions, e.name), body...)
		}
	}
	return nil
}

// known returns what the device knows of a room, or of what belongs to none: by this answer, where there is news of it.
func (p *slidingPass) knownOf(roomNID int64) *store.SlidingRoom {
	if next := p.changes[roomNID]; next != nil {
		return next
	}
	return p.conn.rooms[roomNID]
}

// advance notes that the device knows something else of a room. Without news of it that is kept in memory alone.
func (p *slidingPass) advance(roomNID int64, news bool, change func(*store.SlidingRoom)) {
	if next := p.changes[roomNID]; next != nil {
		change(next)
		return
	}
	next := &store.SlidingRoom{RoomNID: roomNID}
	old := p.conn.rooms[roomNID]
	if old != nil {
		*next = *old
	}
	change(next)
	if news {
		p.note(next)
	} else if old != nil {
		p.conn.rooms[roomNID] = next
	}
}

// dataSection is the account data of a room in an answer.
type dataSection struct {
	room *slidingRoom // nil for what belongs to none
	from int64
	body []byte
}

// accountData is the extension account_data (MSC3959): {global, rooms}.
func (p *slidingPass) accountData() ([]byte, error) {
	settled := p.conn.settled
	if settled.digest != p.req.digest {
		settled = settlement{}
	}
	from := func(roomNID int64) int64 {
		if roomNID == 0 || settled.rooms[roomNID] {
			if settled.pos > 0 {
				return settled.pos
			}
		}
		if told := p.conn.rooms[roomNID]; told != nil {
			return told.DataPos
		}
		return 0
	}
	sections := map[int64]*dataSection{0: {from: from(0)}}
	for _, r := range p.relevant {
		if p.req.extensions.AccountData.covers(r) && p.knownOf(r.seat.RoomNID) != nil {
			sections[r.seat.RoomNID] = &dataSection{room: r, from: from(r.seat.RoomNID)}
		}
	}
	rows, err := p.dataRows(sections)
	if err != nil {
		return nil, err
	}
	rules := false
	for _, row := range rows {
		section := sections[row.RoomNID]
		if section == nil || row.Pos <= section.from {
			continue
		}
		if row.RoomNID == 0 && row.Type == typePushRules && p.s.push != nil {
			rules = true
			if row.Content, err = p.s.push.AccountData(p.req.User, row.Content); err != nil {
				return nil, err
			}
		}
		section.body = appendAccountData(section.body, row.Type, row.Content)
	}
	if global := sections[0]; global.from == 0 && !rules && p.s.push != nil {
		content, err := p.s.push.AccountData(p.req.User, nil)
		if err != nil {
			return nil, err
		}
		global.body = appendAccountData(global.body, typePushRules, content)
	}
	return p.appendData(sections), nil
}

// dataRows reads the account data that the sections may hold, and perhaps more.
func (p *slidingPass) dataRows(sections map[int64]*dataSection) ([]store.AccountData, error) {
	const few = 10 // rooms that are worth a query each
	lower, fresh := sections[0].from, 0
	for _, s := range sections {
		if s.from == 0 {
			fresh++
		} else {
			lower = min(lower, s.from)
		}
	}
	if fresh > few {
		lower = 0
	}
	var rows []store.AccountData
	if !p.tx.Quiet(store.FamilyAccountData, lower) {
		var err error
		if rows, err = p.tx.AccountDataSince(p.req.User, lower, p.upto); err != nil {
			return nil, err
		}
	}
	if lower == 0 {
		return rows, nil
	}
	for roomNID, s := range sections {
		if s.from > 0 {
			continue
		}
		older, err := p.tx.RoomAccountDataUpTo(p.userNID, roomNID, lower)
		if err != nil {
			return nil, err
		}
		rows = append(rows, older...)
	}
	return rows, nil
}

// appendData is the object of account data.
func (p *slidingPass) appendData(sections map[int64]*dataSection) []byte {
	any := false
	dst := append(append([]byte(`{"global":[`), sections[0].body...), `],"rooms":{`...)
	for _, r := range p.relevant {
		if s := sections[r.seat.RoomNID]; s != nil && len(s.body) > 0 {
			dst = append(append(append(appendKey(dst, r.roomID), '['), s.body...), ']')
		}
	}
	for roomNID, s := range sections {
		news := len(s.body) > 0
		any = any || news
		p.advance(roomNID, news, func(next *store.SlidingRoom) { next.DataPos = p.upto })
	}
	if !any {
		return nil
	}
	p.news = true
	return append(dst, `}}`...)
}
