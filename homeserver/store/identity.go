package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// InsertIdentityToken keeps the SHA-256 of a token of the identity service, and of a user's the newest keep.
func (tx *Tx) InsertIdentityToken(hash [32]byte, user id.UserID, ts int64, keep int) error {
	if _, err := tx.Exec(`INSERT INTO identity_tokens (hash, user_id, created_ts) VALUES ($1, $2, $3)`, hash[:], string(user), ts); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM identity_tokens WHERE user_id = $1 AND created_ts < (SELECT created_ts FROM identity_tokens WHERE user_id = $1
		ORDER BY created_ts DESC LIMIT 1 OFFSET $2)`, string(user), keep-1)
	return err
}

// IdentityUser returns whose a token of the identity service is, made after a time. ErrNotFound.
func (tx *Tx) IdentityUser(hash [32]byte, afterTS int64) (id.UserID, error) {
	var user string
	found, err := tx.Row(`SELECT user_id FROM identity_tokens WHERE hash = $1 AND created_ts > $2`, []any{hash[:], afterTS}, &user)
	if err == nil && !found {
		err = fmt.Errorf("identity token: %w", ErrNotFound)
	}
	return id.UserID(user), err
}

// DeleteIdentityToken ends a token of the identity service.
func (tx *Tx) DeleteIdentityToken(hash [32]byte) error {
	_, err := tx.Exec(`DELETE FROM identity_tokens WHERE hash = $1`, hash[:])
	return err
}

// AcceptPolicy records that a user has accepted a policy, by its address.
func (tx *Tx) AcceptPolicy(user id.UserID, url string, ts int64) error {
	_, err := tx.Exec(`INSERT INTO identity_accepted (user_id, url, ts) VALUES ($1, $2, $3) ON CONFLICT (user_id, url) DO NOTHING`, string(user), url, ts)
	return err
}

// AcceptedPolicies returns the addresses of the policies that a user has accepted.
func (tx *Tx) AcceptedPolicies(user id.UserID) (all []string, err error) {
	err = tx.Query(`SELECT url FROM identity_accepted WHERE user_id = $1`, []any{string(user)}, func(scan func(...any) error) error {
		var url string
		err := scan(&url)
		all = append(all, url)
		return err
	})
	return all, err
}

// Binding is that an address is published as a user's.
type Binding struct {
	Medium  string
	Address string
	User    id.UserID
	Hash    string
	TS      int64
}

// PutBinding publishes an address, in the place of what was published of it before.
func (tx *Tx) PutBinding(b Binding) error {
	_, err := tx.Exec(`INSERT INTO identity_bindings (medium, address, user_id, hash, ts) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (medium, address) DO UPDATE SET user_id = excluded.user_id, hash = excluded.hash, ts = excluded.ts`,
		b.Medium, b.Address, string(b.User), b.Hash, b.TS)
	return err
}

// BindingOf returns whose an address was published to be. ErrNotFound.
func (tx *Tx) BindingOf(medium, address string) (id.UserID, error) {
	var user string
	found, err := tx.Row(`SELECT user_id FROM identity_bindings WHERE medium = $1 AND address = $2`, []any{medium, address}, &user)
	if err == nil && !found {
		err = fmt.Errorf("binding of an address: %w", ErrNotFound)
	}
	return id.UserID(user), err
}

// BindingByHash returns whose the address of a hash was published to be. ErrNotFound.
func (tx *Tx) BindingByHash(hash string) (id.UserID, error) {
	var user string
	if nobodys(hash) {
		return "", ErrNotFound
	}
	found, err := tx.Row(`SELECT user_id FROM identity_bindings WHERE hash = $1 LIMIT 1`, []any{hash}, &user)
	if err == nil && !found {
		err = fmt.Errorf("binding of a hash: %w", ErrNotFound)
	}
	return id.UserID(user), err
}

// DeleteBinding takes back that an address is a user's, and tells whether that was published.
func (tx *Tx) DeleteBinding(medium, address string, user id.UserID) (was bool, err error) {
	owner, err := tx.BindingOf(medium, address)
	if err != nil || owner != user {
		return false, notFoundIsNil(err)
	}
	_, err = tx.Exec(`DELETE FROM identity_bindings WHERE medium = $1 AND address = $2`, medium, address)
	return err == nil, err
}

// DeleteBindings takes back all that was published of a user.
func (tx *Tx) DeleteBindings(user id.UserID) error {
	_, err := tx.Exec(`DELETE FROM identity_bindings WHERE user_id = $1`, string(user))
	return err
}

// Pepper returns the pepper of lookups and when it was made. ErrNotFound when there is none yet.
func (tx *Tx) Pepper() (pepper string, ts int64, err error) {
	found, err := tx.Row(`SELECT pepper, created_ts FROM identity_pepper WHERE id = 1`, nil, &pepper, &ts)
	if err == nil && !found {
		err = fmt.Errorf("pepper: %w", ErrNotFound)
	}
	return pepper, ts, err
}

// SetPepper replaces the pepper, and with it the hash of every address that is published.
func (tx *Tx) SetPepper(pepper string, ts int64, hash func(medium, address string) string) error {
	if _, err := tx.Exec(`INSERT INTO identity_pepper (id, pepper, created_ts) VALUES (1, $1, $2)
		ON CONFLICT (id) DO UPDATE SET pepper = excluded.pepper, created_ts = excluded.created_ts`, pepper, ts); err != nil {
		return err
	}
	var all []Binding
	err := tx.Query(`SELECT medium, address FROM identity_bindings`, nil, func(scan func(...any) error) error {
		var b Binding
		err := scan(&b.Medium, &b.Address)
		all = append(all, b)
		return err
	})
	for _, b := range all {
		if err != nil {
			break
		}
		_, err = tx.Exec(`UPDATE identity_bindings SET hash = $3 WHERE medium = $1 AND address = $2`, b.Medium, b.Address, hash(b.Medium, b.Address))
	}
	return err
}

// Secret returns a secret of the server's, which fresh makes when there is none of the name.
func (tx *Tx) Secret(name string, fresh func() []byte) (secret []byte, err error) {
	found, err := tx.Row(`SELECT value FROM secrets WHERE name = $1`, []any{name}, &secret)
	if err != nil || found {
		return secret, err
	}
	secret = fresh()
	_, err = tx.Exec(`INSERT INTO secrets (name, value) VALUES ($1, $2)`, name, secret)
	return secret, err
}

// ChangeSecret replaces a secret of the server's, nil for none, by what change makes of it, and returns that.
func (tx *Tx) ChangeSecret(name string, change func(old []byte) ([]byte, error)) ([]byte, error) {
	var old []byte
	if _, err := tx.Row(`SELECT value FROM secrets WHERE name = $1`, []any{name}, &old); err != nil {
		return nil, err
	}
	secret, err := change(old)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(secret, old) {
		_, err = tx.Exec(`INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, secret)
	}
	return secret, err
}

