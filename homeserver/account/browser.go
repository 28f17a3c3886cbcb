package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Bounds of what is done in a browser on the server's own pages, in milliseconds.
const (
	browserSessionMS   = 24 * 60 * 60 * 1000
	resetMS            = 10 * 60 * 1000 // for how long a user allows that cross-signing keys are replaced
	recentMS           = 10 * 60 * 1000 // for how long a password counts as given just now
	maxBrowserSessions = 20             // of one user
	maxShownDevices    = 500
	browserTokenPrefix = "cwb_"
)

// Browser is a browser in which somebody is signed in to the server's own pages.
type Browser struct {
	UserNID int64
	UserID  id.UserID
	// Recent tells that they gave their password just now.
	Recent bool
	// Suspended tells that they may change nothing that others see.
	Suspended bool
	// Password tells that they have one.
	Password bool
	// Admin tells that they administer the server.
	Admin bool

	hash [32]byte // of the cookie
	seen store.Sighting
}

// Check is for a transaction that grants something in the name of whoever is signed in in a browser: they may have been signed out since
// the request came, by a new password say, and what is granted then would outlast it. The error is 403 M_FORBIDDEN.
func (b Browser) Check(tx *store.Tx, nowTS int64) error {
	found, err := tx.BrowserSession(b.hash, nowTS)
	if errors.Is(err, store.ErrNotFound) || err == nil && found.UserNID != b.UserNID {
		return forbidden("You have been signed out")
	}
	return err
}

// SignIn signs a browser in with a password and a user's name, whole id, or email address, and returns the value of its cookie. Errors: those
// of [Service.Login].
func (s *Service) SignIn(ctx context.Context, name, password, clientIP string) (cookie string, err error) {
	user, err := s.passwordLogin(ctx, LoginRequest{Identifier: identifierOf(name), Password: password, ClientIP: clientIP})
	if err != nil {
		return "", err
	}
	return s.signIn(ctx, user)
}

// identifierOf reads what somebody has typed as the name of a user. No user's name has an @ but at its beginning.
func identifierOf(name string) *Identifier {
	name = strings.TrimSpace(name)
	if strings.LastIndexByte(name, '@') > 0 && !strings.HasPrefix(name, "@") {
		return &Identifier{Type: "m.id.thirdparty", Medium: mail.Email, Address: name}
	}
	return &Identifier{Type: "m.id.user", User: name}
}

// signIn signs a browser in whose user is known, as they were when they proved it.
func (s *Service) signIn(ctx context.Context, proven *store.User) (cookie string, err error) {
	cookie, hash := randomToken(browserTokenPrefix)
	now := s.now()
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		user, err := unchanged(tx, proven)
		if err != nil {
			return err
		}
		usable, err := tx.UsableAccount(user.NID, now)
		if err != nil {
			return err
		}
		if !usable {
			return forbidden("This account cannot be used")
		}
		return tx.AddBrowserSession(hash, user.NID, now, now, now+browserSessionMS, maxBrowserSessions)
	})
	return cookie, err
}

// SignUp makes an account as [Service.Register] does, without a device, and signs a browser in to it.
func (s *Service) SignUp(ctx context.Context, in RegisterRequest) (cookie string, err error) {
	in.InhibitLogin = true
	login, err := s.Register(ctx, in)
	if err != nil {
		return "", err
	}
	user, err := s.user(ctx, login.UserID)
	if err != nil {
		return "", err
	}
	return s.signIn(ctx, user)
}

// Browser returns who is signed in in the browser with a cookie, and false for nobody.
func (s *Service) Browser(ctx context.Context, cookie string) (b Browser, ok bool, err error) {
	if cookie == "" {
		return Browser{}, false, nil
	}
	var found store.BrowserSession
	hash := sha256.Sum256([]byte(cookie))
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.BrowserSession(hash, s.now())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return Browser{}, false, nil
	}
	if err != nil {
		return Browser{}, false, fmt.Errorf("look up a browser: %w", err)
	}
	return Browser{
		UserNID: found.UserNID, UserID: found.UserID, Recent: s.now()-found.AuthenticatedTS < recentMS, Suspended: found.Suspended,
		Password: found.Password, Admin: found.Admin, hash: hash, seen: found.Seen,
	}, true, nil
}

// SignOut signs a browser out.
func (s *Service) SignOut(ctx context.Context, cookie string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error { return tx.EndBrowserSession(sha256.Sum256([]byte(cookie))) })
}

// SignedIn is a device as its user sees it.
type SignedIn = store.SignedIn

