package store

import (
	"fmt"
	"sync"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// Room is a row of rooms.
type Room struct {
	NID       int64
	RoomID    id.RoomID
	Version   *event.RoomVersion
	StateID   int64 // the current state set
	Published bool  // in the room directory
}

// maxRoomVersions bounds the rooms whose id and version are kept in memory.
const maxRoomVersions = 100_000

type roomIdentity struct {
	id      id.RoomID
	version *event.RoomVersion
}

// roomVersions remembers what never changes of a room.
type roomVersions struct {
	mu   sync.RWMutex // guards rows
	rows map[int64]roomIdentity
}

func newRoomVersions() *roomVersions { return &roomVersions{rows: make(map[int64]roomIdentity)} }

func (r *roomVersions) get(nid int64) (roomIdentity, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	row, ok := r.rows[nid]
	return row, ok
}

func (r *roomVersions) put(nid int64, row roomIdentity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) >= maxRoomVersions {
		clear(r.rows)
	}
	r.rows[nid] = row
}

// InsertRoom adds a room without events. ErrExists when there is one with this id.
func (tx *Tx) InsertRoom(roomID id.RoomID, version *event.RoomVersion, published bool) (int64, error) {
	var taken int64
	if found, err := tx.Row(`SELECT nid FROM rooms WHERE room_id = $1`, []any{string(roomID)}, &taken); err != nil || found {
		if err == nil {
			err = fmt.Errorf("room %s: %w", roomID, ErrExists)
		}
		return 0, err
	}
	nid, err := tx.NextPos()
	if err != nil {
		return 0, err
	}
	var flag int64
	if published {
		flag = 1
	}
	_, err = tx.Exec(`INSERT INTO rooms (nid, room_id, version, state_id, published) VALUES ($1, $2, $3, 0, $4)`,
		nid, string(roomID), version.ID, flag)
	return nid, err
}

// SetRoomState records the current state set of a room, which it has from position pos on.
func (tx *Tx) SetRoomState(nid, pos, stateID int64) error {
	if err := tx.Defer(`UPDATE rooms SET state_id = $2 WHERE nid = $1`, nid, stateID); err != nil {
		return err
	}
	return tx.Defer(`INSERT INTO room_states (room_nid, pos, state_id) VALUES ($1, $2, $3)`, nid, pos, stateID)
}

// StateIDAt returns the current state set that a room had at a position, or 0 when it was not yet there.
func (tx *Tx) StateIDAt(roomNID, upto int64) (int64, error) {
	var setID int64
	_, err := tx.Row(`SELECT state_id FROM room_states WHERE room_nid = $1 AND pos <= $2 ORDER BY pos DESC LIMIT 1`,
		[]any{roomNID, upto}, &setID)
	return setID, err
}

// Room finds a room by its id. ErrNotFound when this server does not know it.
func (tx *Tx) Room(roomID id.RoomID) (*Room, error) {
	if nobodys(string(roomID)) {
		return nil, fmt.Errorf("room %q: %w", roomID, ErrNotFound)
	}
	return tx.room(`SELECT nid, room_id, version, state_id, published FROM rooms WHERE room_id = $1 AND purging = 0`, string(roomID))
}

// RoomByNID finds a room by its integer.
func (tx *Tx) RoomByNID(nid int64) (*Room, error) {
	return tx.room(`SELECT nid, room_id, version, state_id, published FROM rooms WHERE nid = $1`, nid)
}

func (tx *Tx) room(query string, arg any) (*Room, error) {
	var (
		r           Room
		roomID, ver string
		published   int64
	)
	found, err := tx.Row(query, []any{arg}, &r.NID, &roomID, &ver, &r.StateID, &published)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("room %v: %w", arg, ErrNotFound)
	}
	r.RoomID, r.Published = id.RoomID(roomID), published != 0
	if r.Version, err = event.LookupVersion(ver); err != nil {
		return nil, fmt.Errorf("room %s: %w", roomID, err)
	}
	return &r, nil
}

// RoomID returns the id of a room by its integer.
func (tx *Tx) RoomID(nid int64) (id.RoomID, error) {
	row, err := tx.identity(nid)
	return row.id, err
}

// RoomNID returns the integer of a room, or 0 when this server does not know it.
func (tx *Tx) RoomNID(roomID id.RoomID) (int64, error) {
	if nobodys(string(roomID)) {
		return 0, nil
	}
	var nid int64
	_, err := tx.Row(`SELECT nid FROM rooms WHERE room_id = $1 AND purging = 0`, []any{string(roomID)}, &nid)
	return nid, err
}

func (tx *Tx) identity(nid int64) (roomIdentity, error) {
	if row, ok := tx.db.rooms.get(nid); ok {
		return row, nil
	}
	r, err := tx.RoomByNID(nid)
	if err != nil {
		return roomIdentity{}, err
	}
	row := roomIdentity{id: r.RoomID, version: r.Version}
	if !tx.Writable() { // an uncommitted room may yet be undone
		tx.db.rooms.put(nid, row)
	}
	return row, nil
}
