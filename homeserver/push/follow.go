package push

import (
	"bytes"
	"encoding/json"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// FollowUpgrade gives a user the push rules of a room in the one that replaces it: its room rule, and the override rule of its name by
// which clients mute a room. Those that the user has for the new room already stay. The caller rings the user's bell.
func (s *Service) FollowUpgrade(tx *store.Tx, user id.UserID, old, replacement *store.Room) error {
	if exists, err := tx.UserExists(user); err != nil || !exists {
		return err
	}
	rules, err := s.read(tx, user)
	if err != nil {
		return err
	}
	changed := false
	for _, kind := range []Kind{Override, Room} {
		list := rules.of(kind)
		at := indexOf(*list, string(old.RoomID))
		if at < 0 || indexOf(*list, string(replacement.RoomID)) >= 0 {
			continue
		}
		rule, err := (*list)[at].moved(old.RoomID, replacement.RoomID)
		if err != nil {
			return err
		}
		if err := rules.put(kind, rule, "", string(old.RoomID)); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	raw, err := marshal(rules)
	if err != nil || len(raw) > maxRulesBytes { // the user has no room for more, and comes into the room all the same
		return err
	}
	_, _, err = tx.SetAccountData(user, 0, AccountDataType, raw)
	return err
}

// moved is a rule for another room.
func (r Rule) moved(from, to id.RoomID) (Rule, error) {
	oldName, err := json.Marshal(from)
	if err != nil {
		return r, fmt.Errorf("marshal a room id: %w", err)
	}
	newName, err := json.Marshal(to)
	if err != nil {
		return r, fmt.Errorf("marshal a room id: %w", err)
	}
	r.RuleID = string(to)
	var conditions []json.RawMessage
	for _, c := range r.Conditions {
		conditions = append(conditions, bytes.ReplaceAll(c, oldName, newName))
	}
	if r.Conditions != nil {
		r.Conditions = conditions
	}
	return r, nil
}
