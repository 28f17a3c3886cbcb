// Package account holds who may use the server and what they keep with it: users and their passwords, login and registration,
// devices and access tokens, profiles, account data and filters. clientapi calls it for the endpoints of those names, and
// httpapi, through an adapter of clientapi, for every request that carries a token. It never touches a room: a profile that
// changed reaches the member events by package room. Passwords and tokens are never logged.
package account

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Service is the accounts of one server.
type Service struct {
	cfg         Config
	db          *store.DB
	bus         notify.Bus
	appServices AppServices
	passwords   *passwords
	sessions    *sessionCache
	known       *knownUsers
	fit         *knownUsers // who may be acted for by an application service
	uia         *uiaSessions
	attempts    *attempts
	seen        *sightings
	watches     *watches
	nonces      *nonces
	captchas    *captchas
	usernames   *usernames
	departed    chan struct{} // holds one while there are users to leave their rooms
	now         func() int64  // milliseconds since 1970
}

// New returns the accounts kept in db. It rings bus when account data changed, and asks appServices for the registrations
// whenever it needs them; nil is for no application services.
func New(cfg Config, db *store.DB, bus notify.Bus, appServices AppServices) *Service {
	if appServices == nil {
		appServices = func() *registration.Set { return nil }
	}
	return &Service{
		cfg: cfg, db: db, bus: bus, appServices: appServices,
		passwords: newPasswords(cfg.passwordMemory()),
		sessions:  newSessionCache(maxCachedSessions),
		known:     newKnownUsers(maxKnownUsers),
		fit:       newKnownUsers(maxKnownUsers),
		uia:       newUIASessions(),
		attempts:  newAttempts(cfg.Attempts),
		seen:      newSightings(),
		watches:   newWatches(),
		nonces:    newNonces(),
		captchas:  newCaptchas(cfg.Rules.Captcha),
		usernames: newUsernames(cfg.Rules.Usernames),
		departed:  make(chan struct{}, 1),
		now:       func() int64 { return time.Now().UnixMilli() },
	}
}

// ServerName is what stands behind the colon of this server's user ids.
func (s *Service) ServerName() string { return s.cfg.ServerName }

func (s *Service) userID(localpart string) id.UserID {
	return id.NewUserID(localpart, s.cfg.ServerName)
}

// UserExists tells whether this server has an account of this id.
func (s *Service) UserExists(ctx context.Context, user id.UserID) (exists bool, err error) {
	if s.known.has(user) {
		return true, nil
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		exists, err = tx.UserExists(user)
		return err
	})
	if err == nil && exists {
		s.known.add(user)
	}
	return exists, err
}

func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error {
	return matrixError(http.StatusForbidden, "M_FORBIDDEN", format, args...)
}

func missingParam(name string) error {
	return matrixError(http.StatusBadRequest, "M_MISSING_PARAM", "Missing %s", name)
}

func invalidParam(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", format, args...)
}

func notFound(format string, args ...any) error {
	return matrixError(http.StatusNotFound, "M_NOT_FOUND", format, args...)
}
