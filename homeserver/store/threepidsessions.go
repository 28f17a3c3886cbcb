package store

import (
	"database/sql"
	"fmt"
)

// ThreepidSession is a proof that somebody reads what comes to an address, or the attempt at one.
type ThreepidSession struct {
	SID         string
	Purpose     string
	Medium      string
	Address     string
	Secret      []byte // SHA-256 of the client's secret
	Token       []byte // SHA-256, nil where nothing would prove it
	UserNID     int64  // who asked, 0 for a stranger
	SendAttempt int64
	NextLink    string
	Wrong       int64 // tokens that were tried
	ModifiedTS  int64
	ValidatedTS int64 // 0 when it is none yet
}

const threepidSessionColumns = `sid, purpose, medium, address, secret, token, user_nid, send_attempt, next_link, wrong, modified_ts, validated_ts`

// InsertThreepidSession begins a session.
func (tx *Tx) InsertThreepidSession(s *ThreepidSession) error {
	_, err := tx.Exec(`INSERT INTO threepid_sessions (`+threepidSessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		s.SID, s.Purpose, s.Medium, s.Address, s.Secret, nullBlob(s.Token), s.UserNID, s.SendAttempt, s.NextLink, s.Wrong, s.ModifiedTS, nullInt(s.ValidatedTS))
	return err
}

// UpdateThreepidSession records what has changed of a session: the token, the attempt, the link, the count, and the validation.
func (tx *Tx) UpdateThreepidSession(s *ThreepidSession) error {
	_, err := tx.Exec(`UPDATE threepid_sessions SET token = $2, send_attempt = $3, next_link = $4, wrong = $5, modified_ts = $6, validated_ts = $7
		WHERE sid = $1`, s.SID, nullBlob(s.Token), s.SendAttempt, s.NextLink, s.Wrong, s.ModifiedTS, nullInt(s.ValidatedTS))
	return err
}

// ThreepidSession finds a session. ErrNotFound.
func (tx *Tx) ThreepidSession(sid string) (*ThreepidSession, error) {
	if nobodys(sid) {
		return nil, fmt.Errorf("session of an address: %w", ErrNotFound)
	}
	return tx.threepidSession(`sid = $1`, sid)
}

// ThreepidSessionBySecret finds the session that a client has begun before. ErrNotFound.
func (tx *Tx) ThreepidSessionBySecret(purpose, medium, address string, secret []byte, userNID int64) (*ThreepidSession, error) {
	return tx.threepidSession(`purpose = $1 AND medium = $2 AND address = $3 AND secret = $4 AND user_nid = $5`,
		purpose, medium, address, secret, userNID)
}

func (tx *Tx) threepidSession(where string, args ...any) (*ThreepidSession, error) {
	s := new(ThreepidSession)
	var validated sql.NullInt64
	found, err := tx.Row(`SELECT `+threepidSessionColumns+` FROM threepid_sessions WHERE `+where, args,
		&s.SID, &s.Purpose, &s.Medium, &s.Address, &s.Secret, &s.Token, &s.UserNID, &s.SendAttempt, &s.NextLink, &s.Wrong, &s.ModifiedTS, &validated)
	if err == nil && !found {
		err = fmt.Errorf("session of an address: %w", ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	s.ValidatedTS = validated.Int64
	return s, nil
}

// DeleteThreepidSession ends a session that has served.
func (tx *Tx) DeleteThreepidSession(sid string) error {
	_, err := tx.Exec(`DELETE FROM threepid_sessions WHERE sid = $1`, sid)
	return err
}

// PruneThreepidSessions ends the sessions that were not modified since a time.
func (tx *Tx) PruneThreepidSessions(beforeTS int64) error {
	_, err := tx.Exec(`DELETE FROM threepid_sessions WHERE modified_ts < $1`, beforeTS)
	return err
}
