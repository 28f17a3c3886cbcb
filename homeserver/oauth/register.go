package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
)

// Bounds on stored clients.
const (
	maxClients = 20_000
	// unusedMS is how long a client is kept that no device was made for, in milliseconds.
	unusedMS = 24 * 60 * 60 * 1000
)

// Registration is the answer to a registration (RFC 7591, section 3.2.1).
type Registration struct {
	ClientID string `json:"client_id"`
	IssuedAt int64  `json:"client_id_issued_at"` // seconds
	*ClientMetadata
}

// Register keeps what a client says about itself, and gives it an id. Clients that say the same share one: what a device may do does not
// follow from its client. Errors: *RegistrationError; 503 M_LIMIT_EXCEEDED when there are too many clients.
func (s *Service) Register(ctx context.Context, body []byte) (Registration, error) {
	metadata, err := ParseClientMetadata(body)
	if err != nil {
		return Registration{}, err
	}
	raw, err := json.Marshal(metadata)
	if err != nil {
		return Registration{}, err
	}
	now := s.now()
	row := store.OAuthClient{ID: rand.Text(), Hash: sha256.Sum256(raw), Metadata: raw, CreatedTS: now, UsedTS: now}
	err = s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		known, err := tx.OAuthClientByHash(row.Hash)
		if err == nil {
			row = known
			return tx.UseOAuthClient(known.ID, now)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := tx.MakeRoomForOAuthClient(now-unusedMS, maxClients); err != nil {
			return err
		}
		return tx.InsertOAuthClient(row)
	})
	if errors.Is(err, store.ErrTooMany) {
		return Registration{}, mautrix.RespError{StatusCode: http.StatusServiceUnavailable, ErrCode: "M_LIMIT_EXCEEDED", Err: "There are too many clients"}
	}
	if err != nil {
		return Registration{}, fmt.Errorf("register an OAuth client: %w", err)
	}
	return Registration{ClientID: row.ID, IssuedAt: row.CreatedTS / 1000, ClientMetadata: metadata}, nil
}
