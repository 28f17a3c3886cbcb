package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// followIn has a user's join of a room that replaces another take over what the user kept with that one. Client-Server API, "Room
// Upgrades", "Server behaviour".
func (s *Service) followIn(ctx context.Context, roomID id.RoomID, d *draft) error {
	if s.Follow == nil || !s.isOwn(d.Sender) {
		return nil
	}
	var old, replacement *store.Room
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		old, replacement, err = replaced(tx, roomID)
		return err
	})
	if err != nil || old == nil {
		return err
	}
	user, stored := d.Sender, d.stored
	d.stored = func(tx *store.Tx, eventID id.EventID) error {
		if err := s.Follow(tx, user, old, replacement); err != nil || stored == nil {
			return err
		}
		return stored(tx, eventID)
	}
	return nil
}

// maxFollowers bounds how many users are helped by one tombstone: whoever joins later is by their join.
const maxFollowers = 200

// followAll has a tombstone of a client, which has made the other room itself, do for those who are in that room already what joining it
// does for the others: as they came, nothing said yet that it replaces this one.
func (s *Service) followAll(d *draft) {
	to, stored := tombstoneTarget(d.Content), d.stored
	if s.Follow == nil || to == "" {
		return
	}
	d.stored = func(tx *store.Tx, eventID id.EventID) error {
		if err := s.followMembers(tx, eventID, to); err != nil || stored == nil {
			return err
		}
		return stored(tx, eventID)
	}
}

// followMembers has the members of a room take over what they kept with the one that it replaces by a tombstone.
func (s *Service) followMembers(tx *store.Tx, tombstone id.EventID, roomID id.RoomID) error {
	sent, err := tx.EventByID(tombstone)
	if err != nil {
		return err
	}
	old, replacement, err := replaced(tx, roomID)
	if err != nil || old == nil || old.NID != sent.RoomNID {
		return err
	}
	nids, err := tx.LocalMembers(replacement.NID, maxFollowers)
	if err != nil {
		return err
	}
	for _, nid := range nids {
		user, err := tx.Text(nid)
		if err != nil {
			return err
		}
		if err := s.Follow(tx, id.UserID(user), old, replacement); err != nil {
			return err
		}
	}
	return nil
}

// replaced returns the room that a room replaces, nil when there is none here. Both have to say so: anybody can make a room that calls
// another its predecessor.
func replaced(tx *store.Tx, roomID id.RoomID) (old, replacement *store.Room, err error) {
	if replacement, err = found(tx.Room(roomID)); err != nil || replacement == nil {
		return nil, nil, err
	}
	created, err := found(tx.CurrentStateEvent(replacement.NID, event.TypeCreate, ""))
	if err != nil || created == nil {
		return nil, nil, err
	}
	create, err := created.Create()
	if err != nil || create.Predecessor == nil {
		return nil, nil, nil // a create event that says nothing that can be read was let in by other servers
	}
	if old, err = found(tx.Room(create.Predecessor.RoomID)); err != nil || old == nil {
		return nil, nil, err
	}
	tombstone, err := found(tx.CurrentStateEvent(old.NID, typeTombstone, ""))
	if err != nil || tombstone == nil || tombstoneTarget(tombstone.Content) != roomID {
		return nil, nil, err
	}
	return old, replacement, nil
}

// found makes nil of what is not there.
func found[T any](v *T, err error) (*T, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return v, err
}
