package threepid

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Errors of sessions. Identity Service API, "Standard error response".
var (
	ErrNoSession    = matrixError(404, "M_NO_VALID_SESSION", "There is no session of this id and secret")
	ErrExpired      = matrixError(400, "M_SESSION_EXPIRED", "The session has expired")
	ErrNotValidated = matrixError(400, "M_SESSION_NOT_VALIDATED", "The address has not been confirmed in this session")
	ErrToken        = matrixError(400, "M_TOKEN_INCORRECT", "The token is not the right one")
)

// SubmitRequest is the body of POST /validate/email/submitToken and its like.
type SubmitRequest struct {
	SID    string `json:"sid"`
	Secret string `json:"client_secret"`
	Token  string `json:"token"`
}

// Submit has a client show the token of a session. medium must be the session's, "" for any; and the session is one of the identity service
// exactly when identity is true. It may be repeated. Errors: ErrNoSession, ErrExpired, ErrToken, M_MISSING_PARAM.
func (s *Service) Submit(ctx context.Context, in SubmitRequest, medium string, identity bool) error {
	for _, field := range []struct{ name, value string }{{"sid", in.SID}, {"client_secret", in.Secret}, {"token", in.Token}} {
		if field.value == "" {
			return missingParam(field.name, identity)
		}
	}
	return s.submit(ctx, in.SID, in.Token, func(session *store.ThreepidSession) bool {
		return matches(session.Secret, in.Secret) && (medium == "" || session.Medium == medium) &&
			(Purpose(session.Purpose) == Identity) == identity
	})
}

// submit validates a session by its token. A wrong token is counted, so that few can be tried.
func (s *Service) submit(ctx context.Context, sid, token string, may func(*store.ThreepidSession) bool) error {
	var outcome error
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		outcome = nil
		session, err := tx.ThreepidSession(sid)
		if errors.Is(err, store.ErrNotFound) || err == nil && !may(session) {
			outcome = ErrNoSession
			return nil
		}
		if err != nil {
			return err
		}
		nowTS := s.Now().UnixMilli()
		switch {
		case expired(session, nowTS):
			outcome = ErrExpired
			return nil
		case session.Token == nil || session.Wrong >= maxWrongTokens || !matches(session.Token, token):
			outcome = ErrToken
			session.Wrong++
		case session.ValidatedTS != 0:
			return nil
		default:
			session.ValidatedTS, session.ModifiedTS = nowTS, nowTS
		}
		return tx.UpdateThreepidSession(session)
	})
	return errors.Join(err, outcome)
}

func expired(session *store.ThreepidSession, nowTS int64) bool {
	return nowTS-session.ModifiedTS > Purpose(session.Purpose).lifetimeMS()
}

// matches compares a secret with its hash.
func matches(hash []byte, secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(hash, sum[:]) == 1
}

// Confirmation is what the page behind the link of a mail asks about.
type Confirmation struct {
	SID, Token string
	Purpose    Purpose
	Address    string
	User       id.UserID // who asked, "" for a stranger
	Validated  bool
	NextLink   string // where to go afterwards, "" for nowhere
}

// Confirmation returns what a link asks about. Nothing has changed by that: what reads people's mail for them follows links.
// Errors: ErrNoSession, ErrExpired, ErrToken.
func (s *Service) Confirmation(ctx context.Context, sid, token string) (c Confirmation, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		session, err := tx.ThreepidSession(sid)
		if errors.Is(err, store.ErrNotFound) || err == nil && Purpose(session.Purpose) == Reset {
			return ErrNoSession
		}
		if err != nil {
			return err
		}
		if session.Token == nil || session.Wrong >= maxWrongTokens || !matches(session.Token, token) {
			return ErrToken
		}
		if expired(session, s.Now().UnixMilli()) {
			return ErrExpired
		}
		c = Confirmation{SID: sid, Token: token, Purpose: Purpose(session.Purpose), Address: session.Address, Validated: session.ValidatedTS != 0,
			NextLink: session.NextLink}
		if session.UserNID != 0 {
			user, err := tx.Text(session.UserNID)
			c.User = id.UserID(user)
			return err
		}
		return nil
	})
	return c, err
}

