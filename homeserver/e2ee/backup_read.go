package e2ee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// BackedUpKey returns one key of a version of a backup (Client-Server API, GET /room_keys/keys/{roomId}/{sessionId}). Errors: M_NOT_FOUND.
func (s *Service) BackedUpKey(ctx context.Context, user id.UserID, version string, room id.RoomID, session id.SessionID) (found BackedUpKey, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		userNID, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		b, err := findBackup(tx, userNID, version)
		if err != nil {
			return err
		}
		k, err := tx.KeyInBackup(b, store.SessionName{RoomID: room, SessionID: session})
		if errors.Is(err, store.ErrNotFound) {
			err = matrixError(http.StatusNotFound, "M_NOT_FOUND", "The key is not in the backup")
		}
		found = asSent(k)
		return err
	})
	if err != nil {
		return found, fmt.Errorf("read a backed up key of %s: %w", user, err)
	}
	return found, nil
}

func asSent(k store.BackedUpKey) BackedUpKey {
	return BackedUpKey{FirstMessageIndex: &k.FirstMessageIndex, ForwardedCount: &k.ForwardedCount, IsVerified: &k.Verified, SessionData: k.SessionData}
}

// backupPage is how many keys are read at once of a backup that is sent to a client: the answer may be larger than what the server would
// hold in memory, and a client that takes it slowly must not hold a snapshot of the database.
const backupPage = 500

// WriteBackedUp writes the keys of a version of a backup as JSON, all or, when room is not "", those of a room (Client-Server API, GET
// /room_keys/keys). What is put there meanwhile may be among them or not. Errors: M_NOT_FOUND, before anything is written; and those
// of w.
func (s *Service) WriteBackedUp(ctx context.Context, user id.UserID, version string, room id.RoomID, w io.Writer) error {
	out := backupWriter{w: w, oneRoom: room != ""}
	var last store.SessionName
	for more, set := true, int64(0); more; {
		var page []store.BackedUpKey
		err := s.db.View(ctx, func(tx *store.Tx) error {
			userNID, err := tx.LookupNID(string(user))
			if err != nil {
				return err
			}
			b, err := findBackup(tx, userNID, version)
			if err != nil {
				return err
			}
			if set != 0 && set != b.KeysNID {
				// All its keys were deleted: the rest of the answer would be of other keys.
				return nil
			}
			set = b.KeysNID
			page, err = tx.KeysOfBackup(b, room, last, backupPage)
			return err
		})
		if err != nil {
			return fmt.Errorf("read the backed up keys of %s: %w", user, err)
		}
		if more = len(page) == backupPage; len(page) > 0 {
			last = page[len(page)-1].SessionName
		}
		if err := out.add(page, !more); err != nil {
			return fmt.Errorf("send the backed up keys of %s: %w", user, err)
		}
	}
	return nil
}

// backupWriter writes {"rooms": {room: {"sessions": {session: key}}}}, or {"sessions": …} of one room, page by page.
type backupWriter struct {
	w       io.Writer
	oneRoom bool
	begun   bool
	room    id.RoomID // whose sessions are being written, "" before the first
	buffer  []byte
}

// add writes keys, which are in the order of their rooms, and the end after the last of them.
func (o *backupWriter) add(keys []store.BackedUpKey, end bool) error {
	o.buffer = o.buffer[:0]
	if !o.begun {
		o.begun = true
		o.text(`{"rooms":{`, `{"sessions":{`)
	}
	for _, k := range keys {
		if err := o.key(k); err != nil {
			return err
		}
	}
	if end {
		if o.room != "" {
			o.text(`}}`, ``)
		}
		o.text(`}}`, `}}`)
	}
	_, err := o.w.Write(o.buffer)
	return err
}

// text appends what is written where all rooms are, or where one is.
func (o *backupWriter) text(all, one string) {
	if o.oneRoom {
		all = one
	}
	o.buffer = append(o.buffer, all...)
}

func (o *backupWriter) key(k store.BackedUpKey) error {
	room, session := k.RoomID, k.SessionID
	switch {
	case room == o.room:
		o.text(`,`, `,`)
	case o.room != "":
		o.text(`}},`, ``)
		fallthrough
	default:
		name, err := json.Marshal(string(room))
		if err != nil {
			return err
		}
		o.room = room
		o.text(string(name)+`:{"sessions":{`, ``)
	}
	name, err := json.Marshal(string(session))
	if err != nil {
		return err
	}
	value, err := json.Marshal(asSent(k))
	if err != nil {
		return err
	}
	o.buffer = append(append(append(o.buffer, name...), ':'), value...)
	return nil
}
