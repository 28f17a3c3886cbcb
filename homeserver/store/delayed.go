package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// DelayTxnDevice stands for the device in the transaction id of an event that was sent late; the transaction id is the delay id. So an
// event is sent once, and its sender can be told which delayed event it was.
const DelayTxnDevice = "delay:"

// DelayedOutcome is what became of a delayed event.
type DelayedOutcome string

// The outcomes.
const (
	Scheduled        DelayedOutcome = "" // nothing yet
	DelayedSent      DelayedOutcome = "sent"
	DelayedCancelled DelayedOutcome = "cancelled" // by the user
	DelayedFailed    DelayedOutcome = "failed"    // the room did not take it
)

// Delayed is an event that is to be sent later, or was to be.
type Delayed struct {
	DelayID  string
	User     id.UserID
	RoomID   id.RoomID
	RoomNID  int64
	Type     string
	StateKey *string
	Content  json.RawMessage // of one that was sent: what is left of it
	DelayMS  int64
	SinceTS  int64 // when it was scheduled, or restarted last
	SendTS   int64
	EventTS  int64 // the time that the event is to carry, 0 for that of the sending
	StickyMS *int64

	Device, AppService, TxnID string

	Outcome DelayedOutcome
	FinalTS int64 // when there came to be an outcome
	EventID id.EventID
	Error   json.RawMessage // of one that failed
}

const delayedColumns = `d.delay_id, u.value, r.room_id, d.room_nid, d.type, d.state_key, d.content, d.delay_ms, d.since_ts, d.send_ts,
	d.event_ts, d.sticky_ms, d.device, d.appservice, d.txn_id, d.outcome, d.final_ts, d.event_id, d.error`

const fromDelayed = ` FROM delayed_events d JOIN strings u ON u.nid = d.user_nid JOIN rooms r ON r.nid = d.room_nid `

func scanDelayed(scan func(...any) error) (*Delayed, error) {
	var (
		d                        Delayed
		user, room, content      string
		stateKey, txnID, outcome sql.NullString
		eventID, fault           sql.NullString
		sticky, finalTS          sql.NullInt64
	)
	err := scan(&d.DelayID, &user, &room, &d.RoomNID, &d.Type, &stateKey, &content, &d.DelayMS, &d.SinceTS, &d.SendTS, &d.EventTS,
		&sticky, &d.Device, &d.AppService, &txnID, &outcome, &finalTS, &eventID, &fault)
	if err != nil {
		return nil, fmt.Errorf("read a delayed event: %w", err)
	}
	d.User, d.RoomID, d.Content = id.UserID(user), id.RoomID(room), json.RawMessage(content)
	d.TxnID, d.Outcome, d.FinalTS, d.EventID = txnID.String, DelayedOutcome(outcome.String), finalTS.Int64, id.EventID(eventID.String)
	if stateKey.Valid {
		d.StateKey = &stateKey.String
	}
	if sticky.Valid {
		d.StickyMS = &sticky.Int64
	}
	if fault.Valid {
		d.Error = json.RawMessage(fault.String)
	}
	return &d, nil
}

func (tx *Tx) delayed(query string, args ...any) ([]*Delayed, error) {
	var all []*Delayed
	err := tx.Query(`SELECT `+delayedColumns+fromDelayed+query, args, func(scan func(...any) error) error {
		d, err := scanDelayed(scan)
		all = append(all, d)
		return err
	})
	return all, err
}

// InsertDelayed adds a delayed event. RoomNID says where. ErrExists when its transaction id was used.
func (tx *Tx) InsertDelayed(d *Delayed) error {
	userNID, err := tx.NID(string(d.User))
	if err != nil {
		return err
	}
	var stateKey sql.NullString
	if d.StateKey != nil {
		stateKey = sql.NullString{String: *d.StateKey, Valid: true}
	}
	var sticky sql.NullInt64
	if d.StickyMS != nil {
		sticky = sql.NullInt64{Int64: *d.StickyMS, Valid: true}
	}
	nid, err := tx.NextPos()
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO delayed_events (delay_id, nid, user_nid, room_nid, type, state_key, content, delay_ms, since_ts, send_ts,
		event_ts, sticky_ms, device, appservice, txn_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		d.DelayID, nid, userNID, d.RoomNID, d.Type, stateKey, string(d.Content), d.DelayMS, d.SinceTS, d.SendTS, d.EventTS, sticky,
		d.Device, d.AppService, nullString(d.TxnID))
	return err
}

// DelayedByTxn returns the id of the delayed event that was scheduled under a transaction id. ErrNotFound.
func (tx *Tx) DelayedByTxn(t Txn) (delayID string, err error) {
	userNID, err := tx.LookupNID(string(t.Sender))
	if err != nil {
		return "", err
	}
	roomNID, err := tx.RoomNID(t.RoomID)
	if err != nil {
		return "", err
	}
	found := false
	if !nobodys(t.ID + t.Type) {
		found, err = tx.Row(`SELECT delay_id FROM delayed_events WHERE user_nid = $1 AND device = $2 AND txn_id = $3 AND room_nid = $4
			AND type = $5`, []any{userNID, t.Device, t.ID, roomNID, t.Type}, &delayID)
	}
	if err == nil && !found {
		err = fmt.Errorf("delayed event of transaction %s: %w", t.ID, ErrNotFound)
	}
	return delayID, err
}

// Delayed returns a delayed event. ErrNotFound.
func (tx *Tx) Delayed(delayID string) (*Delayed, error) {
	if nobodys(delayID) {
		return nil, fmt.Errorf("delayed event: %w", ErrNotFound)
	}
	all, err := tx.delayed(`WHERE d.delay_id = $1`, delayID)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("delayed event: %w", ErrNotFound)
	}
	d := all[0]
	if d.EventID == "" {
		return d, nil
	}
	switch e, err := tx.EventByID(d.EventID); {
	case err == nil:
		d.Content = e.Content
	case errors.Is(err, ErrNotFound): // purged
		d.Content = json.RawMessage(`{}`)
	default:
		return nil, err
	}
	return d, nil
}

