package sender

import (
	"context"

	"causeway/homeserver/store"
)

// maxTypingBytes bounds the events that say who is typing in a transaction, but for the last of them.
const maxTypingBytes = 128 << 10

// maxTold bounds the rooms of which a worker remembers that it told of somebody typing.
const maxTold = 10_000

// readTyping takes note of who types where that is new.
func (w *worker) readTyping(tx *store.Tx) error {
	b := &w.beside
	if !b.ephemeral || b.live == nil {
		return nil
	}
	rooms, serial, known := b.live.TypingSince(b.serial)
	if serial == b.serial {
		return nil
	}
	if !known { // some may have ended unheard of
		for nid := range b.told {
			if _, still := rooms[nid]; !still {
				b.typing[nid] = nil
			}
		}
	}
	for nid, users := range rooms {
		hears, err := w.interest.hears(tx, nid, w.pos)
		if err != nil {
			return err
		}
		if hears && (len(users) > 0 || b.told[nid]) {
			b.typing[nid] = users
		} else {
			delete(b.typing, nid)
		}
	}
	b.serial = serial
	return nil
}

// takeTyping returns the events for the next transaction, and notes that they have been told.
func (w *worker) takeTyping(ctx context.Context) ([][]byte, error) {
	b := &w.beside
	if len(b.typing) == 0 {
		return nil, nil
	}
	var events [][]byte
	var nids []int64
	size := 0
	err := w.db.View(ctx, func(tx *store.Tx) error {
		for nid, users := range b.typing {
			if len(nids) == maxTxnTyping || size > maxTypingBytes {
				break
			}
			nids = append(nids, nid)
			roomID, err := tx.RoomID(nid)
			if err != nil {
				return err
			}
			events = append(events, typingEvent(roomID, users))
			size += len(events[len(events)-1])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, nid := range nids {
		if len(b.typing[nid]) == 0 {
			delete(b.told, nid)
		} else if len(b.told) < maxTold {
			b.told[nid] = true
		}
		delete(b.typing, nid)
	}
	return events, nil
}
