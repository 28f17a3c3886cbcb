package store

// Bounds of a search for expired messages.
const (
	// maxScan is how many messages one transaction looks at.
	maxScan = 2048
	// maxYoung is how many messages in a row may be too young before the search ends: time goes by in the order of the timeline, but
	// for clocks that are wrong.
	maxYoung = 10_000
)

// Expiry is a search for the messages of a room that are older than a time.
type Expiry struct {
	RoomNID  int64
	BeforeTS int64 // milliseconds
	NowTS    int64

	after    int64   // position
	young    int     // messages in a row that are too young
	unknown  []int64 // messages whose senders claim a time that is yet to come: they are as old as the next one
	searched bool    // the timeline
}

// FindExpired goes on with a search, and returns some of the messages that are older than the time. done tells that there are no
// others.
func (tx *Tx) FindExpired(x *Expiry) (nids []int64, done bool, err error) {
	if x.searched { // what is left is in no timeline
		nids, err = tx.ints(`SELECT nid FROM events WHERE room_nid = $1 AND pos IS NULL AND state_key_nid IS NULL AND status & 1 = 0
			AND origin_server_ts < $2`, x.RoomNID, x.BeforeTS)
		return nids, true, err
	}
	scanned := 0
	err = tx.Query(`SELECT nid, pos, origin_server_ts FROM events WHERE room_nid = $1 AND pos > $2 AND state_key_nid IS NULL
		ORDER BY pos LIMIT `+atLeast(maxScan), []any{x.RoomNID, x.after}, func(scan func(...any) error) error {
		var nid, pos, ts int64
		if err := scan(&nid, &pos, &ts); err != nil {
			return err
		}
		scanned++
		x.after = pos
		switch {
		case ts > x.NowTS+clockSlack:
			if len(x.unknown) < maxScan { // the others go when these have gone
				x.unknown = append(x.unknown, nid)
			}
		case ts < x.BeforeTS:
			nids = append(append(nids, x.unknown...), nid)
			x.unknown, x.young = nil, 0
		default:
			x.unknown, x.young = nil, x.young+1
		}
		return nil
	})
	x.searched = scanned < maxScan || x.young >= maxYoung
	return nids, false, err
}

// DeleteExpired deletes some of the messages that FindExpired found, and returns the others, nil for none. The room's extremities
// stay, and its newest event, and redactions whose target stays. loose tells that no state that the room has had is the state at one
// of those that went, so that there may be a state set now to which nothing refers.
func (tx *Tx) DeleteExpired(roomNID int64, nids []int64) (done Purged, rest []int64, loose bool, err error) {
	some := nids[:min(len(nids), maxPurge)]
	if rest = nids[len(some):]; len(rest) == 0 {
		rest = nil
	}
	events, err := tx.EventsByNID(some)
	if err != nil {
		return Purged{}, rest, false, err
	}
	tips, err := tx.isExtremity(roomNID)
	if err != nil {
		return Purged{}, rest, false, err
	}
	var newest int64
	if _, err := tx.Row(`SELECT COALESCE(MAX(pos), 0) FROM events WHERE room_nid = $1`, []any{roomNID}, &newest); err != nil {
		return Purged{}, rest, false, err
	}
	going := make(map[int64]bool, len(events))
	for _, e := range events {
		going[e.NID] = !tips[e.NID] && (e.Pos != newest || e.Pos == 0)
	}
	var gone []*Event
	sets := make(map[int64]bool)
	for _, e := range events {
		needed, err := tx.redactionNeeded(e, func(target *Event) bool { return !going[target.NID] })
		if err != nil {
			return Purged{}, rest, false, err
		}
		if going[e.NID] && !needed {
			gone = append(gone, e)
			sets[e.StateBefore] = true
		}
	}
	if loose, err = tx.anyLoose(roomNID, sets); err != nil {
		return Purged{}, rest, false, err
	}
	done, err = tx.deleteEvents(roomNID, gone)
	return done, rest, loose, err
}

// anyLoose tells whether a room has never had one of some state sets as its current state.
func (tx *Tx) anyLoose(roomNID int64, sets map[int64]bool) (bool, error) {
	for setID := range sets {
		var one int64
		found, err := tx.Row(`SELECT 1 FROM room_states WHERE room_nid = $1 AND state_id = $2 LIMIT 1`, []any{roomNID, setID}, &one)
		if err != nil || !found {
			return setID != 0 || err != nil, err
		}
	}
	return false, nil
}
