package e2ee

import (
	"encoding/json"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// query is one query in its snapshot. It is the place that decides who sees which signatures (Client-Server API, "Key and signature
// security"): what a user's devices, their self-signing key and their master key have signed among their own keys, everybody may see;
// what a user-signing key has signed, only its owner.
type query struct {
	tx    *store.Tx
	who   id.UserID // who asks
	asked map[id.UserID][]id.DeviceID
	users map[int64]id.UserID // those of them who are here
	out   *QueryResponse

	nids    []int64
	self    map[int64]string                 // the self-signing keys
	devices map[int64]map[id.DeviceID]string // signatures of devices by them
}

func (q *query) read() error {
	for nid, user := range q.users {
		q.nids = append(q.nids, nid)
		q.out.DeviceKeys[user] = make(map[id.DeviceID]json.RawMessage)
	}
	slices.Sort(q.nids)
	if err := q.signingKeys(); err != nil {
		return err
	}
	if len(q.self) > 0 {
		q.devices = make(map[int64]map[id.DeviceID]string, len(q.self))
		err := q.tx.DeviceSignaturesOf(q.nids, func(k store.KeySignature) {
			if q.devices[k.UserNID] == nil {
				q.devices[k.UserNID] = make(map[id.DeviceID]string)
			}
			q.devices[k.UserNID][k.DeviceID] = k.Signature
		})
		if err != nil {
			return err
		}
	}
	return q.tx.DeviceKeysOf(q.nids, func(k store.DeviceKeys) {
		if user := q.users[k.UserNID]; isWanted(q.asked[user], k.DeviceID) {
			q.out.DeviceKeys[user][k.DeviceID] = q.device(user, k)
		}
	})
}

// signingKeys reads the cross-signing keys.
func (q *query) signingKeys() error {
	out := q.out
	out.Master, out.SelfSigning, out.UserSigning = make(map[id.UserID]json.RawMessage), make(map[id.UserID]json.RawMessage), make(map[id.UserID]json.RawMessage)
	q.self = make(map[int64]string)
	masters := make(map[int64]json.RawMessage)
	err := q.tx.CrossSigningKeysOf(q.nids, func(k store.CrossSigningKey) {
		switch user := q.users[k.UserNID]; k.Usage {
		case store.UsageMaster:
			masters[k.UserNID] = k.JSON
		case store.UsageSelfSigning:
			q.self[k.UserNID], out.SelfSigning[user] = k.PublicKey, k.JSON
		case store.UsageUserSigning:
			if user == q.who {
				out.UserSigning[user] = k.JSON
			}
		}
	})
	if err != nil || len(masters) == 0 {
		return err
	}
	if err := q.signMasters(masters); err != nil {
		return err
	}
	for nid, master := range masters {
		out.Master[q.users[nid]] = master
	}
	return nil
}

// signMasters adds to master keys the signatures by their owners' devices, and those by the user-signing key of the user who asks.
func (q *query) signMasters(masters map[int64]json.RawMessage) error {
	add := func(nid int64, signer id.UserID, keyID, signature string) {
		if master := masters[nid]; master != nil {
			masters[nid] = event.AddSignature(master, string(signer), keyID, signature)
		}
	}
	err := q.tx.MasterSignaturesOf(q.nids, func(k store.KeySignature) {
		add(k.UserNID, q.users[k.UserNID], keyID(k.DeviceID), k.Signature)
	})
	if err != nil {
		return err
	}
	whoNID, err := q.tx.LookupNID(string(q.who))
	if err != nil || whoNID == 0 {
		return err
	}
	own, err := q.tx.CrossSigningKeys(whoNID)
	key, has := own[store.UsageUserSigning]
	if err != nil || !has {
		return err
	}
	return q.tx.UserSignaturesBy(whoNID, q.nids, func(k store.KeySignature) {
		add(k.UserNID, q.who, signingAlgorithm+key.PublicKey, k.Signature)
	})
}

// device returns the identity keys of a device, with the signature by the self-signing key and what the server adds.
func (q *query) device(user id.UserID, k store.DeviceKeys) json.RawMessage {
	if signature, signed := q.devices[k.UserNID][k.DeviceID]; signed {
		k.JSON = event.AddSignature(k.JSON, string(user), signingAlgorithm+q.self[k.UserNID], signature)
	}
	return withName(k)
}

func isWanted(wanted []id.DeviceID, device id.DeviceID) bool {
	return len(wanted) == 0 || slices.Contains(wanted, device)
}

// withName returns identity keys with what the server adds to them.
func withName(k store.DeviceKeys) json.RawMessage {
	if k.DisplayName == "" {
		return k.JSON
	}
	name, err := json.Marshal(k.DisplayName)
	if err != nil {
		return k.JSON // text can always be marshalled
	}
	keys := append([]byte(nil), k.JSON[:len(k.JSON)-1]...)
	keys = append(keys, `,"unsigned":{"device_display_name":`...)
	return append(append(keys, name...), `}}`...)
}
