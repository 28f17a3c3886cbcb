package account

import (
	"context"
	"errors"
	"fmt"

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
