package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// BrowserSession is a browser in which somebody is signed in to the server's own pages.
type BrowserSession struct {
	UserNID         int64
	UserID          id.UserID
	AuthenticatedTS int64 // when the user last proved who they are, 0 for unknown
	ExpiresTS       int64
	Suspended       bool // the user may change nothing that others see
	Seen            Sighting
	Password        bool // the user has one
	Admin           bool // the user administers the server
}

// AddBrowserSession records a session under the SHA-256 of its cookie. Sessions that have expired at nowTS go, and of the user's sessions
// all but the newest keep. authenticatedTS is when the user proved who they are.
func (tx *Tx) AddBrowserSession(hash [32]byte, userNID, authenticatedTS, nowTS, expiresTS int64, keep int) error {
	if _, err := tx.Exec(`DELETE FROM browser_sessions WHERE expires_ts <= $1`, nowTS); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO browser_sessions (hash, user_nid, authenticated_ts, expires_ts) VALUES ($1, $2, $3, $4)`,
		hash[:], userNID, authenticatedTS, expiresTS); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM browser_sessions WHERE user_nid = $1 AND expires_ts < (SELECT expires_ts FROM browser_sessions
		WHERE user_nid = $1 ORDER BY expires_ts DESC LIMIT 1 OFFSET $2)`, userNID, keep-1)
	return err
}

// BrowserSession finds a session by the SHA-256 of its cookie. ErrNotFound when there is none that has not expired, and for one whose user
// may not use the account.
func (tx *Tx) BrowserSession(hash [32]byte, nowTS int64) (BrowserSession, error) {
	var (
		s         BrowserSession
		user      string
		suspended int64
		admin     int64
		seen      sql.NullInt64
		ip, agent sql.NullString
		password  sql.NullString
	)
	found, err := tx.Row(`SELECT b.user_nid, n.value, b.authenticated_ts, b.expires_ts, u.suspended, u.admin, u.password, b.seen_ts, b.seen_ip, b.seen_agent
		FROM browser_sessions b JOIN users u ON u.nid = b.user_nid JOIN strings n ON n.nid = b.user_nid
		WHERE b.hash = $1 AND b.expires_ts > $2 AND `+usableAccount, []any{hash[:], nowTS},
		&s.UserNID, &user, &s.AuthenticatedTS, &s.ExpiresTS, &suspended, &admin, &password, &seen, &ip, &agent)
	if err == nil && !found {
		err = fmt.Errorf("browser session: %w", ErrNotFound)
	}
	s.UserID, s.Suspended, s.Admin = id.UserID(user), suspended != 0, admin != 0
	s.Seen = Sighting{TS: seen.Int64, IP: ip.String, Agent: agent.String}
	s.Password = password.String != ""
	return s, err
}

// usableAccount holds of accounts u that a person may use at the time $2.
const usableAccount = `u.deactivated = 0 AND u.locked = 0 AND u.guest = 0 AND u.appservice IS NULL AND (u.valid_until_ts IS NULL OR u.valid_until_ts > $2)`

// UsableAccount tells whether a person may use an account at a time.
func (tx *Tx) UsableAccount(userNID, nowTS int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users u WHERE u.nid = $1 AND `+usableAccount, []any{userNID, nowTS}, &one)
}

// EndBrowserSession deletes a session.
func (tx *Tx) EndBrowserSession(hash [32]byte) error {
	_, err := tx.Exec(`DELETE FROM browser_sessions WHERE hash = $1`, hash[:])
	return err
}

// EndBrowserSessions deletes all sessions of a user.
func (tx *Tx) EndBrowserSessions(userNID int64) error {
	_, err := tx.Exec(`DELETE FROM browser_sessions WHERE user_nid = $1`, userNID)
	return err
}

// EndGrants signs all browsers out in which a user is signed in, and ends what was granted in the user's name and has not been redeemed:
// authorization codes, device codes, login tokens, OpenID tokens, and the permission to replace keys. Codes that were used stay, so that
// their second use is noticed. The tokens of the built-in identity service, which OpenID tokens are redeemed for, end with them.
func (tx *Tx) EndGrants(userNID int64) error {
	if err := tx.EndBrowserSessions(userNID); err != nil {
		return err
	}
	user, err := tx.Text(userNID)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM identity_tokens WHERE user_id = $1`, user); err != nil {
		return fmt.Errorf("end what a user has granted: %w", err)
	}
	for _, query := range [...]string{
		`DELETE FROM oauth_codes WHERE user_nid = $1 AND used = 0`, `DELETE FROM oauth_device_codes WHERE user_nid = $1`,
		`DELETE FROM login_tokens WHERE user_nid = $1`, `DELETE FROM openid_tokens WHERE user_nid = $1`,
		`UPDATE devices SET reset_until_ts = NULL WHERE user_nid = $1`,
	} {
		if _, err := tx.Exec(query, userNID); err != nil {
			return fmt.Errorf("end what a user has granted: %w", err)
		}
	}
	return nil
}