// DelayedDue returns the first limit scheduled events that are due at a time, but for those of some rooms; those that were due first in
// front.
func (tx *Tx) DelayedDue(nowTS int64, limit int, except []int64) ([]*Delayed, error) {
	query, args := `WHERE d.outcome IS NULL AND d.send_ts <= $1 AND r.purging = 0`, []any(nil)
	if len(except) > 0 {
		query, args = sqldb.In(query+` AND d.room_nid NOT IN `, 2, except)
	}
	return tx.delayed(query+` ORDER BY d.send_ts, d.nid LIMIT `+atLeast(limit), append([]any{nowTS}, args...)...)
}

// NextDelayed returns when the first of the scheduled events after a time is due, 0 when there is none.
func (tx *Tx) NextDelayed(afterTS int64) (int64, error) {
	var next sql.NullInt64
	_, err := tx.Row(`SELECT MIN(send_ts) FROM delayed_events WHERE outcome IS NULL AND send_ts > $1`, []any{afterTS}, &next)
	return next.Int64, err
}

// DelayedOf returns the first limit scheduled events of a user, those that are due first in front.
func (tx *Tx) DelayedOf(user id.UserID, limit int) ([]*Delayed, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return nil, err
	}
	return tx.delayed(`WHERE d.user_nid = $1 AND d.final_ts IS NULL ORDER BY d.send_ts, d.nid LIMIT `+atLeast(limit), nid)
}

// CountDelayed returns how many events a user has scheduled, and when the first of them is due.
func (tx *Tx) CountDelayed(user id.UserID) (n int, firstTS int64, err error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return 0, 0, err
	}
	var first sql.NullInt64
	_, err = tx.Row(`SELECT COUNT(*), MIN(send_ts) FROM delayed_events WHERE user_nid = $1 AND final_ts IS NULL`, []any{nid}, &n, &first)
	return n, first.Int64, err
}

// RestartDelayed puts a scheduled event off until its delay has passed again. ErrNotFound when it is not scheduled.
func (tx *Tx) RestartDelayed(delayID string, nowTS int64) error {
	return tx.changeDelayed(`UPDATE delayed_events SET since_ts = $2, send_ts = $2 + delay_ms WHERE delay_id = $1 AND outcome IS NULL`,
		delayID, nowTS)
}

// CancelDelayed ends a scheduled event. ErrNotFound when it is not scheduled.
func (tx *Tx) CancelDelayed(delayID string, nowTS int64) error {
	return tx.changeDelayed(`UPDATE delayed_events SET outcome = 'cancelled', final_ts = $2 WHERE delay_id = $1 AND outcome IS NULL`,
		delayID, nowTS)
}

// FinishDelayed records that a scheduled event, which is due at dueTS, was sent. ErrNotFound when it is not scheduled, or not due by
// then any more.
func (tx *Tx) FinishDelayed(delayID string, eventID id.EventID, dueTS, nowTS int64) error {
	return tx.changeDelayed(`UPDATE delayed_events SET outcome = 'sent', final_ts = $4, event_id = $2, content = ''
		WHERE delay_id = $1 AND outcome IS NULL AND send_ts <= $3`, delayID, string(eventID), dueTS, nowTS)
}

// FailDelayed records the error, a JSON object, by which a scheduled event, which is due at dueTS, could not be sent. ErrNotFound when it
// is not scheduled, or not due by then any more.
func (tx *Tx) FailDelayed(delayID string, fault json.RawMessage, dueTS, nowTS int64) error {
	return tx.changeDelayed(`UPDATE delayed_events SET outcome = 'failed', final_ts = $4, error = $2
		WHERE delay_id = $1 AND outcome IS NULL AND send_ts <= $3`, delayID, string(fault), dueTS, nowTS)
}

func (tx *Tx) changeDelayed(update, delayID string, args ...any) error {
	if nobodys(delayID) {
		return fmt.Errorf("delayed event: %w", ErrNotFound)
	}
	n, err := tx.Exec(update, append([]any{delayID}, args...)...)
	if err == nil && n == 0 {
		err = fmt.Errorf("scheduled event: %w", ErrNotFound)
	}
	return err
}

// ShiftDelayed moves all scheduled events by some milliseconds, as the clock was.
func (tx *Tx) ShiftDelayed(by int64) error {
	_, err := tx.Exec(`UPDATE delayed_events SET since_ts = since_ts + $1, send_ts = send_ts + $1 WHERE outcome IS NULL`, by)
	return err
}

// PruneDelayed forgets what became of delayed events before a time, and of each user's but for the newest keep.
func (tx *Tx) PruneDelayed(beforeTS int64, keep int) error {
	if _, err := tx.Exec(`DELETE FROM delayed_events WHERE outcome IS NOT NULL AND final_ts < $1`, beforeTS); err != nil {
		return err
	}
	users, err := tx.ints(`SELECT user_nid FROM delayed_events WHERE outcome IS NOT NULL GROUP BY user_nid HAVING COUNT(*) > $1`, keep)
	if err != nil {
		return err
	}
	for _, user := range users {
		_, err := tx.Exec(`DELETE FROM delayed_events WHERE delay_id IN (SELECT delay_id FROM delayed_events WHERE user_nid = $1
			AND outcome IS NOT NULL ORDER BY final_ts DESC, nid DESC LIMIT 1000000 OFFSET $2)`, user, keep)
		if err != nil {
			return err
		}
	}
	return nil
}
