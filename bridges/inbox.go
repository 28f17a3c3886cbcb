package bridges

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// inboxKeep is for how long an event that was handled is remembered. A homeserver that repeats a
	// transaction after a longer time would have its events handled again.
	inboxKeep = 14 * 24 * time.Hour
	// inboxPruneEvery is the number of stored transactions between two clean-ups.
	inboxPruneEvery = 2000
)

// inbox is the table of events received from the homeserver. An event enters it before it is handled and is
// marked done afterwards, which makes repeated transactions harmless and lets a transaction be acknowledged
// while a slow event of it still waits.
//
// Callers are serialised by the transaction lock, except for done.
type inbox struct {
	db    *dbutil.Database
	seq   int64
	count int
}

// letter is one event in the inbox.
type letter struct {
	ID  id.EventID
	Raw json.RawMessage
}

// state of a letter as put found it.
type letterState int

const (
	letterNew letterState = iota
	letterPending
	letterDone
)

func newInbox(db *dbutil.Database) *inbox { return &inbox{db: db} }

// pending returns what was received but not marked done, in the order it came. It is called once, before put.
func (i *inbox) pending(ctx context.Context) ([]letter, error) {
	if err := i.db.QueryRow(ctx, `SELECT COALESCE(MAX(seq), 0) FROM host_inbox`).Scan(&i.seq); err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	rows, err := i.db.Query(ctx, `SELECT event_id, event FROM host_inbox WHERE done_ts=0 ORDER BY seq`)
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	defer rows.Close()
	var letters []letter
	for rows.Next() {
		var l letter
		var raw string
		if err := rows.Scan(&l.ID, &raw); err != nil {
			return nil, fmt.Errorf("read the inbox: %w", err)
		}
		l.Raw = json.RawMessage(raw)
		letters = append(letters, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	return letters, nil
}

// put stores the letters that are not there yet, all or none, and says what each was before.
func (i *inbox) put(ctx context.Context, letters []letter) ([]letterState, error) {
	states := make([]letterState, len(letters))
	seq := i.seq
	err := i.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		for n, l := range letters {
			var doneTS int64
			var stored int64
			seq++
			// The update changes nothing; it makes RETURNING yield the row that was there.
			err := i.db.QueryRow(ctx, `
				INSERT INTO host_inbox (event_id, seq, done_ts, event) VALUES ($1, $2, 0, $3)
				ON CONFLICT (event_id) DO UPDATE SET seq=host_inbox.seq
				RETURNING seq, done_ts`, l.ID, seq, string(l.Raw)).Scan(&stored, &doneTS)
			switch {
			case err != nil:
				return err
			case stored == seq:
				states[n] = letterNew
			case doneTS == 0:
				states[n] = letterPending
			default:
				states[n] = letterDone
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store events: %w", err)
	}
	i.seq = seq
	i.pruneSometimes(ctx)
	return states, nil
}

// done marks an event as handled.
func (i *inbox) done(ctx context.Context, event id.EventID) error {
	_, err := i.db.Exec(ctx, `UPDATE host_inbox SET done_ts=$1, event='' WHERE event_id=$2`, time.Now().UnixMilli(), event)
	if err != nil {
		return fmt.Errorf("mark %s as handled: %w", event, err)
	}
	return nil
}

func (i *inbox) pruneSometimes(ctx context.Context) {
	i.count++
	if i.count%inboxPruneEvery != 1 {
		return
	}
	beforeTS := time.Now().Add(-inboxKeep).UnixMilli()
	// An old row that stays is found again next time.
	_, _ = i.db.Exec(ctx, `DELETE FROM host_inbox WHERE done_ts>0 AND done_ts<$1`, beforeTS)
}

// Waiting returns the bodies of the messages of somebody in a room that are not handled to their end yet; of those that are encrypted
// that is "".
func (h *Host) Waiting(ctx context.Context, room id.RoomID, sender id.UserID) ([]string, error) {
	rows, err := h.b.inbox.db.Query(ctx, `SELECT event FROM host_inbox WHERE done_ts=0 ORDER BY seq`)
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	defer rows.Close()
	var bodies []string
	for rows.Next() {
		var raw string
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("read the inbox: %w", err)
		}
		var evt struct {
			Type    string    `json:"type"`
			Room    id.RoomID `json:"room_id"`
			Sender  id.UserID `json:"sender"`
			Content struct {
				Body string `json:"body"`
			} `json:"content"`
		}
		if json.Unmarshal([]byte(raw), &evt) == nil && evt.Room == room && evt.Sender == sender &&
			(evt.Type == event.EventMessage.Type || evt.Type == event.EventEncrypted.Type) {
			bodies = append(bodies, evt.Content.Body)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	return bodies, nil
}
