package usersync

import (
	"context"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// deviceLists says whose devices a client has to look at again, and whose no longer concern it (Client-Server API, "Extensions to
// /sync": DeviceLists).
type deviceLists struct {
	changed, left []string // user ids, in their order
}

func (d deviceLists) append(dst []byte) []byte {
	dst = append(dst, `{"changed":[`...)
	for _, user := range d.changed {
		dst = appendString(appendComma(dst), user)
	}
	dst = append(dst, `],"left":[`...)
	for _, user := range d.left {
		dst = appendString(appendComma(dst), user)
	}
	return append(dst, `]}`...)
}

// readDeviceLists compares what a user shared with others at a position with what they share now. seats are the user's memberships of
// the rooms with events since, others may be among them. Nothing is remembered of what was told: the answer is exact however long ago
// the position is.
func readDeviceLists(tx *store.Tx, userNID, after int64, seats []store.Seat) (deviceLists, error) {
	c := &company{tx: tx, userNID: userNID, after: after, gained: make(map[int64]bool), lost: make(map[int64]bool)}
	if !tx.Quiet(store.FamilyMemberships, after) {
		var err error
		if c.memberNID, err = tx.LookupNID(event.TypeMember); err != nil {
			return deviceLists{}, err
		}
		for _, seat := range seats {
			if err := c.room(seat); err != nil {
				return deviceLists{}, err
			}
		}
		delete(c.gained, userNID)
		delete(c.lost, userNID)
	}
	if !tx.Quiet(store.FamilyDeviceLists, after) {
		changed, err := tx.DeviceChangesFor(userNID, after)
		if err != nil {
			return deviceLists{}, err
		}
		c.add(c.gained, changed...)
	}
	return c.lists()
}

// company is the users with whom a user has come to share a room since a position, or whose devices changed, and those whom they may
// have lost.
type company struct {
	tx           *store.Tx
	userNID      int64
	memberNID    int64 // m.room.member
	after        int64
	gained, lost map[int64]bool
}

func (c *company) add(to map[int64]bool, users ...int64) {
	for _, nid := range users {
		to[nid] = true
	}
}

// room adds those with whom the user has come to be in a room, and those with whom they no longer are.
func (c *company) room(seat store.Seat) error {
	if seat.LastPos <= c.after && seat.Pos <= c.after {
		return nil
	}
	was, err := c.tx.StateIDAt(seat.RoomNID, c.after)
	if err != nil || was == seat.StateID {
		return err
	}
	here := seat.Membership.Membership == event.MembershipJoin
	if was == 0 {
		return c.unknownRoom(seat, here)
	}
	came, went, err := c.turns(was, seat.StateID)
	if err != nil {
		return err
	}
	before := here
	if slices.Contains(came, c.userNID) {
		before = false
	} else if slices.Contains(went, c.userNID) {
		before = true
	}
	switch {
	case before && here:
		c.add(c.gained, came...)
		c.add(c.lost, went...)
	case here:
		return c.addMembers(c.gained, seat.RoomNID, nil)
	case before:
		// Who was there then: those who are there now and did not come since, and those who went since.
		c.add(c.lost, went...)
		return c.addMembers(c.lost, seat.RoomNID, came)
	}
	return nil
}

// addMembers adds those who are in a room now, but for some.
func (c *company) addMembers(to map[int64]bool, roomNID int64, but []int64) error {
	members, err := c.tx.JoinedUsers(roomNID)
	if err != nil {
		return err
	}
	except := make(map[int64]bool, len(but))
	c.add(except, but...)
	for _, nid := range members {
		if !except[nid] {
			to[nid] = true
		}
	}
	return nil
}

// unknownRoom is room for one whose state at the position is not known: it was not there yet, or its history has been purged. Then those
// who may have come or gone count as if they had, as far as the user may know of them.
func (c *company) unknownRoom(seat store.Seat, here bool) error {
	fresh := seat.RoomNID > c.after // rooms have their integers from the stream
	switch {
	case fresh && !here:
		return nil
	case !here:
		return c.unknownStay(seat)
	case fresh || seat.Pos > c.after:
		return c.addMembers(c.gained, seat.RoomNID, nil)
	}
	members, err := c.tx.Members(seat.RoomNID, "")
	if err != nil {
		return err
	}
	for _, m := range members {
		switch {
		case m.Pos <= c.after:
		case m.Membership == event.MembershipJoin:
			c.gained[m.UserNID] = true
		default:
			c.lost[m.UserNID] = true
		}
	}
	return nil
}

// unknownStay is unknownRoom for a user who is not in the room. Who is in it now is none of their business, but for those whom they saw
// there before they left. Who is missing by that, the client goes on to follow, which does no harm.
func (c *company) unknownStay(seat store.Seat) error {
	if seat.Pos <= c.after || seat.EventNID == 0 {
		return nil
	}
	end, err := c.tx.EventByNID(seat.EventNID)
	if err != nil || end.Replaces == 0 {
		return err
	}
	before, err := c.tx.EventByNID(end.Replaces)
	if errors.Is(err, store.ErrNotFound) || err == nil && before.Membership() != event.MembershipJoin {
		return nil
	}
	if err != nil {
		return err
	}
	members, err := c.tx.Members(seat.RoomNID, event.MembershipJoin)
	for _, m := range members {
		if m.Pos <= seat.Pos {
			c.lost[m.UserNID] = true
		}
	}
	return err
}

// turns returns who is in a room in one state and not in another: those who came, and those who went.
func (c *company) turns(was, now int64) (came, went []int64, err error) {
	delta, err := c.tx.StateDelta(was, now)
	if err != nil {
		return nil, nil, err
	}
	var places []store.StateNID
	for place := range delta {
		if place.Type == c.memberNID {
			places = append(places, place)
		}
	}
	if len(places) == 0 {
		return nil, nil, nil
	}
	old, err := c.tx.StateValues(was, places...)
	if err != nil {
		return nil, nil, err
	}
	joined, err := c.joined(old, delta, places)
	if err != nil {
		return nil, nil, err
	}
	for _, place := range places {
		switch before, after := joined[old[place]], joined[delta[place]]; {
		case after && !before:
			came = append(came, place.Key)
		case before && !after:
			went = append(went, place.Key)
		}
	}
	return came, went, nil
}

// joined tells which of the member events at some places of two states are joins.
func (c *company) joined(old, now store.StateSet, places []store.StateNID) (map[int64]bool, error) {
	var nids []int64
	for _, place := range places {
		for _, nid := range [...]int64{old[place], now[place]} {
			if nid != 0 {
				nids = append(nids, nid)
			}
		}
	}
	events, err := c.tx.EventsByNID(nids)
	if err != nil {
		return nil, err
	}
	joined := make(map[int64]bool, len(events))
	for _, e := range events {
		joined[e.NID] = e.Membership() == event.MembershipJoin
	}
	return joined, nil
}

// lists returns the result: who shares a room all the same has not left.
func (c *company) lists() (deviceLists, error) {
	var d deviceLists
	if len(c.lost) > 0 {
		all := make([]int64, 0, len(c.lost))
		for nid := range c.lost {
			all = append(all, nid)
		}
		sharing, err := c.tx.SharingRoom(c.userNID, all)
		if err != nil {
			return d, err
		}
		for nid := range sharing {
			delete(c.lost, nid)
		}
	}
	var err error
	if d.changed, err = c.names(c.gained); err != nil {
		return d, err
	}
	d.left, err = c.names(c.lost)
	return d, err
}

func (c *company) names(nids map[int64]bool) ([]string, error) {
	if len(nids) == 0 {
		return nil, nil
	}
	all := make([]int64, 0, len(nids))
	for nid := range nids {
		all = append(all, nid)
	}
	texts, err := c.tx.Texts(all)
	names := make([]string, 0, len(texts))
	for _, text := range texts {
		names = append(names, text)
	}
	slices.Sort(names)
	return names, err
}

// readDevices looks for changes of device lists, once the seats are read.
func (p *pass) readDevices() error {
	if p.initial {
		return nil
	}
	seats := p.seats
	if p.req.FullState {
		// Those seats are without forgotten rooms.
		var err error
		if seats, err = seatsSince(p.tx, p.userNID, p.after, p.upto); err != nil {
			return err
		}
	}
	var err error
	p.devices, err = readDeviceLists(p.tx, p.userNID, p.after, seats)
	p.news = p.news || len(p.devices.changed)+len(p.devices.left) > 0
	return err
}

// seatsSince returns the user's memberships of the rooms that have events since a position, or that are newer, and perhaps others.
func seatsSince(tx *store.Tx, userNID, after, upto int64) ([]store.Seat, error) {
	if upto-after <= shortRange {
		return tx.SeatsChanged(userNID, after, upto)
	}
	return tx.Seats(userNID, after)
}

// KeyChanges returns whose devices changed between two tokens, as {changed, left}: to is a hint, and what changed after it may be there,
// too (Client-Server API, GET /keys/changes). The error is M_INVALID_PARAM.
func (s *Service) KeyChanges(ctx context.Context, user id.UserID, from, to string) (JSON, error) {
	after, err := parseToken("from", from)
	if err != nil {
		return nil, err
	}
	if _, err := parseToken("to", to); err != nil {
		return nil, err
	}
	var lists deviceLists
	err = s.db.View(ctx, func(tx *store.Tx) error {
		upto, err := tx.StreamPos()
		if err != nil {
			return err
		}
		if after > upto {
			after = 0 // a token of a database that was since restored from a backup
		}
		userNID, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		seats, err := seatsSince(tx, userNID, after, upto)
		if err != nil {
			return err
		}
		lists, err = readDeviceLists(tx, userNID, after, seats)
		return err
	})
	return lists.append(nil), err
}
