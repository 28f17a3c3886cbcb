package store

import (
	"fmt"
)

// SSOLink is who a user is at an OpenID Connect provider.
type SSOLink struct {
	Issuer, Subject string
	UserNID         int64
	Label           string // what the user sees of it
	LinkedTS        int64
}

// InsertSSOLink adds a link. ErrExists when there is one of that issuer and subject, whoever's.
func (tx *Tx) InsertSSOLink(l SSOLink) error {
	n, err := tx.Exec(`INSERT INTO sso_links (issuer, subject, user_nid, label, linked_ts) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (issuer, subject) DO NOTHING`, l.Issuer, l.Subject, l.UserNID, l.Label, l.LinkedTS)
	if err == nil && n == 0 {
		err = fmt.Errorf("link to %s: %w", l.Issuer, ErrExists)
	}
	return err
}

// SSOUser returns whose account somebody at a provider has. ErrNotFound.
func (tx *Tx) SSOUser(issuer, subject string) (userNID int64, err error) {
	found, err := tx.Row(`SELECT user_nid FROM sso_links WHERE issuer = $1 AND subject = $2`, []any{issuer, subject}, &userNID)
	if err == nil && !found {
		err = fmt.Errorf("link to %s: %w", issuer, ErrNotFound)
	}
	return userNID, err
}

// SSOLinks returns the links of a user, the oldest in front.
func (tx *Tx) SSOLinks(userNID int64) (all []SSOLink, err error) {
	err = tx.Query(`SELECT issuer, subject, label, linked_ts FROM sso_links WHERE user_nid = $1 ORDER BY linked_ts, issuer, subject`, []any{userNID},
		func(scan func(...any) error) error {
			l := SSOLink{UserNID: userNID}
			err := scan(&l.Issuer, &l.Subject, &l.Label, &l.LinkedTS)
			all = append(all, l)
			return err
		})
	return all, err
}

// DeleteSSOLink deletes a link of a user. ErrNotFound.
func (tx *Tx) DeleteSSOLink(userNID int64, issuer, subject string) error {
	n, err := tx.Exec(`DELETE FROM sso_links WHERE user_nid = $1 AND issuer = $2 AND subject = $3`, userNID, issuer, subject)
	if err == nil && n == 0 {
		err = fmt.Errorf("link to %s: %w", issuer, ErrNotFound)
	}
	return err
}
