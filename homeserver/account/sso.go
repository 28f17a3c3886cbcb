package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// ssoTokenLifetime is how long a login token lasts that a browser takes to a client. The specification recommends five seconds, which is less
// than a telephone may need to wake the application up.
const ssoTokenLifetime = 30 * time.Second

// SSOConfig is what GET /login tells of signing in elsewhere, and by what users are known there.
type SSOConfig struct {
	Providers []IdentityProvider
	// Preferred has clients that know of OAuth offer this way alone.
	Preferred bool
}

// IdentityProvider is a provider as clients are told of it (Client-Server API, m.login.sso flow schema).
type IdentityProvider struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Icon  string `json:"icon,omitempty"`
	Brand string `json:"brand,omitempty"`

	Issuer string `json:"-"`
}

// external tells whether people can sign in by providers.
func (s *Service) external() bool { return len(s.cfg.SSO.Providers) > 0 }

// IdentityProviders are the providers by which people sign in.
func (s *Service) IdentityProviders() []IdentityProvider { return s.cfg.SSO.Providers }

// ssoFlow is the flow m.login.sso of GET /login.
func (s *Service) ssoFlow() LoginFlow {
	return LoginFlow{Type: typeSSO, Providers: s.cfg.SSO.Providers, Preferred: s.cfg.SSO.Preferred, PreferredUnstable: s.cfg.SSO.Preferred}
}

// External is somebody as a provider knows them, who has proven to be that.
type External struct {
	Issuer, Subject string
	DisplayName     string
	Email           string // verified by the provider, "" for none
	Label           string // what the user sees of the link
	AuthTS          int64  // when they proved to the provider who they are, in milliseconds, 0 for unknown
}

// LinkedUser returns whose account somebody at a provider has, "" when they have none.
func (s *Service) LinkedUser(ctx context.Context, who External) (user id.UserID, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		u, err := linkedUser(tx, who)
		if err == nil {
			user = u.UserID
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return user, err
}

func linkedUser(tx *store.Tx, who External) (*store.User, error) {
	nid, err := tx.SSOUser(who.Issuer, who.Subject)
	if err != nil {
		return nil, err
	}
	return tx.UserByNID(nid)
}

// SuggestName returns what somebody could be called here whom a provider calls by a name, "" when there is nothing to go by; good tells
// whether they may have that name. Nobody is taken for somebody else because of a name.
func (s *Service) SuggestName(ctx context.Context, name string) (suggested string, good bool) {
	suggested = strings.ToLower(name)
	good = suggested != ""
	suggested = strings.Map(func(r rune) rune {
		if strings.ContainsRune(localpartBytes, r) {
			return r
		}
		good = false
		if r == ' ' || r == '@' {
			return '.'
		}
		return -1
	}, suggested)
	return suggested, good && s.MayRegister(ctx, suggested) == nil
}

// Terms are the documents that whoever makes an account has to accept.
func (s *Service) Terms(language string) []Document { return s.policiesIn(language) }

// SignUpLinked makes an account without a password for somebody at a provider, linked to who they are there. accepted tells that they accept
// the documents of [Service.Terms]. Errors: M_INVALID_USERNAME, M_EXCLUSIVE, M_USER_IN_USE, M_INVALID_PARAM.
func (s *Service) SignUpLinked(ctx context.Context, name string, who External, accepted bool) error {
	if name == "" {
		return invalidUsername("Choose a user name")
	}
	if err := s.MayRegister(ctx, name); err != nil {
		return err
	}
	if !accepted && len(s.cfg.Rules.Terms) > 0 {
		return invalidParam("You have to accept the terms")
	}
	user := &store.User{UserID: s.userID(strings.ToLower(name))}
	_, err := s.insertUser(ctx, user, Device{}, true, nil, func(tx *store.Tx) error {
		err := tx.InsertSSOLink(store.SSOLink{Issuer: who.Issuer, Subject: who.Subject, UserNID: user.NID, Label: who.Label, LinkedTS: s.now()})
		if errors.Is(err, store.ErrExists) {
			return forbidden("You have an account already")
		}
		if err == nil {
			err = s.acceptTerms(tx, user.UserID)
		}
		if err != nil {
			return err
		}
		return s.ownVerified(tx, user, who.Email)
	})
	if err != nil {
		return err
	}
	if who.DisplayName != "" {
		if err := s.SetDisplayName(ctx, user.UserID, who.DisplayName); err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("user_id", user.UserID).Msg("The name of a new user could not be taken from the provider")
		}
	}
	return nil
}

