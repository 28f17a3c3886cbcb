package usersync

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const (
	// maxPredecessors bounds how far back the rooms are followed that a room has replaced.
	maxPredecessors = 20
	// maxFoundState is up to how many members a room's state is told whole: of a larger one, without those who said nothing of what
	// was found.
	maxFoundState = 1000
)

// Findings shows a user the events that a search has found, in one transaction. It is search's Reader.
type Findings struct {
	s      *Service
	by     Viewer
	sight  *sight
	filter *EventFilter
	rooms  map[int64]*foundRoom // nil for rooms that may not be read
}

// foundRoom is a room in which something was found.
type foundRoom struct {
	*reading
	render *renderer
	shown  []*store.Event // what was found there
}

// Findings returns what shows events to a user. filter is a RoomEventFilter, nil for none. Errors: M_INVALID_PARAM.
func (s *Service) Findings(tx *store.Tx, by Viewer, filter json.RawMessage) (*Findings, error) {
	f := &Findings{s: s, by: by, sight: s.newSight(tx, by.User), rooms: make(map[int64]*foundRoom)}
	if filter = bytes.TrimSpace(filter); len(filter) == 0 || string(filter) == "null" {
		return f, nil
	}
	var err error
	f.filter, err = ParseEventFilter(string(filter))
	return f, err
}

// Rooms returns the rooms that the user is in, and those that they were in and have not forgotten. Of a room that the filter names, those
// that it has replaced are among them.
func (f *Findings) Rooms() ([]int64, error) {
	seats, err := f.sight.tx.MembershipsOf(f.by.User)
	if err != nil {
		return nil, err
	}
	mine := make(map[int64]bool, len(seats))
	for _, seat := range seats {
		mine[seat.RoomNID] = true
	}
	var rooms []int64
	if f.filter != nil && f.filter.Rooms != nil {
		named := make(map[int64]bool)
		for _, roomID := range *f.filter.Rooms {
			if err := f.lineage(roomID, mine, named); err != nil {
				return nil, err
			}
		}
		mine = named
		f.filter.Rooms = nil // Rooms has seen to it
	}
	for nid := range mine {
		if f.filter != nil && len(f.filter.NotRooms) > 0 {
			roomID, err := f.sight.tx.RoomID(nid)
			if err != nil {
				return nil, err
			}
			if contains(f.filter.NotRooms, roomID) {
				continue
			}
		}
		rooms = append(rooms, nid)
	}
	slices.Sort(rooms)
	return rooms, nil
}

// lineage adds to named those of the user's rooms that a room is or has replaced.
func (f *Findings) lineage(roomID id.RoomID, mine, named map[int64]bool) error {
	tx := f.sight.tx
	for range maxPredecessors {
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		if !mine[nid] || named[nid] {
			return nil
		}
		named[nid] = true
		create, err := tx.CurrentStateEvent(nid, event.TypeCreate, "")
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		before, _ := event.Text(event.Field(create.ContentValue("predecessor"), "room_id"))
		roomID = id.RoomID(before)
	}
	return nil
}

// room opens a room; nil when the user was never in it.
func (f *Findings) room(nid int64) (*foundRoom, error) {
	if r, ok := f.rooms[nid]; ok {
		return r, nil
	}
	f.rooms[nid] = nil
	roomID, err := f.sight.tx.RoomID(nid)
	if err != nil {
		return nil, err
	}
	reading, err := f.s.openSight(f.sight, roomID)
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if reading.seat.Membership != event.MembershipJoin {
		if left, err := reading.departure(); err != nil || left == nil {
			return nil, err
		}
	}
	f.rooms[nid] = &foundRoom{reading: reading, render: f.s.renderer(reading, f.by)}
	return f.rooms[nid], nil
}

// See returns what the user sees of an event, nil for nothing.
func (f *Findings) See(e *store.Event) (*store.Event, error) {
	r, err := f.room(e.RoomNID)
	if err != nil || r == nil || e.Pos > r.upto {
		return nil, err
	}
	return r.pick(f.filter, e)
}

// AppendEvent appends an event that See has returned.
func (f *Findings) AppendEvent(dst []byte, e *store.Event) ([]byte, error) {
	r := f.rooms[e.RoomNID]
	r.shown = append(r.shown, e)
	if err := r.render.gather([]*store.Event{e}); err != nil {
		return dst, err
	}
	return r.render.appendEvent(dst, e)
}

// AppendContext appends what happened around an event that See has returned: {events_before, events_after, start, end, profile_info}.
// Client-Server API, POST /search, event_context.
func (f *Findings) AppendContext(dst []byte, e *store.Event, before, after int, profiles bool) ([]byte, error) {
	r := f.rooms[e.RoomNID]
	past := page{reading: r.reading, limit: before, backwards: true, cursor: e.Pos - 1}
	next := page{reading: r.reading, limit: after, cursor: e.Pos, stop: max(r.upto, e.Pos)}
	for _, p := range [...]*page{&past, &next} {
		if p.limit == 0 {
			continue
		}
		if err := p.read(); err != nil {
			return dst, err
		}
	}
	dst, err := r.render.appendEvents(append(dst, `{"events_before":`...), past.events)
	if err != nil {
		return dst, err
	}
	if dst, err = r.render.appendEvents(appendKey(dst, "events_after"), next.events); err != nil {
		return dst, err
	}
	dst = appendString(appendKey(dst, "start"), token(past.cursor))
	dst = appendString(appendKey(dst, "end"), token(next.cursor))
	if profiles {
		all := slices.Concat([]*store.Event{e}, past.events, next.events)
		if dst, err = r.appendProfiles(appendKey(dst, "profile_info"), all, e.StateAfter); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// appendProfiles appends what the senders of events were called in a state of the room.
func (r *foundRoom) appendProfiles(dst []byte, events []*store.Event, stateID int64) ([]byte, error) {
	members, err := r.senderMembers(events, stateID)
	if err == nil {
		members, err = r.seeState(members)
	}
	if err != nil {
		return dst, err
	}
	type profile struct {
		DisplayName string `json:"displayname,omitempty"`
		AvatarURL   string `json:"avatar_url,omitempty"`
	}
	all := make(map[id.UserID]profile, len(members))
	for _, e := range members {
		all[id.UserID(*e.StateKey)] = profile{e.ContentString("displayname"), e.ContentString("avatar_url")}
	}
	raw, err := json.Marshal(all)
	return append(dst, raw...), err
}

// AppendState appends the state of a room of which AppendEvent has appended an event: the current one, or that when the user left.
func (f *Findings) AppendState(dst []byte, roomNID int64) ([]byte, error) {
	r := f.rooms[roomNID]
	joined, _, err := r.tx.MemberCounts(roomNID)
	if err != nil {
		return dst, err
	}
	lazy := f.filter.lazy() || joined > maxFoundState
	events, err := stateEvents(r.tx, roomNID, r.stateID, r.room.StateID, lazy, nil)
	if err != nil {
		return dst, err
	}
	if lazy {
		members, err := r.senderMembers(r.shown, r.stateID)
		if err != nil {
			return dst, err
		}
		events = append(events, members...)
	}
	return r.render.appendState(dst, events)
}
