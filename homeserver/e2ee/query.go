package e2ee

import (
	"context"
	"encoding/json"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on what one request asks of others' keys.
const (
	maxQueriedUsers   = 20_000
	maxQueriedDevices = 100_000
	maxClaims         = 10_000
)

// Failures say why the keys of other servers' users are not in an answer, by server.
type Failures map[string]failure

type failure struct {
	Code string `json:"errcode"`
	Err  string `json:"error"`
}

// unreachable is what is said of every other server, until this one speaks with others.
var unreachable = failure{Code: "M_UNREACHABLE", Err: "This server does not speak with other servers"}

// QueryRequest is the body of POST /keys/query. Nobody has to be waited for, so the timeout counts for nothing.
type QueryRequest struct {
	DeviceKeys map[id.UserID][]id.DeviceID `json:"device_keys"` // no devices: all of them
}

// QueryResponse is its answer.
type QueryResponse struct {
	DeviceKeys  map[id.UserID]map[id.DeviceID]json.RawMessage `json:"device_keys"`
	Master      map[id.UserID]json.RawMessage                 `json:"master_keys"`
	SelfSigning map[id.UserID]json.RawMessage                 `json:"self_signing_keys"`
	UserSigning map[id.UserID]json.RawMessage                 `json:"user_signing_keys"` // of the user who asks
	Failures    Failures                                      `json:"failures"`
}

// Query returns the identity keys of users' devices and their cross-signing keys, with the signatures that the user who asks may see
// (Client-Server API, POST /keys/query). A user without keys has an empty object, and one who does not exist none. Errors:
// M_MISSING_PARAM, M_TOO_LARGE.
func (s *Service) Query(ctx context.Context, who id.UserID, in QueryRequest) (QueryResponse, error) {
	out := QueryResponse{DeviceKeys: make(map[id.UserID]map[id.DeviceID]json.RawMessage), Failures: Failures{}}
	if in.DeviceKeys == nil {
		return out, matrixError(400, "M_MISSING_PARAM", "Missing device_keys")
	}
	devices := 0
	for _, wanted := range in.DeviceKeys {
		devices += len(wanted)
	}
	if len(in.DeviceKeys) > maxQueriedUsers || devices > maxQueriedDevices {
		return out, tooLarge("A query can name %d users and %d devices", maxQueriedUsers, maxQueriedDevices)
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		users, err := s.localUsers(tx, in.DeviceKeys, out.Failures)
		if err != nil {
			return err
		}
		q := &query{tx: tx, who: who, asked: in.DeviceKeys, users: users, out: &out}
		return q.read()
	})
	if err != nil {
		return out, fmt.Errorf("query device keys: %w", err)
	}
	return out, nil
}

// localUsers returns those of the users asked for who have an account here, by their integers, and notes the servers of the others.
func (s *Service) localUsers(tx *store.Tx, asked map[id.UserID][]id.DeviceID, failures Failures) (map[int64]id.UserID, error) {
	users := make(map[int64]id.UserID, len(asked))
	nids := make([]int64, 0, len(asked))
	for user := range asked {
		server, local := s.local(user)
		if !local {
			if server != "" {
				failures[server] = unreachable
			}
			continue
		}
		nid, err := tx.LookupNID(string(user))
		if err != nil {
			return nil, err
		}
		if nid != 0 {
			users[nid] = user
			nids = append(nids, nid)
		}
	}
	have, err := tx.Accounts(nids)
	for nid := range users {
		if !have[nid] {
			delete(users, nid)
		}
	}
	return users, err
}
