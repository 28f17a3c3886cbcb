package usersync

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxInfoEvents bounds the events of one room in /initialSync.
const maxInfoEvents = 100

// RoomInfo is a room as it is to a user, with its newest limit events: {room_id, membership, visibility, messages, state,
// account_data} (Client-Server API, GET /rooms/{roomId}/initialSync). The error is M_FORBIDDEN.
func (s *Service) RoomInfo(ctx context.Context, by Viewer, roomID id.RoomID, limit int) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := s.open(tx, by.User, roomID)
		if err != nil {
			return err
		}
		data, err := tx.AccountDataSince(by.User, 0, r.upto)
		if err != nil {
			return err
		}
		info := roomInfo{reading: r, by: by, limit: limit, data: byRoom(data)[r.roomNID]}
		out, err = info.append(s, nil)
		return err
	})
	return out, err
}

// roomInfo is one room of /initialSync.
type roomInfo struct {
	*reading
	by    Viewer
	limit int
	data  []store.AccountData // of the room
}

func (i *roomInfo) append(s *Service, dst []byte) ([]byte, error) {
	dst = appendString(append(dst, `{"room_id":`...), i.room.RoomID)
	if i.seat.Membership != "" {
		dst = appendString(appendKey(dst, "membership"), i.seat.Membership)
	}
	visibility := "private"
	if i.room.Published {
		visibility = "public"
	}
	dst = appendString(appendKey(dst, "visibility"), visibility)
	p := page{reading: i.reading, limit: min(i.limit, maxInfoEvents), backwards: true, start: i.upto, cursor: i.upto}
	if err := p.read(); err != nil {
		return nil, err
	}
	slices.Reverse(p.events)
	r := s.renderer(i.reading, i.by)
	dst = append(appendKey(dst, "messages"), `{"chunk":`...)
	dst, err := r.appendEvents(dst, p.events)
	if err != nil {
		return nil, err
	}
	if p.more {
		dst = appendString(appendKey(dst, "start"), token(p.cursor))
	}
	dst = append(appendString(appendKey(dst, "end"), token(i.upto)), '}')
	state, err := stateEvents(i.tx, i.roomNID, i.stateID, i.room.StateID, false, nil)
	if err != nil {
		return nil, err
	}
	if dst, err = r.appendState(appendKey(dst, "state"), state); err != nil {
		return nil, err
	}
	var data []byte
	for _, row := range i.data {
		data = appendAccountData(data, row.Type, row.Content)
	}
	dst = append(append(appendKey(dst, "account_data"), '['), data...)
	return append(dst, `]}`...), nil
}

// InitialSync is all rooms of a user with the newest limit events of each: {end, rooms, presence, account_data} (Client-Server API,
// GET /initialSync, deprecated). archived has the rooms among them that the user has left.
func (s *Service) InitialSync(ctx context.Context, by Viewer, limit int, archived bool) (JSON, error) {
	filter := &Filter{Room: RoomFilter{IncludeLeave: archived}}
	l := &look{s: s, req: &Request{User: by.User, Device: by.Device}, filter: filter}
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		p, err := newPass(l, tx)
		if err != nil {
			return err
		}
		out, err = p.appendInitial(nil, limit)
		return err
	})
	return out, err
}

func (p *pass) appendInitial(dst []byte, limit int) ([]byte, error) {
	for _, read := range [...]func() error{p.readAccountData, p.readBesides, p.globalAccountData} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	seats, err := p.tx.Seats(p.userNID, 0)
	if err != nil {
		return nil, err
	}
	by := Viewer{User: p.req.User, Device: p.req.Device}
	dst = append(dst, `{"rooms":[`...)
	for _, seat := range seats {
		if dst, err = p.appendInitialRoom(dst, by, seat, limit); err != nil {
			return nil, err
		}
	}
	dst = append(dst, `],"account_data":[`...)
	dst = append(append(dst, p.global...), ']')
	dst = append(appendKey(dst, "presence"), p.presenceEvents()...)
	return append(appendString(appendKey(dst, "end"), token(p.upto)), '}'), nil
}

func (p *pass) appendInitialRoom(dst []byte, by Viewer, seat store.Seat, limit int) ([]byte, error) {
	roomID, err := p.tx.RoomID(seat.RoomNID)
	if err != nil {
		return nil, err
	}
	switch seat.Membership.Membership {
	case event.MembershipInvite, event.MembershipKnock:
		return p.appendInvitation(dst, roomID, seat)
	case event.MembershipLeave, event.MembershipBan:
		if !p.filter.Room.IncludeLeave {
			return dst, nil
		}
	}
	r, err := p.s.open(p.tx, by.User, roomID)
	if refused(err) {
		return dst, nil // an invitation that came to nothing
	}
	if err != nil {
		return nil, err
	}
	info := roomInfo{reading: r, by: by, limit: limit, data: p.data[seat.RoomNID]}
	return info.append(p.s, appendComma(dst))
}

// appendInvitation appends a room that the user is invited to, or knocks at: with the event, and nothing else.
func (p *pass) appendInvitation(dst []byte, roomID id.RoomID, seat store.Seat) ([]byte, error) {
	member, err := p.tx.EventByNID(seat.EventNID)
	if err != nil {
		return nil, err
	}
	if unwanted, err := p.unwanted(member.Sender); err != nil || unwanted {
		return dst, err
	}
	dst = appendString(append(appendComma(dst), `{"room_id":`...), roomID)
	dst = appendString(appendKey(dst, "membership"), seat.Membership.Membership)
	if seat.Membership.Membership == event.MembershipInvite {
		dst = member.AppendClient(appendKey(dst, "invite"), event.ClientForm{})
	}
	return append(dst, '}'), nil
}

// presenceEvents returns the array of presence events that /sync would have.
func (p *pass) presenceEvents() []byte {
	var part struct {
		Presence struct {
			Events json.RawMessage `json:"events"`
		} `json:"presence"`
	}
	raw := append(p.appendPresence([]byte{'{'}), `"":0}`...) // with the comma that it ends with
	if json.Unmarshal(raw, &part) != nil || len(part.Presence.Events) == 0 {
		return []byte("[]")
	}
	return part.Presence.Events
}

// OldEvent returns one event, of whichever room (Client-Server API, GET /events/{eventId}, deprecated). The error is 404 M_NOT_FOUND.
func (s *Service) OldEvent(ctx context.Context, by Viewer, eventID id.EventID) (JSON, error) {
	var roomID id.RoomID
	err := s.db.View(ctx, func(tx *store.Tx) error {
		e, err := tx.EventByID(eventID)
		if err != nil {
			return err
		}
		roomID, err = tx.RoomID(e.RoomNID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixError(404, "M_NOT_FOUND", "There is no event %s, or you may not see it", eventID)
	}
	if err != nil {
		return nil, err
	}
	return s.Event(ctx, by, roomID, eventID)
}
