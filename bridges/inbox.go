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
	// inboxPage is how many events are read at once.
	inboxPage = 500
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
	ID   id.EventID
	Room id.RoomID
	Raw  json.RawMessage
	seq  int64 // its place in the inbox, once it is there
}

// state of a letter as put found it.
type letterState int

const (
	letterNew letterState = iota
	letterPending
	letterDone
)

func newInbox(db *dbutil.Database) *inbox { return &inbox{db: db} }

// waiting returns how many events each room has that were received but not marked done. It is called once, before put.
func (i *inbox) waiting(ctx context.Context) (map[id.RoomID]int, error) {
	if err := i.db.QueryRow(ctx, `SELECT COALESCE(MAX(seq), 0) FROM host_inbox`).Scan(&i.seq); err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	if err := i.addRooms(ctx); err != nil {
		return nil, fmt.Errorf("note the rooms of the inbox: %w", err)
	}
	rows, err := i.db.Query(ctx, `SELECT room_id, COUNT(*) FROM host_inbox WHERE done_ts=0 GROUP BY room_id`)
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	defer func() { _ = rows.Close() }()
	rooms := map[id.RoomID]int{}
	for rows.Next() {
		var room id.RoomID
		var count int
		if err := rows.Scan(&room, &count); err != nil {
			return nil, fmt.Errorf("read the inbox: %w", err)
		}
		rooms[room] = count
	}
	return rooms, rows.Err()
}

// addRooms notes the rooms of events that were received before there was a column for them.
func (i *inbox) addRooms(ctx context.Context) error {
	for after := int64(0); ; {
		letters, err := i.ofRoom(ctx, "", after, inboxPage)
		if err != nil {
			return err
		}
		for _, l := range letters {
			after = l.seq
			var evt struct {
				Room id.RoomID `json:"room_id"`
			}
			if json.Unmarshal(l.Raw, &evt) != nil || evt.Room == "" {
				continue // it is found out later that this is no event
			}
			if _, err := i.db.Exec(ctx, `UPDATE host_inbox SET room_id=$1 WHERE event_id=$2`, evt.Room, l.ID); err != nil {
				return err
			}
		}
		if len(letters) < inboxPage {
			return nil
		}
	}
}

// ofRoom returns at most limit events of a room that are not marked done and came after a place in the inbox, in their order.
func (i *inbox) ofRoom(ctx context.Context, room id.RoomID, after int64, limit int) ([]letter, error) {
	rows, err := i.db.Query(ctx, `SELECT event_id, seq, event FROM host_inbox WHERE done_ts=0 AND room_id=$1 AND seq>$2 ORDER BY seq LIMIT $3`,
		room, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var letters []letter
	for rows.Next() {
		l := letter{Room: room}
		var raw string
		if err := rows.Scan(&l.ID, &l.seq, &raw); err != nil {
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

// put stores the letters that are not there yet, all or none, says what each was before, and notes their places.
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
				INSERT INTO host_inbox (event_id, seq, done_ts, event, room_id) VALUES ($1, $2, 0, $3, $4)
				ON CONFLICT (event_id) DO UPDATE SET seq=host_inbox.seq
				RETURNING seq, done_ts`, l.ID, seq, string(l.Raw), l.Room).Scan(&stored, &doneTS)
			letters[n].seq = stored
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

// isDone says whether an event is marked as handled.
func (i *inbox) isDone(ctx context.Context, event id.EventID) (done bool, err error) {
	err = i.db.QueryRow(ctx, `SELECT done_ts>0 FROM host_inbox WHERE event_id=$1`, event).Scan(&done)
	if err != nil {
		return false, fmt.Errorf("look whether %s was handled: %w", event, err)
	}
	return done, nil
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
