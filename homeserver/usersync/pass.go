package usersync

import (
	"encoding/json"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// shortRange is how many positions of the stream are looked through for the user's rooms; past that, it is cheaper to ask
// each of the user's rooms for its newest event.
const shortRange = 400

// pass is one reading of what is new to a device, in one snapshot of the database. Its sections are JSON in the making.
type pass struct {
	*look
	*sight
	tx      *store.Tx
	nowTS   int64
	userNID int64
	after   int64 // what is new comes after this position
	upto    int64 // the newest position of the snapshot
	initial bool  // the device knows nothing

	seats []store.Seat                  // memberships to look at
	data  map[int64][]store.AccountData // new account data, by room; 0 for none
	all   map[int64][]store.AccountData // old account data too; nil until a room needs it

	news                               bool
	join, invite, knock, leave, global []byte // the members of objects, or the elements of an array

	beside    besides
	typing    typingNews
	newcomers newcomers // with whom the user has come to share a room
	presences []byte
	mail      mail
	left      keysLeft
	devices   deviceLists
	lazy      chainStep // the members that the answer tells of

	tally *tally // nil before it is asked for
}

func newPass(l *look, tx *store.Tx) (*pass, error) {
	p := &pass{look: l, sight: l.s.newSight(tx, l.req.User), tx: tx, nowTS: l.s.now().UnixMilli(), after: l.known.pos}
	var err error
	if p.upto, err = streamPos(tx); err != nil {
		return nil, err
	}
	// A token from the future is one of a database that was since restored from a backup. Starting anew heals that.
	if l.req.Since == "" || p.after > p.upto {
		p.initial, p.after = true, 0
	}
	p.mail.upto = p.upto
	known := l.known.typing
	if p.initial {
		known = 0
	}
	p.typing = l.s.typingSince(known)
	p.userNID, err = tx.LookupNID(string(l.req.User))
	return p, err
}

func (p *pass) run() error {
	if err := p.readToDevice(); err != nil {
		return err
	}
	if p.after == p.upto && len(p.typing.rooms) == 0 && !p.initial && !p.req.FullState {
		return nil
	}
	if err := p.readAccountData(); err != nil {
		return err
	}
	if err := p.readBesides(); err != nil {
		return err
	}
	if err := p.readSeats(); err != nil {
		return err
	}
	if err := p.readDevices(); err != nil {
		return err
	}
	for _, seat := range p.seats {
		if err := p.room(seat); err != nil {
			return err
		}
	}
	if err := p.readPresence(); err != nil {
		return err
	}
	return p.globalAccountData()
}

// besides is what is new beside the events and the account data: a file of its own for each kind.
type besides struct {
	rooms map[int64]bool // the joined rooms that have something of it
	read  map[int64]bool // of these, those that the user has read
}

// readBesides looks for what is new beside events and account data, and sets news where that alone is an answer.
func (p *pass) readBesides() error {
	p.beside.rooms = make(map[int64]bool)
	if err := p.readUnread(); err != nil {
		return err
	}
	if p.initial || p.req.FullState {
		return nil // all rooms are looked at
	}
	typing, err := p.typing.joined(p.tx, p.userNID)
	if err != nil {
		return err
	}
	var receipts []int64
	if !p.tx.Quiet(store.FamilyReceipts, p.after) {
		if receipts, err = roomsWithReceipts(p.tx, p.userNID, p.after, p.upto, p.short()); err != nil {
			return err
		}
	}
	for _, nid := range slices.Concat(typing, receipts) {
		p.beside.rooms[nid] = true
	}
	return nil
}

// short tells whether so little is new to the server that it is looked through for what concerns the user.
func (p *pass) short() bool {
	return !p.initial && !p.req.FullState && p.upto-p.after <= shortRange
}

// readSeats finds the memberships that may have something to say.
func (p *pass) readSeats() (err error) {
	if p.short() {
		p.seats, err = seatsChanged(p.tx, p.userNID, p.after, p.upto)
	} else if p.initial || p.req.FullState {
		p.seats, err = p.tx.Seats(p.userNID, 0)
	} else {
		p.seats, err = p.tx.SeatsNews(p.userNID, p.after)
	}
	if err != nil {
		return err
	}
	// A room without new events may still have new account data, or news beside its events.
	others := make(map[int64]bool)
	for roomNID := range p.data {
		others[roomNID] = true
	}
	for roomNID := range p.beside.rooms {
		others[roomNID] = true
	}
	for roomNID := range others {
		if roomNID == 0 || slices.ContainsFunc(p.seats, func(s store.Seat) bool { return s.RoomNID == roomNID }) {
			continue
		}
		seat, err := seatIn(p.tx, p.userNID, roomNID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		p.seats = append(p.seats, seat)
	}
	return nil
}

// room writes what is new of one room into the section for the user's membership.
func (p *pass) room(seat store.Seat) error {
	changed := seat.Pos > p.after // the membership
	if seat.Membership.Membership == event.MembershipJoin {
		if !changed && seat.LastPos <= p.after && len(p.data[seat.RoomNID]) == 0 && !p.beside.rooms[seat.RoomNID] && !p.req.FullState {
			return nil
		}
	} else if !changed && !p.req.FullState {
		return nil
	}
	roomID, err := p.tx.RoomID(seat.RoomNID)
	if err != nil || !p.filter.Room.allowsRoom(roomID) {
		return err
	}
	r := &roomPass{
		pass: p, seat: seat, roomID: roomID,
		v: newViewer(p.sight, seat.RoomNID, seat.Membership, seat.StateID),
	}
	r.renderer = renderer{v: r.v, device: p.req.Device, nowTS: p.nowTS, omitRoomID: true, shape: p.filter.shape}
	switch seat.Membership.Membership {
	case event.MembershipJoin:
		return r.joined()
	case event.MembershipInvite:
		return r.invited(&p.invite, "invite_state")
	case event.MembershipKnock:
		return r.invited(&p.knock, "knock_state")
	default:
		return r.left()
	}
}

func (p *pass) readAccountData() error {
	if p.tx.Quiet(store.FamilyAccountData, p.after) {
		return nil
	}
	rows, err := p.tx.AccountDataSince(p.req.User, p.after, p.upto)
	if err != nil {
		return err
	}
	p.data = byRoom(rows)
	return nil
}

// allAccountData returns the user's account data, old and new, by room. It is read once: a client that asks for the full state needs it
// for each of its rooms.
func (p *pass) allAccountData() (map[int64][]store.AccountData, error) {
	if p.all != nil {
		return p.all, nil
	}
	rows, err := p.tx.AccountDataSince(p.req.User, 0, p.upto)
	if err != nil {
		return nil, err
	}
	if p.all = byRoom(rows); p.all == nil {
		p.all = map[int64][]store.AccountData{}
	}
	return p.all, nil
}

func byRoom(rows []store.AccountData) map[int64][]store.AccountData {
	if len(rows) == 0 {
		return nil
	}
	m := make(map[int64][]store.AccountData)
	for _, row := range rows {
		m[row.RoomNID] = append(m[row.RoomNID], row)
	}
	return m
}

// globalAccountData writes the account data that belongs to no room, with the push rules among it.
func (p *pass) globalAccountData() error {
	rules := false
	for _, row := range p.data[0] {
		if row.Type == typePushRules && p.s.push != nil {
			rules = true
			var err error
			if row.Content, err = p.s.push.AccountData(p.req.User, row.Content); err != nil {
				return err
			}
		}
		p.addGlobal(row.Type, row.Content)
	}
	// A user who has not changed the rules has them all the same.
	if !p.initial || rules || p.s.push == nil {
		return nil
	}
	content, err := p.s.push.AccountData(p.req.User, nil)
	if err != nil {
		return err
	}
	p.addGlobal(typePushRules, content)
	return nil
}

func (p *pass) addGlobal(dataType string, content json.RawMessage) {
	if p.filter.AccountData.allowsType(dataType) {
		p.global = appendAccountData(p.global, dataType, content)
		p.news = true
	}
}

// appendAccountData appends an element of an array of account data.
func appendAccountData(dst []byte, dataType string, content json.RawMessage) []byte {
	if len(dst) > 0 {
		dst = appendComma(dst)
	}
	dst = append(dst, `{"type":`...)
	dst = appendString(dst, dataType)
	dst = append(dst, `,"content":`...)
	dst = append(dst, content...)
	return append(dst, '}')
}

// token is what the device knows when it has the answer.
func (p *pass) token() syncToken {
	return syncToken{pos: p.upto, typing: p.typing.upto, toDevice: p.mail.upto}
}

// appendResponse appends the whole answer.
func (p *pass) appendResponse(dst []byte, counts store.KeyCounts) []byte {
	size := 512 + len(p.join) + len(p.invite) + len(p.knock) + len(p.leave) + len(p.global) + len(p.presences)
	dst = slices.Grow(dst, size)
	dst = append(dst, `{"next_batch":"`...)
	dst = p.token().append(dst)
	dst = append(dst, '"')
	if len(p.join)+len(p.invite)+len(p.knock)+len(p.leave) > 0 {
		dst = append(dst, `,"rooms":{`...)
		for _, section := range [...]struct {
			name  string
			rooms []byte
		}{{"join", p.join}, {"invite", p.invite}, {"knock", p.knock}, {"leave", p.leave}} {
			if len(section.rooms) > 0 {
				dst = append(appendKey(dst, section.name), '{')
				dst = append(dst, section.rooms...)
				dst = append(dst, '}')
			}
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"account_data":{"events":[`...)
	dst = append(dst, p.global...)
	dst = append(dst, `]},`...)
	dst = p.appendPresence(dst)
	dst = p.appendToDevice(dst)
	return append(p.appendDevices(dst, counts), '}')
}
