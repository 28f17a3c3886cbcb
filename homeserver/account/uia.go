package account

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

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
	name  string
	user  id.UserID // who must prove to be themselves, "" when it is about nobody yet
	flows []Flow
}

// uiaSession is what a client has completed of an operation.
type uiaSession struct {
	id        string
	completed []string
	token     string // the registration token, once that stage is completed
	threepids []provenThreepid
	expiresTS int64
}

// stages are the types of authentication. Each returns an error with code and sentence for a failure that the client may
// try again.
var stages = map[string]func(*Service, context.Context, operation, *uiaSession, *AuthData) error{
	typeDummy:             func(*Service, context.Context, operation, *uiaSession, *AuthData) error { return nil },
	typePassword:          (*Service).passwordStage,
	typeRegistrationToken: (*Service).tokenStage,
	typeEmail:             (*Service).emailStage,
	typeMSISDN:            (*Service).msisdnStage,
}

// authenticate returns the session of a client that has completed a flow of the operation. The error is a *Challenge when
// there is more to do.
func (s *Service) authenticate(ctx context.Context, op operation, auth *AuthData) (*uiaSession, error) {
	if auth == nil {
		return nil, op.challenge(&uiaSession{id: randomText(lowerLetters, uiaSessionChars)}, "", "")
	}
	session := s.uia.get(op, auth.Session, s.now())
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
	return &Challenge{
		ErrCode: code, Message: message, Completed: session.completed, Flows: op.flows,
		Params: map[string]any{}, Session: session.id,
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

// passwordStage follows the Client-Server API, Password-based.
func (s *Service) passwordStage(ctx context.Context, op operation, _ *uiaSession, auth *AuthData) error {
	userID, err := s.identified(ctx, auth.Identifier, auth.User)
	if err != nil {
		return err
	}
	user, err := s.user(ctx, op.user)
	if err != nil {
		return err
	}
	stored := user.Password
	if userID != op.user || len(auth.Password) > maxPasswordBytes {
		stored, auth.Password = "", ""
	}
	right, err := s.passwords.verify(ctx, stored, auth.Password)
	if err == nil && !right {
		err = &stageError{"M_FORBIDDEN", "Invalid username or password"}
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

// uiaSessions remembers sessions in which something was completed. They do not outlive the process: a client then does its
// one stage again.
type uiaSessions struct {
	mu   sync.Mutex // guards rows
	rows map[string]*uiaSession
}

func newUIASessions() *uiaSessions { return &uiaSessions{rows: make(map[string]*uiaSession)} }

func (op operation) key(session string) string {
	return op.name + "\n" + string(op.user) + "\n" + session
}

// get returns a copy of the session, or one in which nothing is completed yet.
func (u *uiaSessions) get(op operation, session string, now int64) *uiaSession {
	u.mu.Lock()
	defer u.mu.Unlock()
	if row := u.rows[op.key(session)]; row != nil && row.expiresTS > now {
		found := *row
		return &found
	}
	if len(session) != uiaSessionChars || strings.Trim(session, lowerLetters) != "" {
		session = randomText(lowerLetters, uiaSessionChars)
	}
	return &uiaSession{id: session}
}

// put remembers a session, and drops what has expired, and something else if there are too many.
func (u *uiaSessions) put(op operation, session *uiaSession, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.rows) >= maxUIASessions {
		for key, row := range u.rows {
			if row.expiresTS <= now {
				delete(u.rows, key)
			}
		}
	}
	if len(u.rows) >= maxUIASessions {
		for key := range u.rows {
			delete(u.rows, key)
			break
		}
	}
	kept := *session
	kept.expiresTS = now + uiaSessionMS
	u.rows[op.key(session.id)] = &kept
}

// drop forgets a session that has served, or whose stages count no more.
func (u *uiaSessions) drop(op operation, session *uiaSession) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.rows, op.key(session.id))
}
