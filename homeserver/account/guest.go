package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"causeway/homeserver/store"
)

// guestPrefix begins the names of guests, so that people can tell them from others.
const guestPrefix = "guest-"

// registerGuest makes an account for a guest. All that the request says but the name of the device is ignored, as the specification
// demands (Client-Server API, POST /register). The error is 403 M_GUEST_ACCESS_FORBIDDEN where there are no guests.
func (s *Service) registerGuest(ctx context.Context, deviceName string) (Login, error) {
	if !s.cfg.Guests {
		return Login{}, matrixError(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "There are no guests on this server")
	}
	device := Device{DisplayName: deviceName}
	if err := device.check(); err != nil {
		return Login{}, err
	}
	name, err := s.drawName(guestPrefix)
	if err != nil {
		return Login{}, matrixError(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "The names of guests are reserved by an application service")
	}
	return s.insertUser(ctx, &store.User{UserID: s.userID(name), Guest: true}, device, false, nil)
}

// guestToPromote returns the session of the guest whose account a registration is to make a person's, nil when it is for a new
// account (Client-Server API, "Guest Access": guest_access_token). Errors: 401 M_UNKNOWN_TOKEN, M_USER_LOCKED; 403 M_FORBIDDEN when the token is
// not a guest's, or the user name not that of the guest.
func (s *Service) guestToPromote(ctx context.Context, in RegisterRequest) (*store.Session, error) {
	if in.GuestToken == "" {
		return nil, nil
	}
	session, err := s.session(ctx, sha256.Sum256([]byte(in.GuestToken)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, unknownToken()
	}
	if err != nil {
		return nil, fmt.Errorf("look up a guest's access token: %w", err)
	}
	if session.ExpiresTS != 0 && session.ExpiresTS <= s.now() {
		return nil, softLogout()
	}
	if err := barred(session.Locked, session.ValidUntilTS, s.now()); err != nil {
		return nil, err
	}
	if !session.Guest || session.UserID != s.userID(lower(in.Username)) {
		return nil, forbidden("The guest access token is not that of a guest of this name")
	}
	return &session, nil
}

// promoteGuest makes a guest's account that of a person, and begins a session unless inhibited. The guest's own sessions go on as
// sessions of the person.
func (s *Service) promoteGuest(ctx context.Context, user *store.User, device Device, inhibitLogin bool, before func(*store.Tx) error) (Login, error) {
	login := Login{UserID: user.UserID, HomeServer: s.cfg.ServerName}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if err := before(tx); err != nil {
			return err
		}
		if err := tx.PromoteGuest(user.NID, user.Password, user.Admin); err != nil || inhibitLogin {
			return err
		}
		login.DeviceID = device.DeviceID
		var err error
		login.Tokens, err = s.insertSession(tx, user.NID, device)
		return err
	})
	s.forget(user.UserID)
	if errors.Is(err, store.ErrNotFound) {
		return Login{}, userInUse()
	}
	if err != nil {
		return Login{}, fmt.Errorf("make the guest %s a person: %w", user.UserID, err)
	}
	return login, nil
}
