package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of what one event from elsewhere may make this server ask for and keep.
const (
	maxGapEvents  = 100      // events of a gap before it
	maxAuthFetch  = 5_000    // events of its auth chain that are fetched
	maxStateFetch = 50_000   // events of the state before it, with their auth chain, that are fetched
	maxStateIDs   = 500_000  // and of which another server tells
	maxFetchBytes = 64 << 20 // of all that is fetched
	// maxReceive is how long the events of one call may take: others wait until a server that is slow has answered.
	maxReceive = 2 * time.Minute
)

// budget is how many events may still be fetched.
type budget struct{ auth, state, bytes int }

func newBudget() *budget {
	return &budget{auth: maxAuthFetch, state: maxStateFetch, bytes: maxFetchBytes}
}

// spendBytes takes what was fetched from the budget.
func (b *budget) spendBytes(raws []json.RawMessage) error {
	n := 0
	for _, raw := range raws {
		n += len(raw)
	}
	return spend(&b.bytes, n)
}

// spend takes n events from a part of the budget, unless that has less.
func spend(left *int, n int) error {
	if n > *left {
		return fmt.Errorf("%w: %d, and this server fetches no more than another %d for one event", errMissing, n, *left)
	}
	*left -= n
	return nil
}

// Received is what became of an event from elsewhere.
type Received struct {
	EventID id.EventID
	Status  store.Status // 0: it is in the timeline
	Reason  string       // why it was rejected or soft-failed
	Known   bool         // it was here already
	// Err says why nothing was kept of the event: an *Unacceptable, or something that may be over when it is sent again.
	Err error
}

// Unacceptable is an event that is dropped, however often it comes.
type Unacceptable struct{ Err error }

// Error says what is wrong with the event.
func (u *Unacceptable) Error() string { return "the event is dropped: " + u.Err.Error() }

// Unwrap returns the cause.
func (u *Unacceptable) Unwrap() error { return u.Err }

// errMissing means that an event cannot be judged, because events that it builds on cannot be had.
var errMissing = errors.New("events that it builds on are missing")

// arrival is an event on its way in from elsewhere, and what has been found out about it.
type arrival struct {
	origin string
	roomID id.RoomID
	nid    int64 // of the room
	raw    json.RawMessage
	inGap  bool    // it was fetched to fill a gap: no more gaps are filled for it
	budget *budget // of all that is fetched for it, and for the events of the gap before it

	version *event.RoomVersion
	pdu     *event.PDU
	stored  *store.Event   // the outlier that it is here already
	auth    []*store.Event // its auth events, and the create event
	prevs   []*store.Event // those of its prev_events whose states are known
	gap     bool           // there are others
	remote  *State         // in a gap: the state before it, by word of the other server
	before  State

	status   store.Status
	reason   string
	appended bool // all is done
}

// reject marks the event as not allowed. It is kept all the same, so that what builds on it can be judged.
func (a *arrival) reject(reason string) {
	if a.status == 0 {
		a.status, a.reason = store.Rejected, reason
	}
}

// errDone ends the steps early: all is done for the event.
var errDone = errors.New("done")

// check is one step of receiving an event.
type check struct {
	name string
	run  func(context.Context, *arrival) error
}

// checks are those of Server-Server API, "Checks performed on receipt of a PDU", with what they need. Each is in a file of its own.
func (s *Service) checks() []check {
	return []check{
		{"format", s.receiveFormat},         // 1
		{"signatures", s.receiveSignatures}, // 2
		{"hash", s.receiveHash},             // 3
		{"auth events", s.receiveAuth},      // 4
		{"gap", s.receiveGap},
		{"tip", s.receiveTip},
		{"state before", s.receiveState}, // 5
		{"append", s.receiveAppend},      // 6
	}
}

// Receive takes events of a room that another server, whose name is proven, has sent, in their order. The error is for all of them:
// the room is not known here. What became of each is in the list.
func (s *Service) Receive(ctx context.Context, origin string, roomID id.RoomID, raws []json.RawMessage) ([]Received, error) {
	if known, err := s.knows(ctx, roomID); err != nil {
		return nil, err
	} else if known == nil {
		return nil, matrixError(404, "M_NOT_FOUND", "This server knows no room %s", roomID)
	}
	ctx, cancel := context.WithTimeout(ctx, maxReceive)
	defer cancel()
	unlock, err := s.receiving.lock(ctx, roomID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	all := make([]Received, 0, len(raws))
	for _, raw := range raws {
		all = append(all, s.receive(ctx, &arrival{origin: origin, roomID: roomID, raw: raw, budget: newBudget()}))
	}
	s.collapse(ctx, roomID)
	return all, nil
}

// knows returns the room, or nil when this server has none of this id.
func (s *Service) knows(ctx context.Context, roomID id.RoomID) (*store.Room, error) {
	var r *store.Room
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		r, err = tx.Room(roomID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return r, err
}

// receive runs the checks on one event. The caller holds the room's receiving lock.
func (s *Service) receive(ctx context.Context, a *arrival) Received {
	var out Received
	for range maxAppendTries {
		out = Received{}
		err := s.take(ctx, a)
		if a.pdu != nil {
			out.EventID = a.pdu.EventID
		}
		switch {
		case errors.Is(err, errStale):
			*a = arrival{origin: a.origin, roomID: a.roomID, raw: a.raw, inGap: a.inGap, budget: a.budget}
			out.Err = err
			continue
		case errors.Is(err, store.ErrExists):
			out.Known = true
		case errors.Is(err, errDone) && !a.appended:
			out.Known, out.Status, out.Reason = true, a.stored.Status, a.stored.Reason
		case err != nil && !errors.Is(err, errDone):
			out.Err = err
		default:
			out.Status, out.Reason = a.status, a.reason
		}
		return out
	}
	return out
}

// take runs the checks until one of them ends it.
func (s *Service) take(ctx context.Context, a *arrival) error {
	r, err := s.knows(ctx, a.roomID)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("room %s: %w", a.roomID, store.ErrNotFound)
	}
	a.nid, a.version = r.NID, r.Version
	for _, c := range s.checks() {
		if err := c.run(ctx, a); err != nil {
			if errors.Is(err, errDone) {
				return err
			}
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}
