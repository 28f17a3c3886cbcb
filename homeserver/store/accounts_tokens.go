package store

import (
	"database/sql"
	"fmt"

	"causeway/homeserver/sqldb"
)

// RegistrationToken lets people make an account (Client-Server API, Token-authenticated registration).
type RegistrationToken struct {
	Token       string
	UsesAllowed int64 // 0 for any number
	Uses        int64
	ExpiresTS   int64 // 0 for never
	Admin       bool  // whoever registers with it becomes an administrator
	First       bool  // made at the first start
	CreatedTS   int64
}

const (
	registrationTokenColumns = `token, uses_allowed, uses, expires_ts, admin, first, created_ts`
	// usableToken holds for tokens that may be used at the time $1.
	usableToken = `(uses_allowed IS NULL OR uses < uses_allowed) AND (expires_ts IS NULL OR expires_ts > $1)`
)

// InsertRegistrationToken adds a token. ErrExists.
func (tx *Tx) InsertRegistrationToken(t RegistrationToken) error {
	_, err := tx.Exec(`INSERT INTO registration_tokens (`+registrationTokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		t.Token, nullInt(t.UsesAllowed), t.Uses, nullInt(t.ExpiresTS), boolInt(t.Admin), boolInt(t.First), t.CreatedTS)
	if sqldb.IsUniqueViolation(err) {
		return fmt.Errorf("registration token: %w", ErrExists)
	}
	return err
}

// UsableToken finds a token that may be used at the time now. ErrNotFound when it is unknown, used up or expired.
func (tx *Tx) UsableToken(token string, now int64) (RegistrationToken, error) {
	return tx.registrationToken(`SELECT `+registrationTokenColumns+` FROM registration_tokens WHERE `+usableToken+` AND token = $2`,
		now, token)
}

// FirstToken finds the unused token that was made at the first start. ErrNotFound.
func (tx *Tx) FirstToken(now int64) (RegistrationToken, error) {
	return tx.registrationToken(`SELECT `+registrationTokenColumns+` FROM registration_tokens WHERE `+usableToken+`
		AND first = 1 LIMIT 1`, now)
}

// HasUsableToken tells whether any token may be used at the time now.
func (tx *Tx) HasUsableToken(now int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM registration_tokens WHERE `+usableToken+` LIMIT 1`, []any{now}, &one)
}

// UseToken counts one use of a token. ErrNotFound when it is unknown, used up or expired.
func (tx *Tx) UseToken(token string, now int64) (RegistrationToken, error) {
	t, err := tx.UsableToken(token, now)
	if err != nil {
		return t, err
	}
	n, err := tx.Exec(`UPDATE registration_tokens SET uses = uses + 1 WHERE `+usableToken+` AND token = $2`, now, token)
	if err == nil && n == 0 {
		err = fmt.Errorf("registration token: %w", ErrNotFound)
	}
	t.Uses++
	return t, err
}

// DeleteFirstToken removes the unused token that was made at the first start.
func (tx *Tx) DeleteFirstToken() error {
	_, err := tx.Exec(`DELETE FROM registration_tokens WHERE first = 1 AND uses = 0`)
	return err
}

// RegistrationTokens returns all registration tokens, the oldest first.
func (tx *Tx) RegistrationTokens() (all []RegistrationToken, err error) {
	err = tx.Query(`SELECT `+registrationTokenColumns+` FROM registration_tokens ORDER BY created_ts, token`, nil, func(scan func(...any) error) error {
		t, err := scanRegistrationToken(scan)
		all = append(all, t)
		return err
	})
	return all, err
}

// DeleteRegistrationToken removes a token. ErrNotFound.
func (tx *Tx) DeleteRegistrationToken(token string) error {
	n, err := tx.Exec(`DELETE FROM registration_tokens WHERE token = $1`, token)
	if err == nil && n == 0 {
		err = fmt.Errorf("registration token: %w", ErrNotFound)
	}
	return err
}

func (tx *Tx) registrationToken(query string, args ...any) (t RegistrationToken, err error) {
	found := false
	err = tx.Query(query, args, func(scan func(...any) error) error {
		found = true
		t, err = scanRegistrationToken(scan)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("registration token: %w", ErrNotFound)
	}
	return t, err
}

func scanRegistrationToken(scan func(...any) error) (t RegistrationToken, err error) {
	var (
		usesAllowed, expires sql.NullInt64
		admin, first         int64
	)
	if err := scan(&t.Token, &usesAllowed, &t.Uses, &expires, &admin, &first, &t.CreatedTS); err != nil {
		return t, fmt.Errorf("read a registration token: %w", err)
	}
	t.UsesAllowed, t.ExpiresTS, t.Admin, t.First = usesAllowed.Int64, expires.Int64, admin != 0, first != 0
	return t, nil
}
