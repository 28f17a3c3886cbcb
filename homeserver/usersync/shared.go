package usersync

import (
	"encoding/json"
	"errors"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxShared bounds what a snapshot remembers of each kind.
const maxShared = 256

// asking is who wants to know what is new after a position, so that it can be read for many at once.
type asking struct {
	userNID int64
	device  id.DeviceID // "" for none
	after   int64
	rooms   []int64 // with news of who is typing
}

// shared is what a snapshot has told so far. Only what many ask for is in it.
type shared struct {
	upto      int64 // 0 when not known
	states    map[[2]int64]int64
	timelines map[span][]*store.Event
	pushes    map[span][]store.PushActions
	erased    *bool // whether anybody is; nil when not known

	// What was read for all who ask, where there are several.
	after    int64 // what is new after this position
	askers   map[int64]*asker
	places   map[int64]bool  // the rooms of asker.places
	receipts []store.Receipt // of all rooms after that position, newest first
	rung     bool            // receipts is known
}

// asker is what a snapshot has of one of those who ask.
type asker struct {
	seats   []store.Seat         // memberships of rooms with events after shared.after
	places  map[int64]store.Seat // memberships of shared.places
	person  bool
	ignored json.RawMessage                 // the content of m.ignored_user_list; nil for none
	keys    map[id.DeviceID]store.KeyCounts // of the devices that ask
}

// span is what TimelineBefore or PushActionsAfter is asked.
type span struct {
	room, from, upto int64
	limit            int
}

type sharedKey struct{}

// share has what is read in a transaction remembered until its end, and reads ahead what each of several readings is going to ask.
func share(tx *store.Tx, joints []*joint) error {
	s := &shared{
		states: make(map[[2]int64]int64), timelines: make(map[span][]*store.Event), pushes: make(map[span][]store.PushActions),
		askers: make(map[int64]*asker),
	}
	tx.SetValue(sharedKey{}, s)
	upto, err := streamPos(tx)
	if err != nil {
		return err
	}
	s.after = upto
	var (
		users   []int64
		devices []id.DeviceID
	)
	rooms := make(map[int64]bool)
	for _, j := range joints {
		if j.who.userNID == 0 || j.who.after > upto || upto-j.who.after > shortRange {
			continue
		}
		s.after = min(s.after, j.who.after)
		if s.askers[j.who.userNID] == nil {
			s.askers[j.who.userNID] = &asker{keys: make(map[id.DeviceID]store.KeyCounts)}
			users = append(users, j.who.userNID)
		}
		if a := s.askers[j.who.userNID]; j.who.device != "" && a.keys[j.who.device].OneTime == nil {
			a.keys[j.who.device] = store.NoKeys()
			devices = append(devices, j.who.device)
		}
		for _, nid := range j.who.rooms {
			rooms[nid] = true
		}
	}
	if len(users) < 2 {
		clear(s.askers)
		return nil
	}
	if err := s.readAhead(tx, users, devices); err != nil {
		return err
	}
	return s.readBeside(tx, users, rooms)
}

// readAhead reads what is to know of some users.
func (s *shared) readAhead(tx *store.Tx, users []int64, devices []id.DeviceID) error {
	seats, err := tx.SeatsChangedOf(users, s.after, s.upto)
	if err != nil {
		return err
	}
	for _, seat := range seats {
		a := s.askers[seat.UserNID]
		a.seats = append(a.seats, seat)
	}
	persons, err := tx.Persons(users)
	if err != nil {
		return err
	}
	for _, nid := range persons {
		s.askers[nid].person = true
	}
	err = tx.AccountDataOfUsers(users, []string{typeIgnoredUsers}, func(nid int64, _ string, content json.RawMessage) error {
		s.askers[nid].ignored = content
		return nil
	})
	if err != nil {
		return err
	}
	return tx.KeyCountsOf(users, devices, func(nid int64, device id.DeviceID, left store.KeyCounts) {
		if a := s.askers[nid]; a.keys[device].OneTime != nil {
			a.keys[device] = left
		}
	})
}

func sharedOf(tx *store.Tx) *shared {
	s, _ := tx.Value(sharedKey{}).(*shared)
	return s
}

// askerOf returns what was read ahead for a user; nil when nothing was.
func askerOf(tx *store.Tx, userNID int64) *asker {
	if s := sharedOf(tx); s != nil {
		return s.askers[userNID]
	}
	return nil
}

// streamPos is tx.StreamPos.
func streamPos(tx *store.Tx) (pos int64, err error) {
	s := sharedOf(tx)
	if s != nil && s.upto != 0 {
		return s.upto, nil
	}
	pos, err = tx.StreamPos()
	if s != nil {
		s.upto = pos
	}
	return pos, err
}

// stateIDAt is tx.StateIDAt.
func stateIDAt(tx *store.Tx, roomNID, upto int64) (setID int64, err error) {
	s, key := sharedOf(tx), [2]int64{roomNID, upto}
	if s != nil {
		if setID, ok := s.states[key]; ok {
			return setID, nil
		}
	}
	setID, err = tx.StateIDAt(roomNID, upto)
	if s != nil && err == nil && len(s.states) < maxShared {
		s.states[key] = setID
	}
	return setID, err
}

// timelineBefore is tx.TimelineBefore. The caller does not change what it gets.
func timelineBefore(tx *store.Tx, roomNID, from, upto int64, limit int) (events []*store.Event, err error) {
	s, key := sharedOf(tx), span{roomNID, from, upto, limit}
	if s != nil {
		if events, ok := s.timelines[key]; ok {
			return events, nil
		}
	}
	events, err = tx.TimelineBefore(roomNID, from, upto, limit)
	if s != nil && err == nil && len(s.timelines) < maxShared {
		s.timelines[key] = events
	}
	return events, err
}

// seatsChanged is tx.SeatsChanged.
func seatsChanged(tx *store.Tx, userNID, after, upto int64) ([]store.Seat, error) {
	s, a := sharedOf(tx), askerOf(tx, userNID)
	if a == nil || after < s.after || upto != s.upto {
		return tx.SeatsChanged(userNID, after, upto)
	}
	var seats []store.Seat
	for _, seat := range a.seats {
		if seat.LastPos > after {
			seats = append(seats, seat)
		}
	}
	return seats, nil
}

// pushActionsAfter is tx.PushActionsAfter. The caller does not change what it gets.
func pushActionsAfter(tx *store.Tx, roomNID, after, upto int64, limit int) (rows []store.PushActions, err error) {
	s, key := sharedOf(tx), span{roomNID, after, upto, limit}
	if s != nil {
		if rows, ok := s.pushes[key]; ok {
			return rows, nil
		}
	}
	rows, err = tx.PushActionsAfter(roomNID, after, upto, limit)
	if s != nil && err == nil && len(s.pushes) < maxShared {
		s.pushes[key] = rows
	}
	return rows, err
}

// isPerson is tx.IsPerson.
func isPerson(tx *store.Tx, userNID int64) (bool, error) {
	if a := askerOf(tx, userNID); a != nil {
		return a.person, nil
	}
	return tx.IsPerson(userNID)
}

// anyErased is tx.AnyErased.
func anyErased(tx *store.Tx) (bool, error) {
	s := sharedOf(tx)
	if s != nil && s.erased != nil {
		return *s.erased, nil
	}
	some, err := tx.AnyErased()
	if s != nil && err == nil {
		s.erased = &some
	}
	return some, err
}

// ignoredUsers returns the content of a user's m.ignored_user_list; nil when there is none.
func ignoredUsers(tx *store.Tx, user id.UserID) (json.RawMessage, error) {
	userNID, err := tx.LookupNID(string(user))
	if err != nil {
		return nil, err
	}
	if a := askerOf(tx, userNID); a != nil {
		return a.ignored, nil
	}
	content, err := tx.AccountData(user, 0, typeIgnoredUsers)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return content, err
}

// deviceKeys is tx.KeyCounts.
func deviceKeys(tx *store.Tx, userNID int64, device id.DeviceID) (store.KeyCounts, error) {
	if left, ok := keysAhead(tx, userNID, device); ok {
		return left, nil
	}
	return tx.KeyCounts(userNID, device)
}

// keysAhead returns what is left of a device's keys, if that was read ahead.
func keysAhead(tx *store.Tx, userNID int64, device id.DeviceID) (left store.KeyCounts, ok bool) {
	if a := askerOf(tx, userNID); a != nil {
		left, ok = a.keys[device]
	}
	return left, ok
}
