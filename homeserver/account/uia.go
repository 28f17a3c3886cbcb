package account

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on user-interactive authentication.
const (
	maxUIASessions  = 10_000
	uiaSessionMS    = 30 * 60 * 1000 // how long a session lasts, in milliseconds
	uiaSessionChars = 24
)

// AuthData is the auth parameter of a request that needs user-interactive authentication.
type AuthData struct {
	Type       string      `json:"type"`
	Session    string      `json:"session"`
	Token      string      `json:"token"`
	Identifier *Identifier `json:"identifier"`
	User       string      `json:"user"` // deprecated form of Identifier
	Password   string      `json:"password"`
	Response   string      `json:"response"` // of m.login.recaptcha
	// Creds and OldCreds are by what an address was validated; clients know two names for it.
	Creds    *ThreepidCreds `json:"threepid_creds"`
	OldCreds *ThreepidCreds `json:"threepidCreds"`
}

// Challenge is the error by which a request asks for authentication. Marshalled, it is the body of the answer, whose status
// is 401 (Client-Server API, User-interactive API in the REST API).
type Challenge struct {
	ErrCode   string         `json:"errcode,omitempty"`
	Message   string         `json:"error,omitempty"`
	Completed []string       `json:"completed,omitempty"`
	Flows     []Flow         `json:"flows"`
	Params    map[string]any `json:"params"`
	Session   string         `json:"session"`
}

// Flow is one way to authenticate: stages to be completed in their order.
type Flow struct {
	Stages []string `json:"stages"`
}

// Error implements error.
func (c *Challenge) Error() string { return "authentication is needed" }

// operation is what a client needs authentication for. What it completed for one operation does not count for another.
type operation struct {
	name     string
	user     id.UserID   // who must prove to be themselves, "" when it is about nobody yet
	device   id.DeviceID // that asks, where the user allows it to one device alone
	flows    []Flow
	params   map[string]any // of the stages
	password string         // the hash that the user's password has now: what was proven by another counts no more
	clientIP string         // where the request comes from, "" for unknown
}

// uiaSession is what a client has completed of an operation.
type uiaSession struct {
	id        string
	completed []string
	token     string // the registration token, once that stage is completed
	password  string // the hash of the password, once that stage is completed
	threepids []provenThreepid
	expiresTS int64
}

// stages are the types of authentication. Each returns an error with code and sentence for a failure that the client may
// try again.
var stages = map[string]func(*Service, context.Context, operation, *uiaSession, *AuthData) error{
	typeDummy:             func(*Service, context.Context, operation, *uiaSession, *AuthData) error { return nil },
	typePassword:          (*Service).passwordStage,
	typeRegistrationToken: (*Service).tokenStage,
	typeOAuth:             (*Service).oauthStage,
	typeOAuthUnstable:     (*Service).oauthStage,
	typeTerms:             func(*Service, context.Context, operation, *uiaSession, *AuthData) error { return nil },
	typeCaptcha:           (*Service).captchaStage,
	typeEmail:             (*Service).emailStage,
	typeMSISDN:            (*Service).msisdnStage,
	typeSSO:               (*Service).ssoStage,
}

// authenticate returns the session of a client that has completed a flow of the operation. The error is a *Challenge when
// there is more to do.
func (s *Service) authenticate(ctx context.Context, op operation, auth *AuthData) (*uiaSession, error) {
	if auth == nil {
		auth = &AuthData{}
	}
	session := s.uia.get(op, auth.Session, s.now())
	if session.password != "" && session.password != op.password {
		session = &uiaSession{id: session.id}
	}
	if auth.Type != "" && !slices.Contains(session.completed, auth.Type) {
		if !op.next(session.completed, auth.Type) {
			return nil, op.challenge(session, "M_FORBIDDEN", "Go on with one of the stages in flows; "+strconv.Quote(auth.Type)+" is none of them")
		}
		if err := stages[auth.Type](s, ctx, op, session, auth); err != nil {
			var failed *stageError
			if errors.As(err, &failed) {
				return nil, op.challenge(session, failed.code, failed.message)
			}
			return nil, err
		}
		session.completed = append(slices.Clone(session.completed), auth.Type)
		s.uia.put(op, session, s.now())
	}
	if !op.complete(session.completed) {
		return nil, op.challenge(session, "", "")
	}
	return session, nil
}

func (op operation) challenge(session *uiaSession, code, message string) *Challenge {
	params := op.params
	if params == nil {
		params = map[string]any{}
	}
	return &Challenge{
		ErrCode: code, Message: message, Completed: session.completed, Flows: op.flows, Params: params, Session: session.id,
	}
}

// next tells whether stage is one that a client may do now.
func (op operation) next(completed []string, stage string) bool {
	n := len(completed)
	return slices.ContainsFunc(op.flows, func(f Flow) bool {
		return len(f.Stages) > n && slices.Equal(f.Stages[:n], completed) && f.Stages[n] == stage
	})
}

func (op operation) complete(completed []string) bool {
	return slices.ContainsFunc(op.flows, func(f Flow) bool { return slices.Equal(f.Stages, completed) })
}

// stageError is a failure of a stage that the client may try again.
type stageError struct{ code, message string }

func (e *stageError) Error() string { return e.message }

// passwordStage follows the Client-Server API, Password-based. Whoever names somebody else than the one that the operation is about is
// refused without a look at the password: 403 M_FORBIDDEN.
func (s *Service) passwordStage(ctx context.Context, op operation, session *uiaSession, auth *AuthData) error {
	userID, err := s.identified(ctx, auth.Identifier, auth.User)
	if err != nil {
		return err
	}
	if userID != op.user { // whom an address belongs to is not said
		return forbidden("The identifier is not yours")
	}
	user, err := s.prove(ctx, userID, string(userID), auth.Password, op.clientIP)
	if err == nil && user == nil {
		err = &stageError{"M_FORBIDDEN", "Invalid username or password"}
	}
	if err == nil {
		session.password = user.Password
	}
	return err
}

// tokenStage follows the Client-Server API, Token-authenticated registration. The token is used up when the account is made.
func (s *Service) tokenStage(ctx context.Context, _ operation, session *uiaSession, auth *AuthData) error {
	valid, err := s.TokenValid(ctx, auth.Token)
	if err == nil && !valid {
		err = invalidToken()
	}
	session.token = auth.Token
	return err
}

func invalidToken() error {
	return &stageError{"M_FORBIDDEN", "The registration token is not valid"}
}

// TokenValid tells whether an account could be made with a registration token now.
func (s *Service) TokenValid(ctx context.Context, token string) (bool, error) {
	if token == "" || len(token) > maxTokenChars || !storable(token) {
		return false, nil
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		_, err := tx.UsableToken(token, s.now())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
