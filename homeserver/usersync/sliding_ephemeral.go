package usersync

import "causeway/homeserver/store"

// ephemeral tells whether an extension for what happens in rooms beside their events is for a room: one that the user is in, and that
// the device knows of.
func (p *slidingPass) ephemeral(r *slidingRoom, x *scopedExtension) bool {
	if !r.isJoined() || !x.covers(r) {
		return false
	}
	known := p.knownOf(r.seat.RoomNID)
	return known != nil && known.Pos > 0
}

// receipts is the extension receipts (MSC3960): {rooms: {room id: m.receipt event}}. Of rooms that are new to the device it has all
// receipts, as many as /sync would tell, and of others those that are new.
func (p *slidingPass) receipts() ([]byte, error) {
	var rooms []*slidingRoom
	lower := p.upto
	for _, r := range p.relevant {
		if !p.ephemeral(r, &p.req.extensions.Receipts) {
			continue
		}
		rooms = append(rooms, r)
		if from := p.receiptsFrom(r); from > 0 {
			lower = min(lower, from)
		}
	}
	fresh, err := p.freshReceipts(lower)
	if err != nil {
		return nil, err
	}
	var dst []byte
	for _, r := range rooms {
		nid, from := r.seat.RoomNID, p.receiptsFrom(r)
		var content []byte
		if from == 0 || fresh[nid] {
			if content, err = p.sight.receipts(p.userNID, nid, from, p.upto); err != nil {
				return nil, err
			}
		}
		if content != nil {
			dst = append(appendField(dst, string(r.roomID)), `{"type":"`+typeReceipt+`","content":`...)
			dst = append(append(dst, content...), '}')
			p.news = true
		}
		p.advance(nid, content != nil, func(next *store.SlidingRoom) { next.ReceiptPos = p.upto })
	}
	return inRooms(dst), nil
}

// receiptsFrom returns the position up to which the device has the receipts of a room, 0 for none.
func (p *slidingPass) receiptsFrom(r *slidingRoom) int64 {
	told := p.conn.rooms[r.seat.RoomNID]
	if r.initial || told == nil {
		return 0
	}
	return p.settledTo(r.seat.RoomNID, told.ReceiptPos)
}

// freshReceipts returns the user's rooms that have receipts after a position.
func (p *slidingPass) freshReceipts(after int64) (map[int64]bool, error) {
	if p.tx.Quiet(store.FamilyReceipts, after) {
		return nil, nil
	}
	nids, err := roomsWithReceipts(p.tx, p.userNID, after, p.upto, p.upto-after <= shortRange)
	fresh := make(map[int64]bool, len(nids))
	for _, nid := range nids {
		fresh[nid] = true
	}
	return fresh, err
}

// inRooms is the body of an extension of rooms, nil when it has none.
func inRooms(members []byte) []byte {
	if len(members) == 0 {
		return nil
	}
	return append(append([]byte(`{"rooms":{`), members...), `}}`...)
}

// readTyping looks for who is typing. A device whose extension is off stays where it is.
func (p *slidingPass) readTyping() {
	if p.req.extensions.Typing.Enabled {
		p.typists = p.s.typingSince(p.from.typing)
		p.typing = p.typists.upto
	}
}

// noteTyping keeps in which rooms the device knows who is typing, by the answer that is about to be written. Where that has the position of
// the request, nobody can tell whether the device has it.
func (l *slidingLook) noteTyping(turn int64) {
	v := typingView{l.pos, turn, l.found.typingIn}
	if l.pos == l.from && l.found.entered {
		v.rooms = nil
	}
	l.conn.noteView(l.from, v)
}

// typingQuiet tells that the device knows who is typing in the rooms of the settled request.
func (p *slidingPass) typingQuiet() bool {
	if !p.req.extensions.Typing.Enabled {
		return true
	}
	view := p.conn.view(p.from)
	if view.rooms == nil || view.turn != p.conn.settled.turn || p.typists.lost {
		return false
	}
	for nid := range p.typists.rooms {
		if view.rooms[nid] {
			return false
		}
	}
	p.typingIn = view.rooms
	return true
}

// whoTypes is the extension typing (MSC3961): {rooms: {room id: m.typing event}}. Rooms come into view and leave it: of one of which the
// device has not been told all the time, it is told who is typing there now.
func (p *slidingPass) whoTypes() ([]byte, error) {
	var (
		now typingNews // in all rooms, where that was asked for
		dst []byte
	)
	view := p.conn.view(p.from).rooms
	p.typingIn = make(map[int64]bool)
	for _, r := range p.relevant {
		if !p.ephemeral(r, &p.req.extensions.Typing) {
			continue
		}
		nid := r.seat.RoomNID
		p.typingIn[nid] = true
		users, changed := p.typists.rooms[nid]
		if !changed {
			if view[nid] && !p.typists.lost && !r.initial {
				continue
			}
			if now.rooms == nil {
				now = p.s.typingSince(0)
			}
			users = now.rooms[nid]
			p.entered = true
		}
		// A device that knows nothing takes it that nobody types.
		if len(users) == 0 && (p.from.typing == 0 || r.told == nil) {
			continue
		}
		p.news = p.news || changed
		var err error
		if dst, err = p.appendTyping(appendField(dst, string(r.roomID)), users); err != nil {
			return nil, err
		}
	}
	return inRooms(dst), nil
}
