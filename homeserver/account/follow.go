package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// typeDirect is the account data that says with whom a room is a conversation of two (Client-Server API, "Direct Messaging").
const typeDirect = "m.direct"

// FollowUpgrade gives a user the tags of a room in the one that replaces it, and lists that wherever the user lists the old one as a
// direct conversation. What the user has in the new room already stays. The caller rings the user's bell.
func (s *Service) FollowUpgrade(tx *store.Tx, user id.UserID, old, replacement *store.Room) error {
	if exists, err := tx.UserExists(user); err != nil || !exists {
		return err
	}
	for _, follow := range []func(*store.Tx, id.UserID, *store.Room, *store.Room) error{followTags, followDirect} {
		var full mautrix.RespError // the user has no room for more, and comes into the room all the same
		if err := follow(tx, user, old, replacement); err != nil && !errors.As(err, &full) {
			return fmt.Errorf("account data of %s in %s: %w", user, replacement.RoomID, err)
		}
	}
	return nil
}

func followTags(tx *store.Tx, user id.UserID, old, replacement *store.Room) error {
	content, err := tx.AccountData(user, old.NID, typeTag)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.AccountData(user, replacement.NID, typeTag); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, _, err = keepAccountData(tx, user, replacement.NID, typeTag, content)
	return err
}

func followDirect(tx *store.Tx, user id.UserID, old, replacement *store.Room) error {
	content, err := tx.AccountData(user, 0, typeDirect)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var direct map[string]json.RawMessage
	if json.Unmarshal(content, &direct) != nil {
		return nil // clients write it
	}
	changed := false
	for with, list := range direct {
		var rooms []id.RoomID
		if json.Unmarshal(list, &rooms) != nil || !slices.Contains(rooms, old.RoomID) || slices.Contains(rooms, replacement.RoomID) {
			continue
		}
		if direct[with], err = json.Marshal(append(rooms, replacement.RoomID)); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	if content, err = json.Marshal(direct); err != nil {
		return err
	}
	_, _, err = keepAccountData(tx, user, 0, typeDirect, content)
	return err
}