// Confirm validates a session by the token of a link. Errors as of Confirmation.
func (s *Service) Confirm(ctx context.Context, sid, token string) (Confirmation, error) {
	// A code from a text message takes the client's secret, too: it can be guessed.
	err := s.submit(ctx, sid, token, func(session *store.ThreepidSession) bool {
		return session.Medium == mail.Email && Purpose(session.Purpose) != Reset
	})
	if err != nil {
		return Confirmation{}, err
	}
	return s.Confirmation(ctx, sid, token)
}

// Validated returns the session of a proof that was given for a purpose. user is who comes with it, "" for a stranger: what one user has
// begun is no other's. The session lasts until it is deleted or expires. Errors: ErrNoSession, ErrExpired, ErrNotValidated.
func (s *Service) Validated(tx *store.Tx, purpose Purpose, sid, secret string, user id.UserID) (*store.ThreepidSession, error) {
	session, err := s.Begun(tx, purpose, sid, secret, user)
	if err == nil && session.ValidatedTS == 0 {
		return nil, ErrNotValidated
	}
	return session, err
}

// Begun is Validated, for a session in which nothing may have been validated yet. Errors: ErrNoSession, ErrExpired.
func (s *Service) Begun(tx *store.Tx, purpose Purpose, sid, secret string, user id.UserID) (*store.ThreepidSession, error) {
	session, err := tx.ThreepidSession(sid)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, err
	}
	if session.UserNID != 0 {
		owner, err := tx.Text(session.UserNID)
		if err != nil {
			return nil, err
		}
		if id.UserID(owner) != user {
			return nil, ErrNoSession
		}
	}
	switch {
	case Purpose(session.Purpose) != purpose || !matches(session.Secret, secret):
		return nil, ErrNoSession
	case expired(session, s.Now().UnixMilli()):
		return nil, ErrExpired
	}
	return session, nil
}

// ResetLink returns the session of the link by which somebody chooses a new password. It serves until it is deleted, expires, or there is a
// newer link. mine tells whether secret is that of who asked for it. Errors: ErrNoSession, ErrExpired.
func (s *Service) ResetLink(tx *store.Tx, sid, token, secret string) (session *store.ThreepidSession, mine bool, err error) {
	session, err = tx.ThreepidSession(sid)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, false, ErrNoSession
	case err != nil:
		return nil, false, err
	case Purpose(session.Purpose) != Reset || session.Token == nil || !matches(session.Token, token):
		return nil, false, ErrNoSession
	case expired(session, s.Now().UnixMilli()):
		return nil, false, ErrExpired
	}
	return session, matches(session.Secret, secret), nil
}

// opaque tells whether s is of the grammar of opaque identifiers. Appendices, "Opaque Identifiers".
func opaque(s string) bool {
	if s == "" || len(s) > maxOpaque {
		return false
	}
	for _, r := range s {
		if !isAlnum(r) && !strings.ContainsRune(".=_-", r) {
			return false
		}
	}
	return true
}

func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// below tells whether a link is of the same origin as allowed, and at its path or below.
func below(link, allowed string) bool {
	l, err := url.Parse(link)
	a, err2 := url.Parse(allowed)
	if err != nil || err2 != nil || l.User != nil || l.Opaque != "" || l.Scheme != a.Scheme || !strings.EqualFold(l.Host, a.Host) ||
		strings.ContainsAny(link, "\\\r\n\t ") || strings.ContainsFunc(link, unicode.IsControl) {
		return false
	}
	dir := strings.TrimSuffix(a.Path, "/")
	at := path.Clean("/" + l.Path)
	return dir == "" || at == dir || strings.HasPrefix(at, dir+"/")
}

// capital returns a sentence with a capital letter.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

// NextLink returns where whoever has validated a session is to go, "" for nowhere.
func (s *Service) NextLink(ctx context.Context, sid string) (link string) {
	_ = s.DB.View(ctx, func(tx *store.Tx) error { // who cannot be sent on stays
		session, err := tx.ThreepidSession(sid)
		if err == nil {
			link = session.NextLink
		}
		return err
	})
	return link
}
