package threepid

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Purpose says what a proof is good for. One that was given for one purpose is none for another.
type Purpose string

// The purposes.
const (
	Register Purpose = "register" // an account that is to be made
	Add      Purpose = "add"      // an account that is there
	Password Purpose = "password" // a new password for who lost it
	Identity Purpose = "identity" // the identity service
	Reset    Purpose = "reset"    // a new password, on the page that the link of the mail leads to
)

// Lifetimes, in milliseconds. Identity Service API, "Establishing associations": a session ends a day after it was modified.
const (
	sessionMS  = 24 * 60 * 60 * 1000
	passwordMS = 60 * 60 * 1000
)

func (p Purpose) lifetimeMS() int64 {
	if p == Password || p == Reset {
		return passwordMS
	}
	return sessionMS
}

// Bounds of sessions.
const (
	maxOpaque      = 255 // of a client's secret, and of a token
	maxNextLink    = 2048
	maxWrongTokens = 10
)

// Options are what a Service needs.
type Options struct {
	DB         *store.DB
	Mail       *mail.Service
	ServerName string
	PublicURL  string // base URL for people and clients
	Now        func() time.Time
}

// Service has people prove that an address is theirs.
type Service struct{ Options }

// New returns a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	return &Service{o}
}

// TokenRequest is the body of a request for a token (Client-Server API, RequestTokenRequest). What it says of an identity server is of no
// meaning: this server validates for itself.
type TokenRequest struct {
	Secret      string `json:"client_secret"`
	Email       string `json:"email"`
	Country     string `json:"country"`
	Number      string `json:"phone_number"`
	SendAttempt *int64 `json:"send_attempt"`
	NextLink    string `json:"next_link"`

	Medium    string    `json:"-"`
	Purpose   Purpose   `json:"-"`
	User      id.UserID `json:"-"` // who asks, "" for a stranger
	Requester string    `json:"-"` // whose messages are counted: a user id or an IP address
	// Return, if not nil, makes the address that people are sent to afterwards of the id of the session. It is one of this server's own, and
	// takes the place of NextLink.
	Return func(sid string) string `json:"-"`
}

// TokenResponse is the answer to a TokenRequest.
type TokenResponse struct {
	SID       string `json:"sid"`
	SubmitURL string `json:"submit_url,omitempty"`
}

// SubmitPath is where a client takes a token that its user has typed, ConfirmPath where the link of a mail leads, and ResetPath where that of
// a mail for the purpose Reset does.
const (
	SubmitPath  = "/_causeway/threepid/submitToken"
	ConfirmPath = "/_causeway/threepid/confirm"
	ResetPath   = "/_causeway/account/new-password"
)

// check returns the canonical address.
func (s *Service) check(in *TokenRequest) (address string, err error) {
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"client_secret", in.Secret == ""}, {"email", in.Medium == mail.Email && in.Email == ""},
		{"country", in.Medium == mail.MSISDN && in.Country == ""}, {"phone_number", in.Medium == mail.MSISDN && in.Number == ""},
		{"send_attempt", in.SendAttempt == nil},
	} {
		if field.missing {
			return "", missingParam(field.name, in.Purpose == Identity)
		}
	}
	if !opaque(in.Secret) {
		return "", matrixError(400, "M_INVALID_PARAM", "client_secret must be up to %d of 0-9, a-z, A-Z and .=_-", maxOpaque)
	}
	if !s.Mail.Sends(in.Medium) {
		return "", matrixError(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", "This server cannot send by %s", in.Medium)
	}
	code := "M_INVALID_PARAM" // Client-Server API, POST /account/3pid/email/requestToken
	if in.Medium == mail.Email {
		if address, err = Email(in.Email); err != nil && in.Purpose == Identity {
			code = "M_INVALID_EMAIL"
		}
	} else if address, err = Number(in.Country, in.Number); err != nil && in.Purpose == Identity {
		code = "M_INVALID_ADDRESS"
	}
	if err != nil {
		return "", matrixError(400, code, "%s", capital(err.Error()))
	}
	return address, nil
}

