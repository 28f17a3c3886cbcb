package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Threepid is an address or number of an account.
type Threepid struct {
	Medium      string `json:"medium"`
	Address     string `json:"address"`
	ValidatedTS int64  `json:"validated_at"`
	AddedTS     int64  `json:"added_at"`
}

// InsertThreepid gives an account an address. ErrExists when an account, be it this one, has it.
func (tx *Tx) InsertThreepid(userNID int64, t Threepid) error {
	var one int64
	found, err := tx.Row(`SELECT 1 FROM threepids WHERE medium = $1 AND address = $2`, []any{t.Medium, t.Address}, &one)
	if err != nil {
		return err
	}
	if found {
		return fmt.Errorf("address of an account: %w", ErrExists)
	}
	_, err = tx.Exec(`INSERT INTO threepids (medium, address, user_nid, validated_ts, added_ts) VALUES ($1, $2, $3, $4, $5)`,
		t.Medium, t.Address, userNID, t.ValidatedTS, t.AddedTS)
	return err
}

// Threepids returns the addresses of an account, in the order in which they were added.
func (tx *Tx) Threepids(userNID int64) (all []Threepid, err error) {
	err = tx.Query(`SELECT medium, address, validated_ts, added_ts FROM threepids WHERE user_nid = $1 ORDER BY added_ts, medium, address`,
		[]any{userNID}, func(scan func(...any) error) error {
			var t Threepid
			err := scan(&t.Medium, &t.Address, &t.ValidatedTS, &t.AddedTS)
			all = append(all, t)
			return err
		})
	return all, err
}

// ThreepidOwner returns whose an address is. ErrNotFound when it is nobody's.
func (tx *Tx) ThreepidOwner(medium, address string) (id.UserID, error) {
	var user string
	found, err := tx.Row(`SELECT n.value FROM threepids t JOIN users u ON u.nid = t.user_nid JOIN strings n ON n.nid = t.user_nid
		WHERE t.medium = $1 AND t.address = $2 AND u.deactivated = 0`, []any{medium, address}, &user)
	if err == nil && !found {
		err = fmt.Errorf("owner of an address: %w", ErrNotFound)
	}
	return id.UserID(user), err
}

// DeleteThreepid takes an address from an account, and tells whether it had it.
func (tx *Tx) DeleteThreepid(userNID int64, medium, address string) (had bool, err error) {
	var one int64
	had, err = tx.Row(`SELECT 1 FROM threepids WHERE medium = $1 AND address = $2 AND user_nid = $3`, []any{medium, address, userNID}, &one)
	if err == nil && had {
		_, err = tx.Exec(`DELETE FROM threepids WHERE medium = $1 AND address = $2 AND user_nid = $3`, medium, address, userNID)
	}
	return had, err
}

// DeleteThreepids takes all addresses from an account, with what is known of where they are bound.
func (tx *Tx) DeleteThreepids(userNID int64) error {
	for _, table := range [...]string{"threepids", "threepid_binds", "threepid_sessions"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1`, userNID); err != nil {
			return err
		}
	}
	return nil
}

// InsertThreepidBind remembers that a user's address was bound by an identity service.
func (tx *Tx) InsertThreepidBind(userNID int64, medium, address, server string) error {
	_, err := tx.Exec(`INSERT INTO threepid_binds (user_nid, medium, address, id_server) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_nid, medium, address, id_server) DO NOTHING`, userNID, medium, address, server)
	return err
}

// ThreepidBinds returns the identity services by which a user's address was bound.
func (tx *Tx) ThreepidBinds(userNID int64, medium, address string) ([]string, error) {
	var servers []string
	err := tx.Query(`SELECT id_server FROM threepid_binds WHERE user_nid = $1 AND medium = $2 AND address = $3 ORDER BY id_server`,
		[]any{userNID, medium, address}, func(scan func(...any) error) error {
			var server string
			err := scan(&server)
			servers = append(servers, server)
			return err
		})
	return servers, err
}

// ThreepidBind is where an address was bound.
type ThreepidBind struct{ Medium, Address, Server string }

// AllThreepidBinds returns all that a user has bound, at whatever identity services.
func (tx *Tx) AllThreepidBinds(userNID int64) (all []ThreepidBind, err error) {
	err = tx.Query(`SELECT medium, address, id_server FROM threepid_binds WHERE user_nid = $1 ORDER BY medium, address, id_server`,
		[]any{userNID}, func(scan func(...any) error) error {
			var b ThreepidBind
			err := scan(&b.Medium, &b.Address, &b.Server)
			all = append(all, b)
			return err
		})
	return all, err
}

// DeleteThreepidBind forgets that a user's address was bound by an identity service.
func (tx *Tx) DeleteThreepidBind(userNID int64, medium, address, server string) error {
	_, err := tx.Exec(`DELETE FROM threepid_binds WHERE user_nid = $1 AND medium = $2 AND address = $3 AND id_server = $4`,
		userNID, medium, address, server)
	return err
}
