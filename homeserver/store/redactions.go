package store

import (
	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// KeepOriginal keeps what an event that is about to be redacted says, until DropOriginals.
func (tx *Tx) KeepOriginal(e *Event, redactedTS int64) error {
	_, err := tx.Exec(`INSERT INTO redacted_originals (event_nid, room_nid, redacted_ts, json) VALUES ($1, $2, $3, $4)
		ON CONFLICT (event_nid) DO NOTHING`, e.NID, e.RoomNID, redactedTS, string(e.JSON()))
	return err
}

// RedactEvent puts the redacted form in the place of an event's JSON, and remembers which event asked for it. It relates to nothing any
// more, and what it said is found no more; what relates to it still does.
func (tx *Tx) RedactEvent(nid, redaction int64, json []byte) error {
	if err := tx.Defer(`DELETE FROM sticky_events WHERE event_nid = $1`, nid); err != nil {
		return err
	}
	if err := tx.dropRelations([]int64{nid}); err != nil {
		return err
	}
	if err := tx.unindex(nid); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE events SET redacted_by = $2, json = $3 WHERE nid = $1`, nid, redaction, string(json)); err != nil {
		return err
	}
	return tx.silence(nid)
}

// AwaitRedaction remembers a redaction whose target is not here yet.
func (tx *Tx) AwaitRedaction(roomNID int64, target id.EventID, redaction int64) error {
	if nobodys(string(target)) || len(target) > event.MaxFieldBytes { // no event has such an id
		return nil
	}
	return tx.Defer(`INSERT INTO awaited_redactions (target, redaction_nid, room_nid) VALUES ($1, $2, $3)
		ON CONFLICT (target, redaction_nid) DO NOTHING`, string(target), redaction, roomNID)
}

// AwaitedRedactions returns the first few of the redactions that wait for an event, oldest first.
func (tx *Tx) AwaitedRedactions(target id.EventID) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM awaited_redactions a JOIN events e ON e.nid = a.redaction_nid
		WHERE a.target = $1 ORDER BY a.redaction_nid LIMIT 16`, []any{string(target)})
}

// EndAwait forgets the redactions that waited for an event.
func (tx *Tx) EndAwait(target id.EventID) error {
	return tx.Defer(`DELETE FROM awaited_redactions WHERE target = $1`, string(target))
}