// RequestToken begins a session, or goes on with it, and sends a token to the address. Whether an address is that of an account, the owner
// alone learns, by mail, unless the configuration says otherwise. Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_THREEPID_IN_USE,
// M_THREEPID_NOT_FOUND, M_THREEPID_MEDIUM_NOT_SUPPORTED, 429 M_LIMIT_EXCEEDED; for the identity service M_INVALID_EMAIL and
// M_INVALID_ADDRESS.
func (s *Service) RequestToken(ctx context.Context, in TokenRequest) (out TokenResponse, err error) {
	address, err := s.check(&in)
	if err != nil {
		return out, err
	}
	secret := sha256.Sum256([]byte(in.Secret))
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		nowTS := s.Now().UnixMilli()
		if err := tx.PruneThreepidSessions(nowTS - sessionMS); err != nil {
			return err
		}
		userNID, err := userNID(tx, in.User)
		if err != nil {
			return err
		}
		session, err := tx.ThreepidSessionBySecret(string(in.Purpose), in.Medium, address, secret[:], userNID)
		switch {
		case err == nil && nowTS-session.ModifiedTS <= in.Purpose.lifetimeMS():
			out.SID = session.SID
			if *in.SendAttempt <= session.SendAttempt || session.ValidatedTS != 0 {
				return nil
			}
		case err == nil:
			if err := tx.DeleteThreepidSession(session.SID); err != nil {
				return err
			}
			session = nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if session == nil {
			session = &store.ThreepidSession{SID: rand.Text(), Purpose: string(in.Purpose), Medium: in.Medium, Address: address,
				Secret: secret[:], UserNID: userNID, ModifiedTS: nowTS}
			if err := tx.InsertThreepidSession(session); err != nil {
				return err
			}
		}
		out.SID = session.SID
		session.SendAttempt, session.NextLink = *in.SendAttempt, s.allowedLink(in.NextLink)
		if in.Return != nil {
			session.NextLink = in.Return(session.SID)
		}
		return s.sendToken(tx, in, session)
	})
	if errors.Is(err, mail.ErrTooMany) {
		return TokenResponse{}, TooManyMessages()
	}
	if err != nil {
		return TokenResponse{}, err
	}
	if in.Medium == mail.MSISDN {
		out.SubmitURL = s.PublicURL + SubmitPath
	}
	return out, nil
}

// Expire deletes the sessions that have expired, which begins with each new one anyway.
func Expire(ctx context.Context, db *store.DB, now time.Time) error {
	return db.Write(ctx, func(tx *store.Tx) error { return tx.PruneThreepidSessions(now.UnixMilli() - sessionMS) })
}

// sendToken gives a session a new token and sends it, or tells the address why it gets none.
func (s *Service) sendToken(tx *store.Tx, in TokenRequest, session *store.ThreepidSession) error {
	owner, err := tx.ThreepidOwner(session.Medium, session.Address)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	known := err == nil
	taken := known && (in.Purpose == Register || in.Purpose == Add && owner != in.User)
	nobodys := !known && (in.Purpose == Password || in.Purpose == Reset)
	session.Token = nil
	var token string
	switch {
	case taken && s.Mail.TellUnknownAddresses:
		return matrixError(400, "M_THREEPID_IN_USE", "The address is that of another account")
	case nobodys && s.Mail.TellUnknownAddresses:
		return matrixError(400, "M_THREEPID_NOT_FOUND", "The address is that of no account")
	case taken || nobodys:
	case session.Medium == mail.Email:
		token = rand.Text() + rand.Text()
	default:
		token = newCode()
	}
	if token != "" {
		hash := sha256.Sum256([]byte(token))
		session.Token = hash[:]
	}
	if err := tx.UpdateThreepidSession(session); err != nil {
		return err
	}
	letter := s.letter(in.Purpose, session, token, owner)
	return s.Mail.Queue(tx, mail.Message{Medium: session.Medium, Address: session.Address, Requester: in.Requester, Letter: letter})
}

func userNID(tx *store.Tx, user id.UserID) (int64, error) {
	if user == "" {
		return 0, nil
	}
	return tx.NID(string(user))
}

// allowedLink returns the address that a client wants people sent to afterwards, "" when it is none of those that the operator allows, so
// that nobody can have this server's mails lead elsewhere.
func (s *Service) allowedLink(link string) string {
	if len(link) > maxNextLink || !storable(link) {
		return ""
	}
	for _, allowed := range s.Mail.NextLinks {
		if below(link, allowed) {
			return link
		}
	}
	return ""
}

// missingParam returns the error of the client-server API, or of the identity service, which has another.
func missingParam(name string, identity bool) error {
	code := "M_MISSING_PARAM"
	if identity {
		code = "M_MISSING_PARAMS"
	}
	return matrixError(400, code, "Missing %s", name)
}

// TooManyMessages is the error for who asks for more messages than are sent.
func TooManyMessages() error {
	return mautrix.RespError{StatusCode: http.StatusTooManyRequests, ErrCode: "M_LIMIT_EXCEEDED", Err: "Too many messages were asked for",
		ExtraData: map[string]any{"retry_after_ms": int64(time.Hour / time.Millisecond)}}
}

func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}

// newCode returns a code that people can type.
func newCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // rand.Reader never returns an error
	}
	return fmt.Sprintf("%06d", n)
}
