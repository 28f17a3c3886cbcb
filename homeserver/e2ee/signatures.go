package e2ee

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxSignedKeys is how many keys one request can have signatures of.
const maxSignedKeys = 1000

// SignaturesRequest is the body of POST /keys/signatures/upload: signed keys, by user and by device or public key.
type SignaturesRequest map[id.UserID]map[string]json.RawMessage

// SignaturesResponse is its answer.
type SignaturesResponse struct {
	Failures map[id.UserID]map[string]failure `json:"failures"`
}

// fail notes why the signatures of a key were not stored.
func (r *SignaturesResponse) fail(user id.UserID, name string, why error) {
	var e mautrix.RespError
	if !errors.As(why, &e) {
		e = mautrix.RespError{ErrCode: "M_UNKNOWN", Err: "The signature could not be verified"}
	}
	if r.Failures[user] == nil {
		r.Failures[user] = make(map[string]failure)
	}
	r.Failures[user][name] = failure{Code: e.ErrCode, Err: e.Err}
}

// UploadSignatures takes signatures by a user: of their devices by their self-signing key, of their master key by their devices, of others'
// master keys by their user-signing key (Client-Server API, POST /keys/signatures/upload). Each is verified. What is signed must be the key
// that is here. Errors: M_TOO_LARGE; those that concern one key are in the answer.
func (s *Service) UploadSignatures(ctx context.Context, user id.UserID, in SignaturesRequest) (SignaturesResponse, error) {
	out := SignaturesResponse{Failures: make(map[id.UserID]map[string]failure)}
	n := 0
	for _, keys := range in {
		n += len(keys)
	}
	if n > maxSignedKeys {
		return out, tooLarge("A request can have signatures of %d keys", maxSignedKeys)
	}
	j := &judge{user: user, in: in}
	// Verifying takes time: the transaction that stores the signatures only looks whether the keys are still those.
	if err := s.db.View(ctx, j.read); err != nil {
		return out, fmt.Errorf("read the keys that %s signed: %w", user, err)
	}
	verdicts := j.verdicts(&out)
	if len(verdicts) == 0 {
		return out, nil
	}
	var (
		signals []notify.Signal
		stale   []verdict
	)
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if _, err := holder(tx, user); err != nil {
			return err
		}
		now := &judge{user: user, in: in}
		if err := now.read(tx); err != nil {
			return err
		}
		signals, stale, err = now.store(tx, verdicts)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("store signatures by %s: %w", user, err)
	}
	for _, v := range stale {
		out.fail(v.user, v.name, keyNotFound("The key is another one by now"))
	}
	s.bus.Publish(signals...)
	return out, nil
}

// judge has the keys that signatures are of, and by.
type judge struct {
	user id.UserID
	in   SignaturesRequest

	nids    map[id.UserID]int64
	own     map[string]store.CrossSigningKey // the user's, by usage
	masters map[int64]store.CrossSigningKey  // of the users who are named
	devices map[id.DeviceID]json.RawMessage  // the user's
	had     map[string]string                // the signatures that are there, by verdict.place
}

// verdict is a signature that has been found right.
type verdict struct {
	user      id.UserID   // whose key is signed
	name      string      // of the signed key
	device    id.DeviceID // which is signed or, when it is the user's master key, has signed; "" for another's master key
	signature string
	of, by    []byte // the two keys, as they are stored
}

// place is where the signature belongs.
func (v verdict) place(nid int64) string { return fmt.Sprintf("%d %s", nid, v.device) }

// read reads the keys that the request names, and those that may have signed them.
func (j *judge) read(tx *store.Tx) error {
	j.nids, j.masters = make(map[id.UserID]int64), make(map[int64]store.CrossSigningKey)
	j.devices, j.had = make(map[id.DeviceID]json.RawMessage), make(map[string]string)
	own, err := tx.LookupNID(string(j.user))
	if err != nil {
		return err
	}
	if j.own, err = tx.CrossSigningKeys(own); err != nil {
		return err
	}
	j.nids[j.user] = own
	var others []int64
	for user := range j.in {
		nid, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		if nid != 0 && nid != own {
			j.nids[user] = nid
			others = append(others, nid)
		}
	}
	if err := tx.CrossSigningKeysOf(others, func(k store.CrossSigningKey) {
		if k.Usage == store.UsageMaster {
			j.masters[k.UserNID] = k
		}
	}); err != nil {
		return err
	}
	had := func(k store.KeySignature) { j.had[verdict{device: k.DeviceID}.place(k.UserNID)] = k.Signature }
	if err := tx.UserSignaturesBy(own, others, had); err != nil || len(j.in[j.user]) == 0 {
		return err
	}
	return j.readOwn(tx, own)
}

// readOwn reads the user's devices.
func (j *judge) readOwn(tx *store.Tx, own int64) error {
	if err := tx.DeviceKeysOf([]int64{own}, func(k store.DeviceKeys) { j.devices[k.DeviceID] = k.JSON }); err != nil {
		return err
	}
	if err := tx.DeviceSignaturesOf([]int64{own}, func(k store.KeySignature) { j.had["device "+string(k.DeviceID)] = k.Signature }); err != nil {
		return err
	}
	return tx.MasterSignaturesOf([]int64{own}, func(k store.KeySignature) { j.had["master "+string(k.DeviceID)] = k.Signature })
}