// Sessions returns the devices of a user, those seen last in front.
func (s *Service) Sessions(ctx context.Context, b Browser) (all []SignedIn, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		all, err = tx.SignedIn(b.UserNID, maxShownDevices)
		return err
	})
	for i := range all {
		s.addSeen(b.UserID, &all[i])
	}
	return all, err
}

// addSeen completes what is stored of when a device was last seen with what is not written yet.
func (s *Service) addSeen(user id.UserID, d *SignedIn) {
	if newer, ok := s.seen.of(user, d.DeviceID); ok && newer.TS > d.SeenTS {
		d.SeenTS, d.SeenIP, d.SeenAgent = newer.TS, newer.IP, newer.Agent
	}
}

// Session returns one device of a user. The error is 404 M_NOT_FOUND.
func (s *Service) Session(ctx context.Context, b Browser, device id.DeviceID) (found SignedIn, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		found, err = tx.SignedInDevice(b.UserNID, device)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return found, notFound("You have no device %s", device)
	}
	s.addSeen(b.UserID, &found)
	return found, err
}

// SetPassword changes the password of whoever is signed in in a browser, who proves with the old one that they are still there. The user's
// devices go, unless keepDevices. The browser is signed out with the others. Errors: 403 M_FORBIDDEN for a wrong password,
// M_MISSING_PARAM, M_INVALID_PARAM.
func (s *Service) SetPassword(ctx context.Context, b Browser, old, password, clientIP string, keepDevices bool) error {
	logout := !keepDevices
	return s.withPassword(s.ChangePassword(ctx, Requester{UserID: b.UserID, ClientIP: clientIP}, PasswordRequest{
		Auth: passwordProof(b.UserID, old), NewPassword: password, LogoutDevices: &logout,
	}))
}

// Reauthenticate has whoever is signed in in a browser prove with their password that they are still there. Who has none has to have proven it
// at a provider just now. Errors: 403 M_FORBIDDEN, 429 M_LIMIT_EXCEEDED.
func (s *Service) Reauthenticate(ctx context.Context, b Browser, password, clientIP string) error {
	if !b.Password {
		if b.Recent {
			return nil
		}
		return forbidden("Sign in again first")
	}
	if password == "" {
		return wrongPassword()
	}
	_, err := s.passwordLogin(ctx, LoginRequest{Identifier: &Identifier{Type: "m.id.user", User: string(b.UserID)}, Password: password, ClientIP: clientIP})
	if refused, ok := errors.AsType[mautrix.RespError](err); ok && refused.StatusCode == http.StatusForbidden {
		return wrongPassword()
	}
	return err
}

// passwordProof is what a client sends to prove who a user is by the password.
func passwordProof(user id.UserID, password string) *AuthData {
	return &AuthData{Type: typePassword, Identifier: &Identifier{Type: "m.id.user", User: string(user)}, Password: password}
}

// withPassword makes of the question for another try the error that the password was wrong.
func (s *Service) withPassword(err error) error {
	if _, ok := errors.AsType[*Challenge](err); ok {
		return wrongPassword()
	}
	return err
}

func wrongPassword() error { return forbidden("The password is not the right one") }

// AllowCrossSigningReset lets a device of a user, which is for an OAuth client, replace the user's cross-signing keys without another proof,
// for a while (MSC4312). Other devices of the user may not: whoever has got hold of one of them waits for such a moment. The error is
// 404 M_NOT_FOUND for a device that there is not, or that is for no OAuth client.
func (s *Service) AllowCrossSigningReset(ctx context.Context, b Browser, device id.DeviceID) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		return tx.AllowReset(b.UserNID, device, s.now()+resetMS)
	})
	if errors.Is(err, store.ErrNotFound) {
		return notFound("You have no device %s that asks for this here", device)
	}
	return err
}

// CrossSigningResetAllowed tells whether a user has allowed of late that a device replaces their cross-signing keys.
func (s *Service) CrossSigningResetAllowed(ctx context.Context, user id.UserID, device id.DeviceID) bool {
	var until int64
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		until, err = tx.ResetAllowed(user, device)
		return err
	})
	return err == nil && until > s.now()
}

// takeReset takes back what AllowCrossSigningReset allowed, and tells whether it was allowed: it serves once, however many ask at once.
func (s *Service) takeReset(ctx context.Context, user id.UserID, device id.DeviceID) (allowed bool, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		allowed, err = tx.TakeReset(user, device, s.now())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("take the permission of %s to replace cross-signing keys: %w", user, err)
	}
	return allowed, nil
}
