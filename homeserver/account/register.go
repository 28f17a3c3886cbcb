package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// maxUserIDBytes is the length of a user id, sigil and server name included (Appendices, User Identifiers).
	maxUserIDBytes     = 255
	localpartBytes     = "abcdefghijklmnopqrstuvwxyz0123456789._=-/+"
	generatedNameChars = 12
)

// RegisterRequest is the body of POST /register.
type RegisterRequest struct {
	Auth         *AuthData   `json:"auth"`
	Type         string      `json:"type"` // m.login.application_service, or of no meaning
	Username     string      `json:"username"`
	Password     string      `json:"password"`
	DeviceID     id.DeviceID `json:"device_id"`
	DeviceName   string      `json:"initial_device_display_name"`
	InhibitLogin bool        `json:"inhibit_login"`
	// RefreshToken says that the client knows of refresh tokens.
	RefreshToken bool `json:"refresh_token"`
	// GuestToken is the access token of a guest whose account is to become a person's.
	GuestToken string `json:"guest_access_token"`

	// Kind is the parameter of that name: "" or "user", or "guest".
	Kind string `json:"-"`
	// AppServiceToken is the token that came with the request, "" when there was none.
	AppServiceToken string `json:"-"`
	ClientIP        string `json:"-"`
}

// ByAppService tells whether the request is that of an application service for a user of its own.
func (in *RegisterRequest) ByAppService() bool { return in.Type == typeAppService }

// Register makes an account. Errors: *Challenge when authentication is needed; 403 M_GUEST_ACCESS_FORBIDDEN; 400
// M_INVALID_USERNAME, M_USER_IN_USE, M_EXCLUSIVE, M_MISSING_PARAM, M_INVALID_PARAM; for application services 401
// M_MISSING_TOKEN and M_UNKNOWN_TOKEN.
func (s *Service) Register(ctx context.Context, in RegisterRequest) (Login, error) {
	switch in.Kind {
	case "", "user":
	case "guest":
		return s.registerGuest(ctx, in.DeviceName)
	default:
		return Login{}, invalidParam("kind must be user or guest")
	}
	device := Device{DeviceID: in.DeviceID, DisplayName: in.DeviceName, Refreshable: in.RefreshToken}
	if err := device.check(); err != nil {
		return Login{}, err
	}
	if in.ByAppService() {
		return s.registerGhost(ctx, in, device)
	}
	return s.registerPerson(ctx, in, device)
}

// registerGhost makes a user of an application service (Application Service API, Server admin style permissions).
func (s *Service) registerGhost(ctx context.Context, in RegisterRequest, device Device) (Login, error) {
	reg, err := s.appServiceOf(in.AppServiceToken)
	if err != nil {
		return Login{}, err
	}
	if reg.MSC4190 && !in.InhibitLogin {
		return Login{}, loginUnsupported("Register users with inhibit_login, or set io.element.msc4190 in the registration of %s to false", reg.ID)
	}
	if in.Username == "" {
		return Login{}, missingParam("username")
	}
	userID, err := s.newUserID(in.Username)
	if err != nil {
		return Login{}, err
	}
	if !s.covers(reg, userID) {
		return Login{}, exclusive("The user is not in a namespace of the application service")
	}
	if owner := s.exclusiveTo(userID); owner != "" && owner != reg.ID {
		return Login{}, exclusive("The user is in a namespace of another application service")
	}
	// Bridges ask for the same ghosts again and again. Most of them are answered without a write.
	exists, err := s.UserExists(ctx, userID)
	if err != nil {
		return Login{}, err
	}
	if exists {
		return Login{}, userInUse()
	}
	device.AppService = reg.ID
	return s.insertUser(ctx, &store.User{UserID: userID, AppService: reg.ID}, device, in.InhibitLogin, nil)
}

// registerPerson makes an account for somebody who authenticated by one of the flows. The name is checked first, as the
// specification demands.
func (s *Service) registerPerson(ctx context.Context, in RegisterRequest, device Device) (Login, error) {
	guest, err := s.guestToPromote(ctx, in)
	if err != nil {
		return Login{}, err
	}
	if in.Username != "" && guest == nil {
		if err := s.MayRegister(ctx, in.Username); err != nil {
			return Login{}, err
		}
	}
	op, err := s.registration(ctx)
	if err != nil {
		return Login{}, err
	}
	op.clientIP = in.ClientIP
	if in.Password != "" { // before anybody goes through stages for it
		if err := s.checkPassword(in.Password); err != nil {
			return Login{}, err
		}
	}
	session, err := s.authenticate(ctx, op, in.Auth)
	if err != nil {
		return Login{}, err
	}
	if err := s.checkPassword(in.Password); err != nil {
		return Login{}, err
	}
	name := in.Username
	if name == "" {
		name, err = s.drawName("")
	}
	if err != nil {
		return Login{}, err
	}
	hash, err := s.passwords.hash(ctx, in.Password)
	if err != nil {
		return Login{}, err
	}
	user := &store.User{UserID: s.userID(lower(name)), Password: hash}
	useToken := func(tx *store.Tx) error {
		if err := s.useToken(tx, session.token, user); err != nil || !slices.Contains(session.completed, typeTerms) {
			return err
		}
		return s.acceptTerms(tx, user.UserID)
	}
	owns := func(tx *store.Tx) error { return s.ownProven(tx, user, session.threepids) }
	// First of all, so that what was completed makes one account even when two requests come at the same moment.
	if !s.uia.drop(op, session) {
		return Login{}, op.challenge(&uiaSession{id: randomText(lowerLetters, uiaSessionChars)}, "", "")
	}
	var login Login
	if guest != nil {
		user.NID, user.UserID = guest.UserNID, guest.UserID
		login, err = s.promoteGuest(ctx, user, device, in.InhibitLogin, func(tx *store.Tx) error { return errors.Join(useToken(tx), owns(tx)) })
	} else {
		login, err = s.insertUser(ctx, user, device, in.InhibitLogin, useToken, owns)
	}
	var failed *stageError
	if errors.As(err, &failed) {
		session.completed = nil
		return Login{}, op.challenge(session, failed.code, failed.message)
	}
	if err != nil { // the client may try another name
		s.uia.put(op, session, s.now())
	}
	return login, err
}

