package store

// Purging the history of a room before a point is done in steps, each of which leaves the database as it must be: PurgeMessages
// until there are no more, DemoteState until there is no more, TrimRoomStates, and then a sweep (FindGarbage, DeleteSets,
// DeleteOutliers).

// PurgeMessages deletes some of the messages of a room before a point, from position after on, oldest first. Those that stay are
// the room's extremities. A redaction whose target stays becomes an outlier. next is where to go on, 0 when there is nothing left.
func (tx *Tx) PurgeMessages(p PurgePoint, after int64) (done Purged, next int64, err error) {
	events, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos > $2 AND e.pos < $3
		AND e.state_key_nid IS NULL ORDER BY e.pos LIMIT `+atLeast(maxPurge), []any{p.RoomNID, after, p.Pos})
	if err != nil || len(events) == 0 {
		return Purged{}, 0, err
	}
	next = events[len(events)-1].Pos
	done, err = tx.purgeMessages(p, events)
	return done, next, err
}

// PurgeStrays deletes some of the messages of a room that are in no timeline, because they were rejected or soft-failed, and came
// before a point. more tells that there may be others.
func (tx *Tx) PurgeStrays(p PurgePoint) (done Purged, more bool, err error) {
	events, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos IS NULL AND e.nid < $2
		AND e.state_key_nid IS NULL AND e.status & 1 = 0 LIMIT `+atLeast(maxPurge), []any{p.RoomNID, p.Pos})
	if err != nil || len(events) == 0 {
		return Purged{}, false, err
	}
	done, err = tx.deleteEvents(p.RoomNID, events)
	return done, true, err
}

func (tx *Tx) purgeMessages(p PurgePoint, events []*Event) (Purged, error) {
	tips, err := tx.isExtremity(p.RoomNID)
	if err != nil {
		return Purged{}, err
	}
	stays := func(e *Event) bool { return e.Pos >= p.Pos || tips[e.NID] }
	var gone, kept []*Event
	for _, e := range events {
		if stays(e) {
			continue
		}
		needed, err := tx.redactionNeeded(e, stays)
		if err != nil {
			return Purged{}, err
		}
		if needed {
			kept = append(kept, e)
		} else {
			gone = append(gone, e)
		}
	}
	if err := tx.demote(p.RoomNID, kept); err != nil {
		return Purged{}, err
	}
	return tx.deleteEvents(p.RoomNID, gone)
}

// DemoteState makes outliers of some of the state events of a room before a point, from position after on. They are not deleted yet:
// what is not needed any more, a sweep finds. Those in pinned and the extremities keep their place. next is where to go on, 0
// when there is nothing left.
func (tx *Tx) DemoteState(p PurgePoint, after int64, pinned map[int64]bool) (next int64, err error) {
	events, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos > $2 AND e.pos < $3
		AND e.state_key_nid IS NOT NULL ORDER BY e.pos LIMIT `+atLeast(maxPurge), []any{p.RoomNID, after, p.Pos})
	if err != nil || len(events) == 0 {
		return 0, err
	}
	next = events[len(events)-1].Pos
	tips, err := tx.isExtremity(p.RoomNID)
	if err != nil {
		return 0, err
	}
	var some []*Event
	for _, e := range events {
		if !tips[e.NID] && !pinned[e.NID] {
			some = append(some, e)
		}
	}
	return next, tx.demote(p.RoomNID, some)
}

// DemoteStrays makes outliers of some of the state events of a room that were rejected or soft-failed and came before a point. more
// tells that there may be others.
func (tx *Tx) DemoteStrays(p PurgePoint) (more bool, err error) {
	events, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos IS NULL AND e.nid < $2
		AND e.state_key_nid IS NOT NULL AND e.status & 1 = 0 LIMIT `+atLeast(maxPurge), []any{p.RoomNID, p.Pos})
	if err != nil || len(events) == 0 {
		return false, err
	}
	return true, tx.demote(p.RoomNID, events)
}

// maxStays bounds how far back the memberships of one user are followed.
const maxStays = 1000

// PinnedEvents returns the events of a room that users of this server who are not in it need in their place: by the one that ended
// their stay they still read what they saw then, and with an invitation goes the state of its time. Who has forgotten the room needs
// nothing.
func (tx *Tx) PinnedEvents(roomNID int64) (map[int64]bool, error) {
	nids, err := tx.ints(`SELECT m.event_nid FROM memberships m JOIN users u ON u.nid = m.user_nid
		WHERE m.room_nid = $1 AND m.membership <> 'join' AND m.forgotten = 0 AND m.event_nid <> 0`, roomNID)
	if err != nil {
		return nil, err
	}
	pinned := make(map[int64]bool, len(nids))
	for _, nid := range nids {
		for range maxStays {
			e, err := tx.EventByNID(nid)
			if err != nil {
				return nil, err
			}
			if e.Membership() == "join" {
				break // it is of the state before the event that followed it
			}
			pinned[nid] = true
			if nid = e.Replaces; nid == 0 {
				break
			}
		}
	}
	return pinned, nil
}

// TrimRoomStates forgets what states a room had before a point, but for the one that it had there. Of positions before, StateIDAt
// then says what it says of those before the room was there: that nothing is known. more tells that there are others.
func (tx *Tx) TrimRoomStates(p PurgePoint) (more bool, err error) {
	positions, err := tx.ints(`SELECT pos FROM room_states WHERE room_nid = $1 AND pos < (SELECT MAX(pos) FROM room_states
		WHERE room_nid = $1 AND pos <= $2) ORDER BY pos LIMIT `+atLeast(maxPurge), p.RoomNID, p.Pos)
	if err != nil || len(positions) == 0 {
		return false, err
	}
	_, err = tx.Exec(`DELETE FROM room_states WHERE room_nid = $1 AND pos <= $2`, p.RoomNID, positions[len(positions)-1])
	return true, err
}
