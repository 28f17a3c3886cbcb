package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Report is what a user told the operator about an event, a room or another user.
type Report struct {
	TS      int64
	By      id.UserID
	RoomNID int64      // 0 when it is about a user
	EventID id.EventID // "" when it is about a room or a user
	User    id.UserID  // whom it is about
	Score   *int64
	Reason  string
}

// InsertReport keeps a report, and of those of its sender the newest keep.
func (tx *Tx) InsertReport(r *Report, keep int) error {
	userNID, err := tx.NID(string(r.By))
	if err != nil {
		return err
	}
	nid, err := tx.NextPos()
	if err != nil {
		return err
	}
	var score sql.NullInt64
	if r.Score != nil {
		score = sql.NullInt64{Int64: *r.Score, Valid: true}
	}
	_, err = tx.Exec(`INSERT INTO reports (nid, ts, user_nid, room_nid, event_id, about, score, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		nid, r.TS, userNID, nullInt(r.RoomNID), nullString(string(r.EventID)), nullString(string(r.User)), score, r.Reason)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM reports WHERE user_nid = $1 AND nid <= (SELECT nid FROM reports WHERE user_nid = $1
		ORDER BY nid DESC LIMIT 1 OFFSET $2)`, userNID, keep)
	return err
}

// Reports returns reports with a number after the given one, oldest first, and the number of the last; at most limit of them.
func (tx *Tx) Reports(after int64, limit int) (all []Report, last int64, err error) {
	last = after
	err = tx.Query(`SELECT r.nid, r.ts, u.value, r.room_nid, r.event_id, r.about, r.score, r.reason FROM reports r
		JOIN strings u ON u.nid = r.user_nid WHERE r.nid > $1 ORDER BY r.nid LIMIT `+atLeast(limit), []any{after}, func(scan func(...any) error) error {
		var (
			r              Report
			by             string
			room, score    sql.NullInt64
			eventID, about sql.NullString
		)
		if err := scan(&last, &r.TS, &by, &room, &eventID, &about, &score, &r.Reason); err != nil {
			return fmt.Errorf("read a report: %w", err)
		}
		r.By, r.RoomNID, r.EventID, r.User = id.UserID(by), room.Int64, id.EventID(eventID.String), id.UserID(about.String)
		if score.Valid {
			r.Score = &score.Int64
		}
		all = append(all, r)
		return nil
	})
	return all, last, err
}
