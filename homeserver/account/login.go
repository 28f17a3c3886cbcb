package account

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Types of login and of stages of user-interactive authentication.
const (
	typePassword          = "m.login.password"
	typeAppService        = "m.login.application_service"
	typeDummy             = "m.login.dummy"
	typeRegistrationToken = "m.login.registration_token"
	typeOAuth             = "m.oauth"
	typeOAuthUnstable     = "org.matrix.cross_signing_reset" // m.oauth as of before MSC4312 was merged
	typeToken             = "m.login.token"
	typeSSO               = "m.login.sso"
	typeJWT               = "org.matrix.login.jwt"
	typeTerms             = "m.login.terms"
	typeCaptcha           = "m.login.recaptcha"
)

// LoginRequest is the body of POST /login.
type LoginRequest struct {
	Type       string      `json:"type"`
	Identifier *Identifier `json:"identifier"`
	User       string      `json:"user"`    // deprecated form of Identifier
	Medium     string      `json:"medium"`  // deprecated form of Identifier, with Address
	Address    string      `json:"address"` // deprecated
	Password   string      `json:"password"`
	DeviceID   id.DeviceID `json:"device_id"`
	DeviceName string      `json:"initial_device_display_name"`
	// RefreshToken says that the client knows of refresh tokens.
	RefreshToken bool `json:"refresh_token"`

	// Token is what types of login by token take.
	Token string `json:"token"`

	// AppServiceToken is the token that came with the request, "" when there was none.
	AppServiceToken string `json:"-"`
	ClientIP        string `json:"-"`
}

// ByAppService tells whether the request is that of an application service for a user of its own.
func (in *LoginRequest) ByAppService() bool { return in.Type == typeAppService }

// Identifier names a user (Client-Server API, Identifier types).
type Identifier struct {
	Type    string `json:"type"`
	User    string `json:"user"`    // of m.id.user
	Medium  string `json:"medium"`  // of m.id.thirdparty
	Address string `json:"address"` // of m.id.thirdparty
	Country string `json:"country"` // of m.id.phone
	Phone   string `json:"phone"`   // of m.id.phone
}

// Login is the answer to POST /login and POST /register. Without a session AccessToken and DeviceID are empty.
type Login struct {
	UserID id.UserID `json:"user_id"`
	Tokens
	DeviceID   id.DeviceID `json:"device_id,omitempty"`
	HomeServer string      `json:"home_server"` // deprecated
}

// loginType is a way to log in.
type loginType struct {
	name string
	// authenticate returns the user that the request is proven to come from.
	authenticate func(*Service, context.Context, LoginRequest) (*store.User, error)
	// on tells whether the configuration has it; nil is for yes.
	on func(*Service) bool
}

var loginTypes = []loginType{
	{typePassword, (*Service).passwordLogin, nil},
	{typeToken, (*Service).tokenLogin, nil},
	{typeJWT, (*Service).jwtLogin, func(s *Service) bool { return s.cfg.JWT.Enabled }},
	{typeAppService, (*Service).appServiceLogin, nil},
}

// LoginFlow is a type of login as GET /login tells of it.
type LoginFlow struct {
	Type string `json:"type"`
	// GetLoginToken says, of m.login.token, that a device that is logged in can get a token for another.
	GetLoginToken bool `json:"get_login_token,omitempty"`
	// Providers and Preferred are of m.login.sso. The latter has another name for clients of before Matrix 1.18 (MSC3824).
	Providers         []IdentityProvider `json:"identity_providers,omitempty"`
	Preferred         bool               `json:"oauth_aware_preferred,omitempty"`
	PreferredUnstable bool               `json:"org.matrix.msc3824.delegated_oidc_compatibility,omitempty"`
}

// LoginFlows returns the types of login that there are.
func (s *Service) LoginFlows() []LoginFlow {
	var flows []LoginFlow
	for _, t := range loginTypes {
		if t.on == nil || t.on(s) {
			flows = append(flows, LoginFlow{Type: t.name, GetLoginToken: t.name == typeToken})
		}
	}
	if s.external() {
		flows = append(flows, s.ssoFlow())
	}
	return flows
}

// Login begins a session. Errors: 403 M_FORBIDDEN when the user or the password is wrong, 400 M_UNKNOWN for a type of login
// that there is not, M_MISSING_PARAM, M_INVALID_PARAM, M_LIMIT_EXCEEDED when too many log in at once; for application
// services 401 M_MISSING_TOKEN and M_UNKNOWN_TOKEN, and M_EXCLUSIVE.
func (s *Service) Login(ctx context.Context, in LoginRequest) (Login, error) {
	if in.Type == "" {
		return Login{}, missingParam("type")
	}
	device := Device{DeviceID: in.DeviceID, DisplayName: in.DeviceName, Refreshable: in.RefreshToken}
	if err := device.check(); err != nil {
		return Login{}, err
	}
	if in.ByAppService() {
		reg, err := s.appServiceOf(in.AppServiceToken)
		if err != nil {
			return Login{}, err
		}
		device.AppService = reg.ID
	}
	for _, t := range loginTypes {
		if t.name != in.Type || t.on != nil && !t.on(s) {
			continue
		}
		user, err := t.authenticate(s, ctx, in)
		if err != nil {
			return Login{}, err
		}
		if err := s.mayBegin(user); err != nil {
			return Login{}, err
		}
		return s.beginSession(ctx, user, device)
	}
	return Login{}, matrixError(http.StatusBadRequest, "M_UNKNOWN", "Bad login type.")
}

