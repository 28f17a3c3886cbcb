package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"causeway/homeserver/store"
	"causeway/registration"

	"maunium.net/go/mautrix/id"
)

// Identity is whom an access token stands for.
type Identity struct {
	UserID     id.UserID
	DeviceID   id.DeviceID                // "" for an application service that names none
	AppService *registration.Registration // nil for people
	IsAdmin    bool
	IsGuest    bool
	// Locked is why the account cannot be used for now, nil when it can: the error to answer with.
	Locked      error
	IsSuspended bool
	// RateLimited is false for an application service itself, and for its users as its registration says.
	RateLimited bool
}

// Identify finds out whose an access token is. asUser and asDevice name whom an application service acts for ("" for its
// sender, and for no device); they count for nothing when the token is a person's. Errors: 401 M_UNKNOWN_TOKEN, 403
// M_FORBIDDEN or M_EXCLUSIVE for a user that the application service may not act for, 400 M_UNKNOWN_DEVICE.
func (s *Service) Identify(ctx context.Context, token string, asUser id.UserID, asDevice id.DeviceID) (Identity, error) {
	if reg := s.appServices().ByToken(token); reg != nil {
		return s.identifyAppService(ctx, reg, asUser, asDevice)
	}
	session, err := s.session(ctx, sha256.Sum256([]byte(token)))
	if errors.Is(err, store.ErrNotFound) {
		return Identity{}, unknownToken()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("look up an access token: %w", err)
	}
	if s.orphaned(session) || session.AppService == "" && s.takenOver(session.UserID) {
		return Identity{}, unknownToken()
	}
	if session.ExpiresTS != 0 && session.ExpiresTS <= s.now() {
		return Identity{}, softLogout()
	}
	return Identity{
		UserID: session.UserID, DeviceID: session.DeviceID, IsAdmin: session.Admin, IsGuest: session.Guest, RateLimited: s.sessionLimited(session),
		Locked: barred(session.Locked, session.ValidUntilTS, s.now()), IsSuspended: session.Suspended,
	}, nil
}

func (s *Service) session(ctx context.Context, hash [32]byte) (store.Session, error) {
	session, endings, ok := s.sessions.get(hash)
	if ok {
		return session, nil
	}
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		session, err = tx.SessionByToken(hash)
		return err
	})
	if err == nil && session.Refreshed != nil && (session.ExpiresTS == 0 || session.ExpiresTS > s.now()) {
		return s.confirm(ctx, hash)
	}
	if err == nil {
		s.sessions.put(hash, session, endings)
	}
	return session, err
}

// identifyAppService follows the Application Service API, Identity assertion.
func (s *Service) identifyAppService(ctx context.Context, reg *registration.Registration, asUser id.UserID, asDevice id.DeviceID) (Identity, error) {
	who := Identity{UserID: asUser, DeviceID: asDevice, AppService: reg, RateLimited: s.limited(reg, asUser)}
	sender := s.userID(reg.SenderLocalpart)
	if asUser == "" || asUser == sender {
		who.UserID = sender
		if err := s.ensureSender(ctx, sender, reg.ID); err != nil {
			return Identity{}, err
		}
	} else if err := s.inReach(reg, asUser); err != nil {
		return Identity{}, err
	}
	if err := s.checkGhost(ctx, &who); err != nil {
		return Identity{}, err
	}
	return who, s.checkDevice(ctx, who.UserID, asDevice)
}

// checkGhost looks whether a user that an application service acts for, itself included, is there, and whether the account can be used.
func (s *Service) checkGhost(ctx context.Context, who *Identity) error {
	fit, removals := s.fit.get(who.UserID)
	if fit {
		return nil
	}
	user, err := s.user(ctx, who.UserID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return forbidden("Application service has not registered this user")
	case err != nil:
		return fmt.Errorf("look up a user of an application service: %w", err)
	case user.Deactivated:
		return matrixError(http.StatusForbidden, "M_USER_DEACTIVATED", "This account has been deactivated")
	}
	who.Locked, who.IsSuspended = barred(user.Locked, user.ValidUntilTS, s.now()), user.Suspended
	if who.Locked == nil && !user.Suspended && user.ValidUntilTS == 0 {
		s.fit.addUnless(who.UserID, removals)
	}
	return nil
}

func (s *Service) checkDevice(ctx context.Context, user id.UserID, device id.DeviceID) error {
	if device == "" {
		return nil
	}
	return s.db.View(ctx, func(tx *store.Tx) error {
		has, err := tx.HasDevice(user, device)
		if err == nil && !has {
			err = matrixError(http.StatusBadRequest, "M_UNKNOWN_DEVICE", "The device is not one of the user's")
		}
		return err
	})
}

// ensureSender makes the account of an application service itself, which nobody registers.
func (s *Service) ensureSender(ctx context.Context, sender id.UserID, appService string) error {
	exists, err := s.UserExists(ctx, sender)
	if err != nil || exists {
		return err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		err := tx.InsertUser(&store.User{UserID: sender, AppService: appService, CreatedTS: s.now()})
		if errors.Is(err, store.ErrExists) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("make the account of %s: %w", sender, err)
	}
	s.known.add(sender)
	return nil
}

func unknownToken() error {
	return matrixError(http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "Unknown access token")
}
