package e2ee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// claimsAtOnce is how many keys one transaction gives out, so that those who send never wait long.
const claimsAtOnce = 200

// ClaimRequest is the body of POST /keys/claim. Nobody has to be waited for, so the timeout counts for nothing.
type ClaimRequest struct {
	OneTimeKeys map[id.UserID]map[id.DeviceID]string `json:"one_time_keys"` // the algorithms
}

// ClaimResponse is its answer: keys by user, device and "algorithm:id".
type ClaimResponse struct {
	OneTimeKeys map[id.UserID]map[id.DeviceID]map[string]json.RawMessage `json:"one_time_keys"`
	Failures    Failures                                                 `json:"failures"`
}

// claim is one key that is asked for.
type claim struct {
	user      id.UserID
	device    id.DeviceID
	algorithm string
}

// Claim gives out a one-time key for each device that is named, or its fallback key where there is none left (Client-Server API,
// POST /keys/claim). No one-time key is given out twice, and those that were uploaded first come first (MSC4225). Devices that have
// neither are left out. Errors: M_MISSING_PARAM, M_TOO_LARGE.
func (s *Service) Claim(ctx context.Context, in ClaimRequest) (ClaimResponse, error) {
	out := ClaimResponse{OneTimeKeys: make(map[id.UserID]map[id.DeviceID]map[string]json.RawMessage), Failures: Failures{}}
	if in.OneTimeKeys == nil {
		return out, matrixError(400, "M_MISSING_PARAM", "Missing one_time_keys")
	}
	var claims []claim
	for user, devices := range in.OneTimeKeys {
		if server, local := s.local(user); !local {
			if server != "" {
				out.Failures[server] = unreachable
			}
			continue
		}
		for device, algorithm := range devices {
			claims = append(claims, claim{user, device, algorithm})
		}
	}
	if len(claims) > maxClaims {
		return out, tooLarge("%d keys can be claimed at once", maxClaims)
	}
	slices.SortFunc(claims, func(a, b claim) int {
		if c := strings.Compare(string(a.user), string(b.user)); c != 0 {
			return c
		}
		return strings.Compare(string(a.device), string(b.device))
	})
	for some := range slices.Chunk(claims, claimsAtOnce) {
		if err := s.claimSome(ctx, some, &out); err != nil {
			return out, fmt.Errorf("claim one-time keys: %w", err)
		}
	}
	return out, nil
}

func (s *Service) claimSome(ctx context.Context, claims []claim, out *ClaimResponse) error {
	type given struct {
		claim
		key store.OneTimeKey
	}
	var (
		keys    []given
		signals []notify.Signal
	)
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		keys, signals = nil, nil
		for _, c := range claims {
			userNID, err := tx.LookupNID(string(c.user))
			if err != nil {
				return err
			}
			if userNID == 0 || !isName(string(c.device)) || !isName(c.algorithm) {
				continue
			}
			key, pos, err := tx.ClaimKey(userNID, c.device, c.algorithm)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			keys = append(keys, given{c, key})
			if pos != 0 {
				signals = append(signals, notify.Signal{Key: notify.Key{Kind: notify.User, NID: userNID}, Pos: pos})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		devices := out.OneTimeKeys[k.user]
		if devices == nil {
			devices = make(map[id.DeviceID]map[string]json.RawMessage)
			out.OneTimeKeys[k.user] = devices
		}
		devices[k.device] = map[string]json.RawMessage{k.key.String(): k.key.JSON}
	}
	s.bus.Publish(signals...)
	return nil
}