// AllowReset notes until when a user allows that a device of theirs that an OAuth client is signed in on replaces the user's cross-signing
// keys. ErrNotFound for any other device.
func (tx *Tx) AllowReset(userNID int64, device id.DeviceID, untilTS int64) error {
	n, err := tx.Exec(`UPDATE devices SET reset_until_ts = $3 WHERE user_nid = $1 AND device_id = $2 AND oauth_client IS NOT NULL`,
		userNID, string(device), untilTS)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// TakeReset takes the permission of a device to replace a user's cross-signing keys back, and tells whether there was one at nowTS.
func (tx *Tx) TakeReset(user id.UserID, device id.DeviceID, nowTS int64) (bool, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return false, err
	}
	n, err := tx.Exec(`UPDATE devices SET reset_until_ts = NULL WHERE user_nid = $1 AND device_id = $2 AND reset_until_ts > $3`,
		nid, string(device), nowTS)
	return n > 0, err
}

// ResetAllowed tells until when a user allows that a device replaces cross-signing keys, 0 for not at all.
func (tx *Tx) ResetAllowed(user id.UserID, device id.DeviceID) (untilTS int64, err error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return 0, err
	}
	var until sql.NullInt64
	_, err = tx.Row(`SELECT reset_until_ts FROM devices WHERE user_nid = $1 AND device_id = $2`, []any{nid, string(device)}, &until)
	return until.Int64, err
}

// SignedIn is a device as its user sees it.
type SignedIn struct {
	DeviceID    id.DeviceID
	DisplayName string
	CreatedTS   int64
	SeenTS      int64 // 0 for never
	SeenIP      string
	SeenAgent   string
	OAuthClient string // "" for none
}

// SignedIn returns the devices of a user, at most limit of them, those seen last in front.
func (tx *Tx) SignedIn(userNID int64, limit int) ([]SignedIn, error) {
	return tx.signedIn(`user_nid = $1 ORDER BY COALESCE(last_seen_ts, created_ts) DESC, device_id LIMIT $2`, userNID, limit)
}

// SignedInDevice returns one device of a user. ErrNotFound.
func (tx *Tx) SignedInDevice(userNID int64, device id.DeviceID) (SignedIn, error) {
	all, err := tx.signedIn(`user_nid = $1 AND device_id = $2`, userNID, string(device))
	if err != nil {
		return SignedIn{}, err
	}
	if len(all) == 0 {
		return SignedIn{}, fmt.Errorf("device: %w", ErrNotFound)
	}
	return all[0], nil
}

func (tx *Tx) signedIn(which string, args ...any) (all []SignedIn, err error) {
	err = tx.Query(`SELECT device_id, display_name, created_ts, last_seen_ts, last_seen_ip, last_seen_agent, oauth_client FROM devices WHERE `+which,
		args, func(scan func(...any) error) error {
			var (
				d                       SignedIn
				device                  string
				name, ip, agent, client sql.NullString
				seen                    sql.NullInt64
			)
			err := scan(&device, &name, &d.CreatedTS, &seen, &ip, &agent, &client)
			d.DeviceID, d.DisplayName, d.SeenTS = id.DeviceID(device), name.String, seen.Int64
			d.SeenIP, d.SeenAgent, d.OAuthClient = ip.String, agent.String, client.String
			all = append(all, d)
			return err
		})
	return all, err
}