// IdentityInvite is an invitation of somebody who has an address, and no account that is known.
type IdentityInvite struct {
	Token     string
	Medium    string
	Address   string
	RoomID    id.RoomID
	Sender    id.UserID
	PublicKey string // the ephemeral one
	CreatedTS int64
	User      id.UserID // whose the address is, "" while nobody knows
	Tries     int64
}

// InsertIdentityInvite keeps an invitation.
func (tx *Tx) InsertIdentityInvite(i IdentityInvite) error {
	_, err := tx.Exec(`INSERT INTO identity_invites (token, medium, address, room_id, sender, public_key, created_ts, tries, next_ts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)`, i.Token, i.Medium, i.Address, string(i.RoomID), string(i.Sender), i.PublicKey, i.CreatedTS)
	return err
}

const inviteColumns = `token, medium, address, room_id, sender, public_key, created_ts, user_id, tries`

// ClaimIdentityInvites has a user get the invitations that wait for an address, and returns how many these are.
func (tx *Tx) ClaimIdentityInvites(medium, address string, user id.UserID, ts int64) (n int64, err error) {
	if _, err = tx.Row(`SELECT COUNT(*) FROM identity_invites WHERE medium = $1 AND address = $2 AND user_id IS NULL`,
		[]any{medium, address}, &n); err != nil || n == 0 {
		return n, err
	}
	_, err = tx.Exec(`UPDATE identity_invites SET user_id = $3, next_ts = $4 WHERE medium = $1 AND address = $2 AND user_id IS NULL`,
		medium, address, string(user), ts)
	return n, err
}

// IdentityInvitesDue returns invitations that their users are to get now.
func (tx *Tx) IdentityInvitesDue(nowTS int64, limit int) ([]IdentityInvite, error) {
	return tx.identityInvites(`user_id IS NOT NULL AND done_ts IS NULL AND next_ts <= $1 ORDER BY next_ts, token LIMIT `+atLeast(limit), nowTS)
}

// IdentityInvite finds an invitation by its token. ErrNotFound.
func (tx *Tx) IdentityInvite(token string) (IdentityInvite, error) {
	if nobodys(token) {
		return IdentityInvite{}, ErrNotFound
	}
	all, err := tx.identityInvites(`token = $1`, token)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("invitation: %w", ErrNotFound)
	}
	if err != nil {
		return IdentityInvite{}, err
	}
	return all[0], nil
}

func (tx *Tx) identityInvites(where string, args ...any) (all []IdentityInvite, err error) {
	err = tx.Query(`SELECT `+inviteColumns+` FROM identity_invites WHERE `+where, args, func(scan func(...any) error) error {
		var (
			i            IdentityInvite
			room, sender string
			user         sql.NullString
		)
		err := scan(&i.Token, &i.Medium, &i.Address, &room, &sender, &i.PublicKey, &i.CreatedTS, &user, &i.Tries)
		i.RoomID, i.Sender, i.User = id.RoomID(room), id.UserID(sender), id.UserID(user.String)
		all = append(all, i)
		return err
	})
	return all, err
}

// PostponeIdentityInvite has an invitation be tried again later.
func (tx *Tx) PostponeIdentityInvite(token string, nextTS int64) error {
	_, err := tx.Exec(`UPDATE identity_invites SET tries = tries + 1, next_ts = $2 WHERE token = $1`, token, nextTS)
	return err
}

// FinishIdentityInvite records that an invitation has served.
func (tx *Tx) FinishIdentityInvite(token string, ts int64) error {
	_, err := tx.Exec(`UPDATE identity_invites SET done_ts = $2 WHERE token = $1 AND done_ts IS NULL`, token, ts)
	return err
}

// EphemeralKeyValid tells whether a public key is that of an invitation that has not served.
func (tx *Tx) EphemeralKeyValid(key string) (bool, error) {
	if nobodys(key) {
		return false, nil
	}
	var one int64
	return tx.Row(`SELECT 1 FROM identity_invites WHERE public_key = $1 AND done_ts IS NULL LIMIT 1`, []any{key}, &one)
}

// PruneIdentity deletes invitations and tokens from before a time, each.
func (tx *Tx) PruneIdentity(invitesTS, tokensTS int64) error {
	if _, err := tx.Exec(`DELETE FROM identity_invites WHERE created_ts < $1`, invitesTS); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM identity_tokens WHERE created_ts < $1`, tokensTS)
	return err
}

func notFoundIsNil(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
