package ephemeral

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// The types of receipts. Client-Server API, "Receipts" and "Fully read markers".
const (
	TypeRead        = store.ReceiptRead
	TypeReadPrivate = store.ReceiptReadPrivate
	TypeFullyRead   = "m.fully_read" // kept as account data of the room
)

// Eyes says which events users may see.
type Eyes interface {
	// Visible returns an event of a room as a user sees it. The error is 404 M_NOT_FOUND for what is not there and for what the user
	// may not see.
	Visible(tx *store.Tx, user id.UserID, roomID id.RoomID, eventID id.EventID) (*store.Event, error)
}

// Receipts records up to where users have read.
type Receipts struct {
	db     *store.DB
	bus    notify.Bus
	eyes   Eyes
	active func(id.UserID)
	now    func() time.Time
}

// NewReceipts returns a Receipts. active, if not nil, is told of users who read something.
func NewReceipts(db *store.DB, bus notify.Bus, eyes Eyes, active func(id.UserID)) *Receipts {
	return &Receipts{db: db, bus: bus, eyes: eyes, active: active, now: time.Now}
}

// Mark is what a user says of having read a room.
type Mark struct {
	Type    string     // m.read, m.read.private or m.fully_read
	EventID id.EventID // up to which
	// Thread is "" for the whole room, event.MainThread, or the id of a thread's root.
	Thread string
}

// CheckType returns 400 M_INVALID_PARAM for what is no type of receipts.
func CheckType(receiptType string) error {
	switch receiptType {
	case TypeRead, TypeReadPrivate, TypeFullyRead:
		return nil
	}
	return matrixError(400, "M_INVALID_PARAM", "There are no receipts of this type: it must be %s, %s or %s", TypeRead,
		TypeReadPrivate, TypeFullyRead)
}

// SetRead records up to where a user has read a room (Client-Server API, POST /rooms/{roomId}/receipt/{receiptType}/{eventId} and POST
// /rooms/{roomId}/read_markers): all of the marks or, with an error, none. What would move a mark backwards changes nothing.
// Errors: 403 M_FORBIDDEN for users who are not in the room; 404 M_NOT_FOUND for an event that is not there, or that the user may
// not see; 400 M_INVALID_PARAM for a type or thread that is none, or does not have the event.
func (s *Receipts) SetRead(ctx context.Context, user id.UserID, roomID id.RoomID, marks ...Mark) error {
	for _, m := range marks {
		if err := CheckType(m.Type); err != nil {
			return err
		}
	}
	var userNID int64
	rows := make([]store.Receipt, len(marks))
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		roomNID, err := joinedRoom(tx, user, roomID)
		if err != nil {
			return err
		}
		if userNID, err = tx.LookupNID(string(user)); err != nil {
			return err
		}
		for i, m := range marks {
			e, err := s.eyes.Visible(tx, user, roomID, m.EventID)
			if err != nil {
				return err
			}
			if err := checkThread(tx, e, m); err != nil {
				return err
			}
			rows[i] = store.Receipt{
				RoomNID: roomNID, UserNID: userNID, Type: m.Type, Thread: m.Thread, EventID: e.EventID, EventPos: e.Pos, TS: s.now().UnixMilli(),
			}
		}
		return nil
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	var signals []notify.Signal
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		signals, err = write(tx, user, roomID, rows)
		return err
	})
	if err != nil {
		return fmt.Errorf("record what %s has read of %s: %w", user, roomID, err)
	}
	s.bus.Publish(signals...)
	// What is read in private says nothing to others, by way of presence neither.
	if s.active != nil && slices.ContainsFunc(marks, func(m Mark) bool { return m.Type == TypeRead }) {
		s.active(user)
	}
	return nil
}

// checkThread finds out whether an event is in the thread that a mark is about. Client-Server API, "Threaded read receipts". The root
// of a thread, and what is about the root, is shown in the thread and in the main timeline, and may be read in either.
func checkThread(tx *store.Tx, e *store.Event, m Mark) error {
	if m.Thread == "" {
		return nil
	}
	if m.Type == TypeFullyRead {
		return matrixError(400, "M_INVALID_PARAM", "A %s marker cannot have a thread_id", TypeFullyRead)
	}
	if m.Thread != event.MainThread && (m.Thread[0] != '$' || len(m.Thread) > event.MaxFieldBytes || strings.Contains(m.Thread, "\x00")) {
		return matrixError(400, "M_INVALID_PARAM", "thread_id must be main or an event ID")
	}
	thread, err := tx.ThreadOf(e)
	if err == nil && m.Thread != thread.ID && m.Thread != string(thread.Root) {
		err = matrixError(400, "M_INVALID_PARAM", "%s is not in the thread %s", e.EventID, m.Thread)
	}
	return err
}

// write stores what is further than what is stored, and returns whom to wake.
func write(tx *store.Tx, user id.UserID, roomID id.RoomID, rows []store.Receipt) (signals []notify.Signal, err error) {
	// The user may have left meanwhile, or the room may have been purged.
	if nid, err := joinedRoom(tx, user, roomID); err != nil || nid != rows[0].RoomNID {
		return nil, err
	}
	for _, row := range rows {
		key, pos := notify.Key{Kind: notify.User, NID: row.UserNID}, int64(0)
		switch row.Type {
		case TypeFullyRead:
			pos, err = setFullyRead(tx, user, row)
		case TypeRead:
			key = notify.Key{Kind: notify.Room, NID: row.RoomNID}
			fallthrough
		default:
			pos, err = tx.SetReceipt(row)
		}
		if err != nil {
			return nil, err
		}
		if pos > 0 {
			signals = append(signals, notify.Signal{Key: key, Pos: pos})
		}
	}
	return signals, nil
}

// setFullyRead moves the user's fully read marker, unless it is further already. It returns 0 then.
func setFullyRead(tx *store.Tx, user id.UserID, row store.Receipt) (pos int64, err error) {
	old, err := tx.AccountData(user, row.RoomNID, TypeFullyRead)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	type marker struct {
		EventID id.EventID `json:"event_id"`
	}
	var at marker
	if err == nil && json.Unmarshal(old, &at) == nil && at.EventID != "" {
		before, err := tx.EventByID(at.EventID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		if err == nil && before.RoomNID == row.RoomNID && before.Pos >= row.EventPos {
			return 0, nil
		}
	}
	content, err := json.Marshal(marker{row.EventID})
	if err != nil {
		return 0, fmt.Errorf("marshal a fully read marker: %w", err)
	}
	_, pos, err = tx.SetAccountData(user, row.RoomNID, TypeFullyRead, content)
	return pos, err
}