// verdicts returns the signatures that are right, in an order that depends on nothing but them.
func (j *judge) verdicts(out *SignaturesResponse) (all []verdict) {
	for _, user := range slices.Sorted(maps.Keys(j.in)) {
		for _, name := range slices.Sorted(maps.Keys(j.in[user])) {
			some, err := j.verdict(user, name, j.in[user][name])
			if err != nil {
				out.fail(user, name, err)
			}
			all = append(all, some...)
		}
	}
	return all
}

// verdict judges the signatures of one key.
func (j *judge) verdict(user id.UserID, name string, raw json.RawMessage) ([]verdict, error) {
	s, err := readSigned(raw, j.user)
	if err != nil {
		return nil, err
	}
	v := verdict{user: user, name: name}
	if user != j.user {
		master, has := j.masters[j.nids[user]]
		if !has || master.PublicKey != name {
			return nil, keyNotFound("This is not the master key of that user")
		}
		v.of = master.JSON
		return j.signedBy(v, s, store.UsageUserSigning)
	}
	if name == j.own[store.UsageMaster].PublicKey && name != "" {
		v.of = j.own[store.UsageMaster].JSON
		return j.byDevices(v, s)
	}
	device, has := j.devices[id.DeviceID(name)]
	if !has {
		return nil, keyNotFound("There is no such device with keys, and the master key is another")
	}
	v.device, v.of = id.DeviceID(name), device
	return j.signedBy(v, s, store.UsageSelfSigning)
}

// signedBy returns the signature by a cross-signing key of the user.
func (j *judge) signedBy(v verdict, s signed, usage string) ([]verdict, error) {
	key, has := j.own[usage]
	if !has {
		return nil, keyNotFound("You have no %s key", usage)
	}
	if err := v.sameAs(s); err != nil {
		return nil, err
	}
	name := signingAlgorithm + key.PublicKey
	if _, right := s.by(name, publicKey(key.PublicKey)); !right {
		return nil, invalidSignature("The key is not signed by your %s key", usage)
	}
	v.signature, v.by = s.signatures[name], key.JSON
	return []verdict{v}, nil
}

// byDevices returns the signatures of the user's master key by devices. One that is wrong, or by what is no device, is a failure of all.
func (j *judge) byDevices(v verdict, s signed) (all []verdict, err error) {
	if err := v.sameAs(s); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.signatures)) {
		v.device = id.DeviceID(strings.TrimPrefix(name, signingAlgorithm))
		stored, has := j.devices[v.device]
		if !has || keyID(v.device) != name {
			return nil, invalidSignature("No device of yours has the key %s", name)
		}
		keys, err := storedDeviceKeys(By{User: j.user, Device: v.device}, stored)
		if err != nil {
			return nil, err
		}
		if _, right := s.by(name, keys.key); !right {
			return nil, invalidSignature("The signature by %s is wrong", v.device)
		}
		v.signature, v.by = s.signatures[name], stored
		all = append(all, v)
	}
	if len(all) == 0 {
		return nil, invalidSignature("The master key is not signed by a device of yours")
	}
	return all, nil
}

// sameAs tells whether what was signed is the key that is stored.
func (v verdict) sameAs(s signed) error {
	if !bytes.Equal(event.SignedPart(v.of), s.part) {
		return invalidSignature("What is signed is not the key that is here")
	}
	return nil
}

// store stores the signatures whose keys are still those. Those that are not are returned.
func (j *judge) store(tx *store.Tx, verdicts []verdict) (signals []notify.Signal, stale []verdict, err error) {
	own := j.nids[j.user]
	visible, about := false, []int64(nil)
	for _, v := range verdicts {
		switch place, ok := j.still(v); {
		case !ok:
			stale = append(stale, v)
		case j.had[place] == v.signature:
		case v.user != j.user:
			about = append(about, j.nids[v.user])
			err = tx.SignUser(own, j.nids[v.user], v.signature)
		case v.name == j.own[store.UsageMaster].PublicKey:
			visible = true
			err = tx.SignMaster(own, v.device, v.signature)
		default:
			visible = true
			err = tx.SignDevice(own, v.device, v.signature)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if visible {
		if signals, err = tell(tx, own, true, nil); err != nil {
			return nil, nil, err
		}
	}
	if len(about) > 0 {
		more, err := tell(tx, own, false, about)
		return append(signals, more...), stale, err
	}
	return signals, stale, nil
}

// still tells whether the keys of a verdict are those that are there, and where the signature of it would be.
func (j *judge) still(v verdict) (place string, ok bool) {
	switch {
	case v.user != j.user:
		nid := j.nids[v.user]
		return v.place(nid), bytes.Equal(j.masters[nid].JSON, v.of) && bytes.Equal(j.own[store.UsageUserSigning].JSON, v.by)
	case v.name == j.own[store.UsageMaster].PublicKey:
		return "master " + string(v.device), bytes.Equal(j.own[store.UsageMaster].JSON, v.of) && bytes.Equal(j.devices[v.device], v.by)
	default:
		return "device " + string(v.device), bytes.Equal(j.devices[v.device], v.of) && bytes.Equal(j.own[store.UsageSelfSigning].JSON, v.by)
	}
}

func keyNotFound(format string, args ...any) error {
	return matrixError(http.StatusNotFound, "M_NOT_FOUND", format, args...)
}
