package room

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// head is the tip of a room in memory: what the next event is built on. It runs ahead of the database by the events whose
// commit is under way, so that a room can have many in flight.
type head struct {
	roomID  id.RoomID
	version *event.RoomVersion
	nid     int64 // set when loaded, or by the writer for a new room

	create    bool // the room is new: its row is written with its first events
	published bool // of a new room: in the room directory

	// These are guarded by Service.mu.
	refs   int           // users and pending writes
	usedTS int64         // when refs became 0
	idle   *list.Element // the place in Service.idle, while nobody uses the head
	kept   int           // what Service.kept has of bytes

	bytes atomic.Int64 // about what the head takes of memory; set by weigh

	generation int64 // of the database, when the head was made

	failed atomic.Bool // a write failed: what is here is not what is stored, and nothing may build on it

	mu     sync.Mutex // guards all below
	newest *outcome   // of the newest write
	loaded bool
	tips   []*entry                      // forward extremities
	last   *entry                        // its stateAfter is the current state
	state  map[eventauth.StateKey]*entry // as far as it was asked for; nil: known to be absent. See keep
	places int                           // about how many bytes state takes

	annotations map[annotation]*outcome // that are on their way
	making      *outcome                // of the events that are being built, nil when none are

	recent     map[store.Txn]receipt // of one event each
	recentKeys []store.Txn           // oldest first

	recentBytes int // about what they take
}

// entry is an event on its way into the database or out of it. The writer alone sets and reads the integers; they are set
// anew when a transaction is run again.
type entry struct {
	pdu        *event.PDU
	nid        int64
	stateAfter int64
	memberNID  int64 // of an m.room.member event: the user whose membership it is

	received bool      // from elsewhere
	silent   bool      // see draft.Silent
	auth     []*entry  // of a state event: its auth events
	authNIDs []int64   // and those that are stored
	after    *entry    // the event that this one's state builds on
	prevs    []*entry  // the extremities that it takes the place of
	replaces *entry    // the state event whose place it takes
	txn      store.Txn // what it was sent under; without an ID, nothing
	redacts  *redaction

	outcome *outcome // of its write; nil when it came from the database
}

// maxRecent bounds the transaction ids that a room in memory remembers. They outlast the writing of their events: a repeat may have
// asked the database just before.
const maxRecent = 256

// remember keeps the transaction id of an event that is on its way, so that a repeat finds it before it is stored. The caller
// holds h.mu.
func (h *head) remember(e *entry) {
	if e.txn.ID == "" {
		return
	}
	if h.recent == nil {
		h.recent = make(map[store.Txn]receipt)
	}
	k := e.txn
	h.recentBytes += txnWeight(k)
	h.recent[k] = receipt{ids: []id.EventID{e.pdu.EventID}, outcome: e.outcome}
	h.recentKeys = append(h.recentKeys, k)
	if len(h.recentKeys) > maxRecent {
		h.recentBytes -= txnWeight(h.recentKeys[0])
		delete(h.recent, h.recentKeys[0])
		h.recentKeys = h.recentKeys[1:]
	}
}

// repeated returns what became of the event that was sent of late under the draft's transaction id. The caller holds h.mu.
func (h *head) repeated(d draft) (r receipt, ok bool) {
	if d.TxnID != "" {
		r, ok = h.recent[d.txn(h.roomID)]
	}
	return r, ok
}

// load reads the tip from the database. The caller holds h.mu.
func (h *head) load(ctx context.Context, db *store.DB) error {
	if h.loaded {
		return nil
	}
	err := db.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Room(h.roomID)
		if err != nil {
			return err
		}
		tips, err := tx.Extremities(r.NID)
		if err != nil {
			return err
		}
		h.nid, h.version = r.NID, r.Version
		h.tips = h.tips[:0]
		for _, e := range tips {
			h.tips = append(h.tips, &entry{pdu: e.PDU, nid: e.NID, stateAfter: e.StateAfter})
		}
		h.last = &entry{stateAfter: r.StateID}
		h.state, h.places = make(map[eventauth.StateKey]*entry), 0
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		h.failed.Store(true)   // it goes with its last user
		return notIn(h.roomID) // whether a room exists is its members' business
	}
	h.loaded = err == nil
	h.weigh()
	return err
}

// need brings the given places of the current state into memory. The caller holds h.mu.
func (h *head) need(ctx context.Context, db *store.DB, keys []eventauth.StateKey) error {
	defer h.weigh()
	var missing []eventauth.StateKey
	for _, k := range keys {
		// What a client's content names may be longer than any state key is, and is not kept.
		if _, ok := h.state[k]; !ok && len(k.Key) <= event.MaxFieldBytes {
			missing = append(missing, k)
		}
	}
	if h.create { // nothing is stored yet
		for _, k := range missing {
			h.keep(k, nil)
		}
		return nil
	}
	if len(missing) == 0 {
		return nil
	}
	// A place that is not in memory has no event in flight, so what is stored is the current state.
	return db.View(ctx, func(tx *store.Tx) error {
		for _, k := range missing {
			e, err := tx.CurrentStateEvent(h.nid, k.Type, k.Key)
			switch {
			case errors.Is(err, store.ErrNotFound):
				h.keep(k, nil)
			case err != nil:
				return err
			default:
				h.keep(k, &entry{pdu: e.PDU, nid: e.NID, stateAfter: e.StateAfter})
			}
		}
		return nil
	})
}

// Get implements eventauth.State over what need has brought.
func (h *head) Get(k eventauth.StateKey) *event.PDU {
	if e := h.state[k]; e != nil {
		return e.pdu
	}
	return nil
}

var createKey = eventauth.StateKey{Type: event.TypeCreate}

var powerKey = eventauth.StateKey{Type: event.TypePowerLevels}

func memberKey(user id.UserID) eventauth.StateKey {
	return eventauth.StateKey{Type: event.TypeMember, Key: string(user)}
}
