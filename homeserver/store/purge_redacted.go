package store

// maxOriginals bounds the originals of redacted events that one transaction deletes.
const maxOriginals = 1000

// DropOriginals deletes some of what redacted events said, of those that were redacted before a time in milliseconds, and of events
// that are not here any more. more tells that there may be others.
func (tx *Tx) DropOriginals(beforeTS int64) (done Purged, more bool, err error) {
	nids, err := tx.ints(`SELECT event_nid FROM redacted_originals WHERE redacted_ts < $1 ORDER BY redacted_ts LIMIT `+
		atLeast(maxOriginals), beforeTS)
	if err != nil {
		return Purged{}, false, err
	}
	more = len(nids) >= maxOriginals
	if !more {
		// Whoever redacts an event while it is being purged may have kept it.
		lost, err := tx.ints(`SELECT event_nid FROM redacted_originals o WHERE NOT EXISTS (SELECT 1 FROM events e
			WHERE e.nid = o.event_nid) LIMIT ` + atLeast(maxOriginals))
		if err != nil {
			return Purged{}, false, err
		}
		nids, more = append(nids, lost...), len(lost) >= maxOriginals
	}
	if len(nids) == 0 {
		return Purged{}, false, nil
	}
	done.Originals = int64(len(nids))
	done.Bytes, err = tx.sumIn(`SELECT COALESCE(SUM(OCTET_LENGTH(json)), 0) FROM redacted_originals WHERE event_nid IN `, nids)
	if err != nil {
		return Purged{}, false, err
	}
	return done, more, tx.execIn(`DELETE FROM redacted_originals WHERE event_nid IN `, nids)
}
