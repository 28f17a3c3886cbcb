package account

import (
	"context"
	"errors"
	"testing"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// newService returns a Service on db with the server name "test".
func newService(db *store.DB, open bool, regs ...*registration.Registration) *Service {
	set, err := registration.NewSet(regs...)
	if err != nil {
		panic(err)
	}
	return New(Config{ServerName: "test", OpenRegistration: open, QuickPasswords: true}, db, new(notify.Local), func() *registration.Set { return set })
}

// createUser makes the account of a person.
func createUser(t *testing.T, s *Service, localpart, password string) id.UserID {
	t.Helper()
	user, err := s.CreateUser(context.Background(), localpart, password, false)
	if err != nil {
		t.Fatalf("CreateUser(%s): %v", localpart, err)
	}
	return user
}

// login logs a person in.
func login(t *testing.T, s *Service, user, password string, device id.DeviceID) Login {
	t.Helper()
	got, err := s.Login(context.Background(), LoginRequest{
		Type: typePassword, Identifier: &Identifier{Type: "m.id.user", User: user}, Password: password, DeviceID: device,
	})
	if err != nil {
		t.Fatalf("login of %s: %v", user, err)
	}
	return got
}

// codeOf returns the Matrix error code of err, "" for nil, and its text for any other error.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if c, ok := errors.AsType[*Challenge](err); ok {
		return "401 " + c.ErrCode
	}
	if e, ok := errors.AsType[mautrix.RespError](err); ok {
		return e.ErrCode
	}
	return err.Error()
}
