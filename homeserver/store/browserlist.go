package store

import "database/sql"

// SignedInBrowser is a browser in which a user is signed in, as the user sees it.
type SignedInBrowser struct {
	Hash      [32]byte // of its cookie
	ExpiresTS int64
	Seen      Sighting // the zero value for never
}

// SignedInBrowsers returns the browsers in which a user is signed in at nowTS, those that were signed in last in front.
func (tx *Tx) SignedInBrowsers(userNID, nowTS int64) (all []SignedInBrowser, err error) {
	err = tx.Query(`SELECT hash, expires_ts, seen_ts, seen_ip, seen_agent FROM browser_sessions
		WHERE user_nid = $1 AND expires_ts > $2 ORDER BY expires_ts DESC, hash`, []any{userNID, nowTS}, func(scan func(...any) error) error {
		var (
			b         SignedInBrowser
			hash      []byte
			seen      sql.NullInt64
			ip, agent sql.NullString
		)
		err := scan(&hash, &b.ExpiresTS, &seen, &ip, &agent)
		copy(b.Hash[:], hash)
		b.Seen = Sighting{TS: seen.Int64, IP: ip.String, Agent: agent.String}
		all = append(all, b)
		return err
	})
	return all, err
}

// SetBrowserSeen records when a browser was last seen. One that has been signed out stays so.
func (tx *Tx) SetBrowserSeen(hash [32]byte, seen Sighting) error {
	_, err := tx.Exec(`UPDATE browser_sessions SET seen_ts = $2, seen_ip = $3, seen_agent = $4 WHERE hash = $1`,
		hash[:], seen.TS, nullString(seen.IP), nullString(seen.Agent))
	return err
}

// EndOtherBrowserSessions deletes all sessions of a user but one.
func (tx *Tx) EndOtherBrowserSessions(userNID int64, but [32]byte) error {
	_, err := tx.Exec(`DELETE FROM browser_sessions WHERE user_nid = $1 AND hash <> $2`, userNID, but[:])
	return err
}
