package usersync

import (
	"context"
	"errors"
	"slices"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxStreamed bounds the events of one answer of /events.
const maxStreamed = 100

// EventsRequest asks for events as they come.
type EventsRequest struct {
	Viewer
	RoomID  id.RoomID // "" for the rooms that the user is in
	From    string    // a token, "" for now
	Timeout time.Duration
	Closing <-chan struct{}
}

// Events returns what was said since a token as {start, end, chunk}, in the order of the stream, and waits for it if there is nothing,
// as Sync does. With a room it is for those who are not in it: anybody where its history is world_readable (Client-Server API, GET
// /events, "Room Previews"). Without one it is what there was before /sync, deprecated, and tells of receipts, presence and typing, too.
// Errors: M_INVALID_PARAM, M_FORBIDDEN.
func (s *Service) Events(ctx context.Context, req EventsRequest) (JSON, error) {
	e := &stream{s: s, req: req}
	if req.From != "" {
		var err error
		if e.after, err = parseToken("from", req.From); err != nil {
			return nil, err
		}
	}
	read := func() error { return s.db.View(ctx, e.read) }
	if err := read(); err != nil || e.found() || req.Timeout <= 0 {
		return e.answer, err
	}
	timer := time.NewTimer(min(req.Timeout, maxWait))
	defer timer.Stop()
	// The user's own bell rings, too, when they come into a room: that is news already.
	bell := s.bus.Register(e.keys...)
	defer bell.Close()
	for last := false; ; {
		if err := read(); err != nil || e.found() || last {
			return e.answer, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-req.Closing:
			return e.answer, nil
		case <-timer.C:
			last = true
		case <-bell.C:
		}
	}
}

// stream is one request for events, and what its last reading has found.
type stream struct {
	s     *Service
	req   EventsRequest
	after int64
	keys  []notify.Key // of the first reading

	newest int64
	upto   int64 // what comes after is for the next request
	events []streamed
	beside aside
	answer JSON
}

// streamed is an event with the one who shows it.
type streamed struct {
	event *store.Event
	by    *renderer
}

// found tells whether there is something to answer: events, or so many that are hidden that the client is to ask again.
func (e *stream) found() bool {
	return len(e.events) > 0 || len(e.beside.told) > 0 || e.upto < e.newest
}

func (e *stream) read(tx *store.Tx) (err error) {
	if e.newest, err = tx.StreamPos(); err != nil {
		return err
	}
	e.upto = e.newest
	if e.req.From == "" && e.answer == nil || e.after > e.upto {
		e.after = e.upto
	}
	e.events = nil
	if e.req.RoomID != "" {
		err = e.peek(tx)
	} else {
		err = e.readAll(tx)
	}
	if err != nil {
		return err
	}
	slices.SortFunc(e.events, func(a, b streamed) int { return int(a.event.Pos - b.event.Pos) })
	e.cut()
	if len(e.events) > maxStreamed {
		e.upto = e.events[maxStreamed-1].event.Pos
	}
	if e.req.RoomID == "" {
		err = e.readBeside()
	}
	e.cut()
	if err != nil {
		return err
	}
	return e.render()
}

// cut leaves to the next request what is for it.
func (e *stream) cut() {
	e.events = slices.DeleteFunc(e.events, func(s streamed) bool { return s.event.Pos > e.upto })
}

// peek reads the room that was asked for.
func (e *stream) peek(tx *store.Tx) error {
	r, err := e.s.open(tx, e.req.User, e.req.RoomID)
	if err != nil {
		return err
	}
	e.keys = []notify.Key{{Kind: notify.Room, NID: r.roomNID}}
	return e.take(e.s.renderer(r, e.req.Viewer), e.after, min(r.upto, e.upto))
}

// readAll reads the rooms that the user is in, or was in at the token.
func (e *stream) readAll(tx *store.Tx) error {
	userNID, err := tx.LookupNID(string(e.req.User))
	if err != nil {
		return err
	}
	var seats []store.Seat
	if e.upto-e.after <= shortRange {
		seats, err = tx.SeatsChanged(userNID, e.after, e.upto)
	} else {
		seats, err = tx.Seats(userNID, e.after)
	}
	if err != nil {
		return err
	}
	if e.keys == nil {
		if e.keys, err = e.s.ears.keys(tx, userNID, e.after, e.upto, seats); err != nil {
			return err
		}
	}
	sight := e.s.newSight(tx, e.req.User)
	e.beside.sight, e.beside.userNID = sight, userNID
	for _, seat := range seats {
		v := newViewer(sight, seat.RoomNID, seat.Membership, seat.StateID)
		from, to, err := e.stay(v, seat)
		if err != nil {
			return err
		}
		r := &renderer{v: v, device: e.req.Device, nowTS: sight.nowTS}
		if err := e.take(r, from, to); err != nil {
			return err
		}
	}
	return nil
}

// stay returns from after which and up to which position the user follows a room.
func (e *stream) stay(v *viewer, seat store.Seat) (from, to int64, err error) {
	to = e.upto
	if seat.Membership.Membership != event.MembershipJoin {
		if to = seat.Pos; to <= e.after {
			return e.after, e.after, nil // gone, and told so
		}
	} else if seat.Pos <= e.after {
		return e.after, to, nil
	}
	known, err := v.tx.StateIDAt(seat.RoomNID, e.after)
	if err != nil {
		return 0, 0, err
	}
	before, err := v.member.at(v.tx, known)
	if err != nil || before == event.MembershipJoin {
		return e.after, to, err
	}
	// Of the time before they came the user hears nothing, but of how they did.
	return max(e.after, seat.Pos-1), to, nil
}

// take reads the events at from < pos ≤ to of a room.
func (e *stream) take(r *renderer, from, to int64) error {
	if from >= to {
		return nil
	}
	page, err := r.v.tx.TimelineAfter(r.v.roomNID, from+1, to, maxStreamed)
	if err != nil {
		return err
	}
	if len(page) == maxStreamed {
		e.upto = min(e.upto, page[maxStreamed-1].Pos)
	}
	var shown []*store.Event
	for _, row := range page {
		seen, err := r.v.see(row)
		if err != nil {
			return err
		}
		if seen != nil {
			shown = append(shown, seen)
			e.events = append(e.events, streamed{seen, r})
		}
	}
	return r.gather(shown)
}

func (e *stream) render() (err error) {
	dst := appendString([]byte(`{"start":`), token(e.after))
	dst = appendString(appendKey(dst, "end"), token(e.upto))
	dst = append(appendKey(dst, "chunk"), '[')
	for _, s := range e.events {
		if dst, err = s.by.appendEvent(appendComma(dst), s.event); err != nil {
			return err
		}
	}
	for _, told := range e.beside.told {
		dst = append(appendComma(dst), told...)
	}
	e.answer = append(dst, `]}`...)
	return nil
}

// refused tells whether an error is for the client to see.
func refused(err error) bool {
	var shown mautrix.RespError
	return errors.As(err, &shown)
}
