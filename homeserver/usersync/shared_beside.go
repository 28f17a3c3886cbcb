package usersync

import (
	"fmt"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// maxPlaces bounds the rooms of which the memberships of all who ask are read at once.
const maxPlaces = 16

// readBeside reads what is new beside events for some users: receipts, and their memberships of the rooms with those and of others.
func (s *shared) readBeside(tx *store.Tx, users []int64, rooms map[int64]bool) (err error) {
	if s.rung = tx.Quiet(store.FamilyReceipts, s.after); !s.rung {
		if s.receipts, err = tx.ReceiptsBetween(s.after, s.upto, maxShared+1); err != nil {
			return err
		}
		s.rung = len(s.receipts) <= maxShared
	}
	if s.rung {
		for _, r := range s.receipts {
			rooms[r.RoomNID] = true
		}
	}
	if len(rooms) == 0 || len(rooms) > maxPlaces {
		return nil
	}
	seats, err := tx.SeatsIn(users, slices.Collect(maps.Keys(rooms)))
	if err != nil {
		return err
	}
	s.places = rooms
	for _, seat := range seats {
		a := s.askers[seat.UserNID]
		if a.places == nil {
			a.places = make(map[int64]store.Seat)
		}
		a.places[seat.RoomNID] = seat
	}
	return nil
}

// receiptsAhead returns the receipts that were read ahead, if those after a position were.
func receiptsAhead(tx *store.Tx, after, upto int64) (rows []store.Receipt, ok bool) {
	s := sharedOf(tx)
	if s == nil || len(s.askers) == 0 || !s.rung || after < s.after || upto != s.upto {
		return nil, false
	}
	for i, r := range s.receipts {
		if r.Pos <= after {
			return s.receipts[:i], true
		}
	}
	return s.receipts, true
}

// placesAhead returns a user's memberships by room, if those of a room were read ahead.
func placesAhead(tx *store.Tx, userNID, roomNID int64) (places map[int64]store.Seat, ok bool) {
	a := askerOf(tx, userNID)
	if a == nil || !sharedOf(tx).places[roomNID] {
		return nil, false
	}
	return a.places, true
}

// seatIn is tx.Seat.
func seatIn(tx *store.Tx, userNID, roomNID int64) (store.Seat, error) {
	places, ok := placesAhead(tx, userNID, roomNID)
	if !ok {
		return tx.Seat(userNID, roomNID)
	}
	seat, ok := places[roomNID]
	if !ok {
		return seat, fmt.Errorf("membership: %w", store.ErrNotFound)
	}
	return seat, nil
}

// joinedAmong is tx.JoinedAmong.
func joinedAmong(tx *store.Tx, userNID int64, rooms []int64) (joined []int64, err error) {
	for _, nid := range rooms {
		places, ok := placesAhead(tx, userNID, nid)
		if !ok {
			return tx.JoinedAmong(userNID, rooms)
		}
		if places[nid].Membership.Membership == event.MembershipJoin {
			joined = append(joined, nid)
		}
	}
	return joined, nil
}

// mayRead tells whether a receipt is anybody's business, or the user's own.
func mayRead(r store.Receipt, userNID int64) bool {
	return r.Type != store.ReceiptReadPrivate || r.UserNID == userNID
}

// roomsWithReceipts is tx.RoomsWithReceipts.
func roomsWithReceipts(tx *store.Tx, userNID, after, upto int64, short bool) (rooms []int64, err error) {
	rows, ok := receiptsAhead(tx, after, upto)
	for _, r := range rows {
		places, known := placesAhead(tx, userNID, r.RoomNID)
		ok = ok && known
		if places[r.RoomNID].Membership.Membership == event.MembershipJoin && mayRead(r, userNID) && !slices.Contains(rooms, r.RoomNID) {
			rooms = append(rooms, r.RoomNID)
		}
	}
	if !ok {
		return tx.RoomsWithReceipts(userNID, after, upto, short)
	}
	return rooms, nil
}

// roomsRead is tx.RoomsRead.
func roomsRead(tx *store.Tx, userNID, after, upto int64, short bool) (map[int64]int64, error) {
	rows, ok := receiptsAhead(tx, after, upto)
	if !ok {
		return tx.RoomsRead(userNID, after, upto, short)
	}
	rooms := make(map[int64]int64)
	for _, r := range rows {
		if r.UserNID == userNID {
			rooms[r.RoomNID] = max(rooms[r.RoomNID], r.Pos)
		}
	}
	return rooms, nil
}

// receiptsIn is tx.Receipts of all users.
func receiptsIn(tx *store.Tx, roomNID, readerNID, after, upto int64, limit int) ([]store.Receipt, error) {
	rows, ok := receiptsAhead(tx, after, upto)
	if !ok || len(rows) > limit || after == 0 {
		return tx.Receipts(roomNID, readerNID, after, upto, after == 0, limit)
	}
	var all []store.Receipt
	for _, r := range rows {
		if r.RoomNID == roomNID && mayRead(r, readerNID) {
			all = append(all, r)
		}
	}
	return all, nil
}

// readNothing tells that a user is known to have given no receipt in a room after a position.
func readNothing(tx *store.Tx, roomNID, userNID, after, upto int64) bool {
	if tx.Quiet(store.FamilyReceipts, after) {
		return true
	}
	rows, ok := receiptsAhead(tx, after, upto)
	return ok && !slices.ContainsFunc(rows, func(r store.Receipt) bool { return r.RoomNID == roomNID && r.UserNID == userNID })
}