// ownVerified gives a new account the address that a provider has verified, unless it is somebody's already.
func (s *Service) ownVerified(tx *store.Tx, user *store.User, address string) error {
	if address == "" || s.cfg.Threepids == nil {
		return nil
	}
	address, err := threepid.Email(address)
	if err != nil {
		return nil // not one that could be written to
	}
	if _, err := tx.ThreepidOwner(mail.Email, address); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.own(tx, user.NID, user.UserID, store.Threepid{Medium: mail.Email, Address: address, ValidatedTS: s.now()})
}

// SignInLinked signs a browser in for somebody at a provider, and returns the value of its cookie. When they proved who they are is for the
// provider to say: who was let pass there because they were signed in has not done so just now, nor has whoever of whom it is not known. Errors: 403 M_FORBIDDEN, M_USER_DEACTIVATED, 401 M_USER_LOCKED when they may not use it.
func (s *Service) SignInLinked(ctx context.Context, who External) (cookie string, err error) {
	cookie, hash := randomToken(browserTokenPrefix)
	now := s.now()
	proven := min(now, who.AuthTS)
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		user, err := s.usableLinked(tx, who)
		if err != nil {
			return err
		}
		return tx.AddBrowserSession(hash, user.NID, proven, now, now+browserSessionMS, maxBrowserSessions)
	})
	return cookie, err
}

// usableLinked returns the user whom somebody at a provider is, who may use the account.
func (s *Service) usableLinked(tx *store.Tx, who External) (*store.User, error) {
	user, err := linkedUser(tx, who)
	if errors.Is(err, store.ErrNotFound) {
		return nil, forbidden("You have no account here")
	}
	if err != nil {
		return nil, err
	}
	return user, s.usable(tx, user)
}

func (s *Service) usable(tx *store.Tx, user *store.User) error {
	if err := s.mayBegin(user); err != nil {
		return err
	}
	usable, err := tx.UsableAccount(user.NID, s.now())
	if err == nil && !usable {
		err = forbidden("This account cannot be used")
	}
	return err
}

// LinkedLoginToken makes a token by which a client logs in once as who somebody at a provider is. Errors: as of [Service.SignInLinked].
func (s *Service) LinkedLoginToken(ctx context.Context, who External) (string, error) {
	return s.clientToken(ctx, func(tx *store.Tx) (*store.User, error) { return s.usableLinked(tx, who) })
}

// BrowserLoginToken makes a token by which a client logs in once as whoever is signed in in a browser. Errors: 403 M_FORBIDDEN.
func (s *Service) BrowserLoginToken(ctx context.Context, b Browser) (string, error) {
	return s.clientToken(ctx, func(tx *store.Tx) (*store.User, error) {
		if err := b.Check(tx, s.now()); err != nil {
			return nil, err
		}
		return tx.UserByNID(b.UserNID)
	})
}

func (s *Service) clientToken(ctx context.Context, whose func(*store.Tx) (*store.User, error)) (string, error) {
	token, hash := randomToken(loginTokenPrefix)
	now := s.now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		user, err := whose(tx)
		if err != nil {
			return err
		}
		return tx.InsertLoginToken(hash, user.NID, now, now+ssoTokenLifetime.Milliseconds(), maxLoginTokens)
	})
	return token, err
}

// FirstPassword gives a user who has none a password, who has just proven who they are. Errors: 403 M_FORBIDDEN, M_MISSING_PARAM,
// M_INVALID_PARAM.
func (s *Service) FirstPassword(ctx context.Context, b Browser, password string) error {
	if b.Password || !b.Recent {
		return forbidden("Sign in again first")
	}
	if err := s.checkPassword(password); err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		replaced, err := tx.FirstPassword(b.UserNID, hash)
		if err == nil && !replaced {
			err = forbidden("You have a password by now")
		}
		return err
	})
	s.forget(b.UserID)
	if err != nil {
		return fmt.Errorf("set the first password of %s: %w", b.UserID, err)
	}
	return nil
}