func (s *Service) beginSession(ctx context.Context, user *store.User, device Device) (Login, error) {
	login := Login{UserID: user.UserID, DeviceID: device.DeviceID, HomeServer: s.cfg.ServerName}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if _, err := unchanged(tx, user); err != nil {
			return err
		}
		login.Tokens, err = s.insertSession(tx, user.NID, device)
		return err
	})
	// The device's former token has ended.
	s.forget(user.UserID)
	if err != nil {
		return Login{}, fmt.Errorf("begin a session of %s: %w", user.UserID, err)
	}
	return login, nil
}

// unchanged returns a user who has proven who they are, as they are in a transaction: whoever proved it by a password, or by a token that
// a new password ends, is not let in once there is a new one. The error is 403 M_FORBIDDEN.
func unchanged(tx *store.Tx, proven *store.User) (*store.User, error) {
	user, err := tx.UserByNID(proven.NID)
	if err != nil {
		return nil, err
	}
	if user.Deactivated || subtle.ConstantTimeCompare([]byte(user.Password), []byte(proven.Password)) != 1 {
		return nil, forbidden("The password of this account has just been changed")
	}
	return user, nil
}

// passwordLogin answers the same, after the same time, whether it is the user or the password that is wrong.
func (s *Service) passwordLogin(ctx context.Context, in LoginRequest) (*store.User, error) {
	if in.Identifier == nil && in.User == "" && in.Address != "" {
		in.Identifier = &Identifier{Type: "m.id.thirdparty", Medium: in.Medium, Address: in.Address}
	}
	userID, err := s.identified(ctx, in.Identifier, in.User)
	if err != nil {
		return nil, err
	}
	if in.Password == "" {
		return nil, missingParam("password")
	}
	user, err := s.prove(ctx, userID, named(in.Identifier, userID), in.Password, in.ClientIP)
	if err == nil && user == nil {
		err = forbidden("Invalid username or password")
	}
	return user, err
}

// loginUnsupported is for an application service whose registration says that it makes devices without logging in: it is held to that, as it
// would be where people sign in by OAuth alone (MSC4190; Application Service API, "Server admin style permissions").
func loginUnsupported(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_APPSERVICE_LOGIN_UNSUPPORTED", format, args...)
}

// appServiceLogin follows the Client-Server API, Appservice Login.
func (s *Service) appServiceLogin(ctx context.Context, in LoginRequest) (*store.User, error) {
	reg, err := s.appServiceOf(in.AppServiceToken)
	if err != nil {
		return nil, err
	}
	if reg.MSC4190 {
		return nil, loginUnsupported("Make a device with PUT /devices/{deviceId}, and name it in device_id; or set io.element.msc4190 in the registration of %s to false", reg.ID)
	}
	userID, err := s.identified(ctx, in.Identifier, in.User)
	if err != nil {
		return nil, err
	}
	if sender := s.userID(reg.SenderLocalpart); userID == sender {
		if err := s.ensureSender(ctx, sender, reg.ID); err != nil {
			return nil, err
		}
	} else if s.inReach(reg, userID) != nil {
		return nil, exclusive("The user is not in a namespace of the application service, or in one of another's own")
	}
	user, err := s.user(ctx, userID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, forbidden("Application service has not registered this user")
	}
	return user, err
}

// identified returns the user id that a client names, which may be no user's.
func (s *Service) identified(ctx context.Context, identifier *Identifier, deprecated string) (id.UserID, error) {
	name := deprecated
	if identifier != nil {
		switch identifier.Type {
		case "m.id.user":
			name = identifier.User
		case "m.id.thirdparty", "m.id.phone":
			return s.ownerOf(ctx, identifier)
		case "":
			return "", missingParam("identifier.type")
		default:
			return "", invalidParam("The type of identifier is unknown")
		}
	}
	if name == "" {
		return "", missingParam("identifier.user")
	}
	if !storable(name) {
		return "", invalidParam("The user's name is not text")
	}
	// The server has no names with upper case letters. People type them all the same.
	if strings.HasPrefix(name, "@") {
		localpart, server, _ := strings.Cut(name, ":")
		return id.UserID(lower(localpart) + ":" + server), nil
	}
	return s.userID(lower(name)), nil
}

func (s *Service) user(ctx context.Context, userID id.UserID) (user *store.User, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		user, err = tx.User(userID)
		return err
	})
	return user, err
}