// maxDraws bounds how often a name is drawn that an application service has to itself. Where all names are some service's, none will do.
const maxDraws = 100

// drawName makes up a name for who chooses none.
func (s *Service) drawName(prefix string) (string, error) {
	for range maxDraws {
		name := prefix + randomText(lowerLetters, generatedNameChars)
		if s.exclusiveTo(s.userID(name)) == "" {
			return name, nil
		}
	}
	return "", exclusive("The names that this server makes up are reserved by an application service: choose one")
}

// insertUser adds an account, with what before does first and after next, and a session unless inhibited. before may be nil.
func (s *Service) insertUser(ctx context.Context, user *store.User, device Device, inhibitLogin bool, before func(*store.Tx) error, after ...func(*store.Tx) error) (Login, error) {
	login := Login{UserID: user.UserID, HomeServer: s.cfg.ServerName}
	user.CreatedTS = s.now()
	if user.AppService == "" {
		user.ValidUntilTS = later(user.CreatedTS, s.cfg.Rules.Validity.Milliseconds())
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if before != nil {
			if err := before(tx); err != nil {
				return err
			}
		}
		if err := tx.InsertUser(user); err != nil {
			return err
		}
		for _, f := range after {
			if err := f(tx); err != nil {
				return err
			}
		}
		if inhibitLogin {
			return nil
		}
		login.DeviceID = device.DeviceID
		var err error
		login.Tokens, err = s.insertSession(tx, user.NID, device)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return Login{}, userInUse()
	}
	if err != nil {
		return Login{}, fmt.Errorf("make the account %s: %w", user.UserID, err)
	}
	s.known.add(user.UserID)
	return login, nil
}

// Available returns nil when a person may have a name. Errors: M_INVALID_USERNAME, M_EXCLUSIVE, M_USER_IN_USE.
func (s *Service) Available(ctx context.Context, username string) error {
	userID, err := s.newUserID(lower(username))
	if err != nil {
		return err
	}
	if s.exclusiveTo(userID) != "" {
		return exclusive("The name is reserved by an application service")
	}
	exists, err := s.UserExists(ctx, userID)
	if err == nil && exists {
		err = userInUse()
	}
	return err
}

// MayRegister is Available for people who choose a name for themselves, which has to be as the operator wants it.
func (s *Service) MayRegister(ctx context.Context, username string) error {
	if err := s.usernames.check(lower(username)); err != nil {
		return err
	}
	return s.Available(ctx, username)
}

// newUserID checks a localpart by the grammar of the Appendices, User Identifiers.
func (s *Service) newUserID(localpart string) (id.UserID, error) {
	if localpart == "" || strings.Trim(localpart, localpartBytes) != "" {
		return "", invalidUsername("User names consist of a-z, 0-9 and ._=-/+")
	}
	userID := s.userID(localpart)
	if len(userID) > maxUserIDBytes {
		return "", invalidUsername("The user ID would have more than %d characters", maxUserIDBytes)
	}
	return userID, nil
}

// CreateUser makes an account without any authentication, for the operator. Errors as of [Service.Register].
func (s *Service) CreateUser(ctx context.Context, localpart, password string, admin bool) (id.UserID, error) {
	if err := s.Available(ctx, localpart); err != nil {
		return "", err
	}
	if err := checkGivenPassword(password); err != nil {
		return "", err
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return "", err
	}
	user := &store.User{UserID: s.userID(lower(localpart)), Password: hash, Admin: admin}
	login, err := s.insertUser(ctx, user, Device{}, true, nil)
	return login.UserID, err
}

func userInUse() error {
	return matrixError(http.StatusBadRequest, "M_USER_IN_USE", "Desired user ID is already taken.")
}

func exclusive(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_EXCLUSIVE", format, args...)
}

func invalidUsername(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_INVALID_USERNAME", format, args...)
}
