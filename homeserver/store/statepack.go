package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// StateNID is a type and a state key as integers. It is an alias, so that a StateSet can be converted to what package stateres
// works on.
type StateNID = struct{ Type, Key int64 }

// StateSet maps what a state holds to the events that hold it. As a change of a state, an event 0 takes the place away.
type StateSet map[StateNID]int64

var errBadStateSet = errors.New("a state set's entries are damaged")

// packState packs entries: sorted by type and key, each as varints of the step of the type, the key (its step within a type) and
// the step of the event.
func packState(entries StateSet) []byte {
	keys := make([]StateNID, 0, len(entries))
	for k := range entries {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareStateNID)
	b := make([]byte, 0, 6*len(keys))
	var last StateNID
	var lastEvent int64
	for _, k := range keys {
		if k.Type != last.Type {
			last.Key = 0
		}
		b = binary.AppendUvarint(b, uint64(k.Type-last.Type))
		b = binary.AppendUvarint(b, uint64(k.Key-last.Key))
		b = binary.AppendVarint(b, entries[k]-lastEvent)
		last, lastEvent = k, entries[k]
	}
	return b
}

func compareStateNID(a, b StateNID) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
}

// unpackState calls visit for the entries in their order, until it returns false.
func unpackState(packed []byte, visit func(StateNID, int64) bool) error {
	var k StateNID
	var event int64
	for len(packed) > 0 {
		typeStep, n := binary.Uvarint(packed)
		if n <= 0 {
			return errBadStateSet
		}
		packed = packed[n:]
		keyStep, n := binary.Uvarint(packed)
		if n <= 0 {
			return errBadStateSet
		}
		packed = packed[n:]
		eventStep, n := binary.Varint(packed)
		if n <= 0 {
			return errBadStateSet
		}
		packed = packed[n:]
		if typeStep != 0 {
			k.Key = 0
		}
		k.Type += int64(typeStep)
		k.Key += int64(keyStep)
		event += eventStep
		if !visit(k, event) {
			return nil
		}
	}
	return nil
}

// packInts packs integers in the order of their size, as varints of the steps between them.
func packInts(nids []int64) []byte {
	sorted := slices.Clone(nids)
	slices.Sort(sorted)
	b := make([]byte, 0, 4*len(sorted))
	var last int64
	for _, n := range slices.Compact(sorted) {
		b = binary.AppendUvarint(b, uint64(n-last))
		last = n
	}
	return b
}

var errBadInts = errors.New("packed integers are damaged")

func unpackInts(packed []byte) ([]int64, error) {
	var all []int64
	var last int64
	for len(packed) > 0 {
		step, n := binary.Uvarint(packed)
		if n <= 0 {
			return nil, errBadInts
		}
		last += int64(step)
		all, packed = append(all, last), packed[n:]
	}
	return all, nil
}

// stateHash is the address of a state set: the sum of a keyed hash of each of its entries, so that a change of one entry changes
// it without a look at the others. The key is this database's secret: sums of hashes that others can compute could be steered.
type stateHash [2]uint64

// stateKey keys the hashes of a database's state sets.
type stateKey [16]byte

func (key *stateKey) entry(k StateNID, event int64) stateHash {
	var b [40]byte
	copy(b[:], key[:])
	binary.BigEndian.PutUint64(b[16:], uint64(k.Type))
	binary.BigEndian.PutUint64(b[24:], uint64(k.Key))
	binary.BigEndian.PutUint64(b[32:], uint64(event))
	sum := sha256.Sum256(b[:])
	return stateHash{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// change returns the address of a set whose place k goes from event old to event now; 0 is none.
func (key *stateKey) change(h stateHash, k StateNID, old, now int64) stateHash {
	if old != 0 {
		e := key.entry(k, old)
		h[0], h[1] = h[0]-e[0], h[1]-e[1]
	}
	if now != 0 {
		e := key.entry(k, now)
		h[0], h[1] = h[0]+e[0], h[1]+e[1]
	}
	return h
}

func (key *stateKey) whole(set StateSet) (h stateHash) {
	for k, event := range set {
		h = key.change(h, k, 0, event)
	}
	return h
}

func (h stateHash) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h[0]), h[1])
}

func readStateHash(b []byte) (h stateHash, err error) {
	if len(b) != 16 {
		return h, errBadStateSet
	}
	return stateHash{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}
