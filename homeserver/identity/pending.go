package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"errors"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// InvitationPath is where the link of an invitation leads, unless a client in the web is configured.
const InvitationPath = "/_causeway/invitation"

// Pending is an invitation that waits for whoever has the address.
type Pending struct {
	Token, Key string    // by which it is shown and taken: from the mail alone
	Sender     id.UserID // who invites
	Address    string
	User       id.UserID // the account of this server that has the address, "" for none
}

// Pending returns the invitation that a mail is about. 404 M_NOT_FOUND unless the key is the one in the mail, and while the invitation has
// not served.
func (s *Service) Pending(ctx context.Context, token, key string) (p Pending, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p, err = s.pending(tx, token, key)
		return err
	})
	return p, err
}

func (s *Service) pending(tx *store.Tx, token, key string) (Pending, error) {
	unknown := matrixError(404, "M_NOT_FOUND", "There is no such invitation")
	invite, err := tx.IdentityInvite(token)
	if errors.Is(err, store.ErrNotFound) {
		return Pending{}, unknown
	}
	if err != nil {
		return Pending{}, err
	}
	seed, err := base64.RawStdEncoding.DecodeString(standard(key))
	if err != nil || len(seed) != ed25519.SeedSize || invite.User != "" ||
		subtle.ConstantTimeCompare([]byte(publicKey(ed25519.NewKeyFromSeed(seed))), []byte(invite.PublicKey)) == 0 {
		return Pending{}, unknown
	}
	p := Pending{Token: token, Key: key, Sender: invite.Sender, Address: invite.Address}
	p.User, err = tx.ThreepidOwner(invite.Medium, invite.Address)
	if errors.Is(err, store.ErrNotFound) {
		return p, nil
	}
	return p, err
}

// Take has the account with the address get the invitations that wait for it. That is for its owner to say: who invites learns to
// whom the address belongs. Errors as of Pending, and 404 M_NOT_FOUND when no account has the address.
func (s *Service) Take(ctx context.Context, token, key string) (p Pending, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if p, err = s.pending(tx, token, key); err != nil {
			return err
		}
		if p.User == "" {
			return matrixError(404, "M_NOT_FOUND", "No account has the address yet")
		}
		return s.Claim(tx, p.User, "email", p.Address)
	})
	return p, err
}
