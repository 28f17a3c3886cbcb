package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix/id"
)

// Algorithms of lookups. Identity Service API, "Algorithms".
const (
	algorithmSHA256 = "sha256"
	algorithmNone   = "none"
)

// pepperMS is how long a pepper lasts, and maxLookup how many addresses are looked up at once.
const (
	pepperMS  = 24 * 60 * 60 * 1000
	maxLookup = 1000
)

// HashDetails says how clients hide the addresses that they ask about.
type HashDetails struct {
	Pepper     string   `json:"lookup_pepper"`
	Algorithms []string `json:"algorithms"`
}

// HashDetails returns the algorithms and the pepper of now.
func (s *Service) HashDetails(ctx context.Context) (HashDetails, error) {
	d := HashDetails{Algorithms: []string{algorithmSHA256}}
	if s.PlainLookup {
		d.Algorithms = append(d.Algorithms, algorithmNone)
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		d.Pepper, err = s.pepper(tx)
		return err
	})
	return d, err
}

// pepper returns the pepper of now. One that is too old is replaced, with the hashes that it went into.
func (s *Service) pepper(tx *store.Tx) (string, error) {
	pepper, ts, err := tx.Pepper()
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	nowTS := s.Now().UnixMilli()
	if err == nil && nowTS-ts < pepperMS && nowTS >= ts {
		return pepper, nil
	}
	pepper = rand.Text()
	return pepper, tx.SetPepper(pepper, nowTS, func(medium, address string) string { return hashOf(medium, address, pepper) })
}

// hashOf returns what a client asks for. Identity Service API, "sha256".
func hashOf(medium, address, pepper string) string {
	sum := sha256.Sum256([]byte(address + " " + medium + " " + pepper))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// LookupRequest is the body of POST /lookup.
type LookupRequest struct {
	Algorithm string   `json:"algorithm"`
	Pepper    string   `json:"pepper"`
	Addresses []string `json:"addresses"`
}

// Lookup finds users by what they have published. Errors: M_MISSING_PARAMS, M_INVALID_PARAM, M_INVALID_PEPPER.
func (s *Service) Lookup(ctx context.Context, in LookupRequest) (map[string]id.UserID, error) {
	switch {
	case in.Algorithm == "":
		return nil, missingParam("algorithm")
	case in.Pepper == "":
		return nil, missingParam("pepper")
	case in.Addresses == nil:
		return nil, missingParam("addresses")
	case in.Algorithm != algorithmSHA256 && (in.Algorithm != algorithmNone || !s.PlainLookup):
		return nil, matrixError(400, "M_INVALID_PARAM", "The algorithm is none of those of /hash_details")
	case len(in.Addresses) > maxLookup:
		return nil, matrixError(400, "M_INVALID_PARAM", "At most %d addresses are looked up at once", maxLookup)
	}
	found := make(map[string]id.UserID)
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		clear(found)
		pepper, _, err := tx.Pepper()
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err != nil || pepper != in.Pepper {
			return matrixError(400, "M_INVALID_PEPPER", "Unknown or invalid pepper - has it been rotated?")
		}
		for _, asked := range in.Addresses {
			hash := asked
			if in.Algorithm == algorithmNone {
				address, medium, ok := cutMedium(asked)
				if !ok {
					continue
				}
				hash = hashOf(medium, address, pepper)
			}
			user, err := tx.BindingByHash(hash)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			found[asked] = user
		}
		return nil
	})
	return found, err
}

// cutMedium reads "<address> <medium>", as the algorithm "none" has it.
func cutMedium(asked string) (address, medium string, ok bool) {
	at := strings.LastIndexByte(asked, ' ')
	if at < 0 || !slices.Contains([]string{"email", "msisdn"}, asked[at+1:]) {
		return "", "", false
	}
	address, err := threepid.Normal(asked[at+1:], asked[:at])
	return address, asked[at+1:], err == nil
}
