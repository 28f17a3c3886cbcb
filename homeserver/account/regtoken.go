package account

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"causeway/homeserver/store"
)

const (
	// maxTokenChars bounds a registration token (Client-Server API, Token-authenticated registration).
	maxTokenChars      = 64
	firstTokenChars    = 24
	firstTokenAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789" // what cannot be misread
)

// FirstToken returns the registration token by which the first person becomes an administrator, to be shown to the operator
// at start. It is made when nobody is there yet, serves once, stays the same until used, and goes when there is an
// administrator without it. It returns "" when there is none.
func (s *Service) FirstToken(ctx context.Context) (token string, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		token = ""
		hasAdmin, err := tx.HasAdmin()
		if err != nil {
			return err
		}
		if hasAdmin {
			return tx.DeleteFirstToken()
		}
		made, err := tx.FirstToken(s.now())
		if err == nil {
			token = made.Token
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		hasPerson, err := tx.HasPerson()
		if err != nil || hasPerson {
			return err
		}
		token = randomText(firstTokenAlphabet, firstTokenChars)
		return tx.InsertRegistrationToken(store.RegistrationToken{
			Token: token, UsesAllowed: 1, Admin: true, First: true, CreatedTS: s.now(),
		})
	})
	if err != nil {
		return "", fmt.Errorf("registration token for the first user: %w", err)
	}
	return token, nil
}

// RegistrationToken is a registration token as the operator sees it.
type RegistrationToken struct {
	Token       string `json:"token"`
	UsesAllowed int64  `json:"uses_allowed,omitempty"` // 0 for any number
	Uses        int64  `json:"uses"`
	ExpiresTS   int64  `json:"expires_ts,omitempty"` // 0 for never
	Admin       bool   `json:"admin,omitempty"`      // whoever registers with it becomes an administrator
}

// registrationTokenBytes are those that a token may be of (Client-Server API, Token-authenticated registration).
const registrationTokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"

// CreateRegistrationToken makes a registration token; without a text it is given one. Errors: M_INVALID_PARAM; store.ErrExists, wrapped.
func (s *Service) CreateRegistrationToken(ctx context.Context, t RegistrationToken) (RegistrationToken, error) {
	if t.Token == "" {
		t.Token = randomText(firstTokenAlphabet, firstTokenChars)
	}
	switch {
	case len(t.Token) > maxTokenChars || strings.Trim(t.Token, registrationTokenBytes) != "":
		return t, invalidParam("A registration token has at most %d of the characters A-Z, a-z, 0-9 and ._~-", maxTokenChars)
	case t.UsesAllowed < 0 || t.ExpiresTS < 0:
		return t, invalidParam("The number of uses and the time must not be negative")
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		return tx.InsertRegistrationToken(store.RegistrationToken{
			Token: t.Token, UsesAllowed: t.UsesAllowed, ExpiresTS: t.ExpiresTS, Admin: t.Admin, CreatedTS: s.now(),
		})
	})
	if err != nil {
		return t, fmt.Errorf("make a registration token: %w", err)
	}
	return t, nil
}

// RegistrationTokens returns all registration tokens, the oldest first.
func (s *Service) RegistrationTokens(ctx context.Context) (all []RegistrationToken, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.RegistrationTokens()
		all = nil
		for _, t := range rows {
			all = append(all, RegistrationToken{Token: t.Token, UsesAllowed: t.UsesAllowed, Uses: t.Uses, ExpiresTS: t.ExpiresTS, Admin: t.Admin})
		}
		return err
	})
	return all, err
}

// DeleteRegistrationToken removes a registration token. store.ErrNotFound, wrapped.
func (s *Service) DeleteRegistrationToken(ctx context.Context, token string) error {
	if !storable(token) {
		return fmt.Errorf("registration token: %w", store.ErrNotFound)
	}
	return s.db.Write(ctx, func(tx *store.Tx) error { return tx.DeleteRegistrationToken(token) })
}
