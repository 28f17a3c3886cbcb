package store

import (
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// ProfileFields returns the fields of a user's profile but for displayname and avatar_url, by name. The values are JSON.
func (tx *Tx) ProfileFields(user id.UserID) (map[string]json.RawMessage, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return nil, err
	}
	var fields map[string]json.RawMessage
	err = tx.Query(`SELECT name, value FROM profile_fields WHERE user_nid = $1`, []any{nid}, func(scan func(...any) error) error {
		var name, value string
		if err := scan(&name, &value); err != nil {
			return fmt.Errorf("read a profile: %w", err)
		}
		if fields == nil {
			fields = make(map[string]json.RawMessage)
		}
		fields[name] = json.RawMessage(value)
		return nil
	})
	return fields, err
}

// SetProfileField changes a field of a user's profile.
func (tx *Tx) SetProfileField(user id.UserID, name string, value json.RawMessage) error {
	nid, err := tx.NID(string(user))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO profile_fields (user_nid, name, value) VALUES ($1, $2, $3)
		ON CONFLICT (user_nid, name) DO UPDATE SET value = excluded.value`, nid, name, string(value))
	return err
}

// DeleteProfileField removes a field from a user's profile, if it is there.
func (tx *Tx) DeleteProfileField(user id.UserID, name string) error {
	nid, err := tx.LookupNID(string(user))
	if err == nil {
		_, err = tx.Exec(`DELETE FROM profile_fields WHERE user_nid = $1 AND name = $2`, nid, name)
	}
	return err
}
