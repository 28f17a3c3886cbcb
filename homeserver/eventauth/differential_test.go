//go:build goexperiment.jsonv2 || go1.27

package eventauth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/federation/eventauth"
	"maunium.net/go/mautrix/federation/pdu"
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	ours "causeway/homeserver/eventauth"
)

// How many rooms of each version, and events for each room.
const (
	worldsPerVersion = 110
	eventsPerWorld   = 30
)

// trial is one event that both implementations have judged.
type trial struct {
	w            *world
	p            *event.PDU
	auth         ours.StateMap // what it was judged by
	byAuthEvents bool          // its own auth events are part of the question
	ours, theirs error
}

// TestDifferential compares our rules with those of mautrix-go on events that a generator makes: lawful ones and others, in rooms of
// every version, by the room's state and by auth events that they name. Where the two differ, differences must say why.
func TestDifferential(t *testing.T) {
	pdu.UseInternalMetaForGetEventID = true
	t.Cleanup(func() { pdu.UseInternalMetaForGetEventID = false })
	used := make(map[string]int)
	for _, v := range event.Versions() {
		t.Run(v.ID, func(t *testing.T) {
			allowed, denied, failures := 0, 0, 0
			for seed := range uint64(worldsPerVersion) {
				w := newWorld(t, v, seed)
				for range eventsPerWorld {
					trial := w.judge(w.candidate())
					if trial.ours == nil {
						allowed++
					} else {
						denied++
					}
					if (trial.ours == nil) == (trial.theirs == nil) {
						continue
					}
					if name := trial.explanation(); name != "" {
						used[name]++
					} else if failures++; failures <= 3 {
						t.Errorf("%s", trial)
					}
				}
			}
			// A generator of which all events meet the same end would compare nothing.
			if least := worldsPerVersion * eventsPerWorld / 10; allowed < least || denied < least {
				t.Errorf("got %d events allowed and %d denied, want more of both", allowed, denied)
			}
			t.Logf("%d allowed, %d denied", allowed, denied)
		})
	}
	for _, d := range differences {
		if used[d.name] == 0 {
			t.Errorf("the difference %q is none any more", d.name)
		}
		t.Logf("%5d × %s", used[d.name], d.name)
	}
}

// judge lets both implementations decide about p.
func (w *world) judge(p *event.PDU) trial {
	trial := trial{w: w, p: p, auth: make(ours.StateMap), byAuthEvents: w.IntN(2) == 0}
	var rejected id.EventID
	var listed []*event.PDU
	if trial.byAuthEvents {
		p, listed = w.withAuthEvents(p)
		trial.p = p
		w.sometimes(20, func() { rejected = pick(w, append([]*event.PDU{w.create}, listed...)...).EventID })
	} else {
		for _, k := range ours.NeededBy(p) {
			if e := w.state.Get(k); e != nil {
				listed = append(listed, e)
			}
		}
	}
	for _, e := range listed {
		if e.StateKey != nil {
			trial.auth[ours.StateKey{Type: e.Type, Key: *e.StateKey}] = e
		}
	}
	if w.v.RoomIDIsCreateHash {
		trial.auth[ours.StateKey{Type: event.TypeCreate}] = w.create
	}
	isRejected := func(eventID id.EventID) bool { return eventID == rejected }
	if p.Type == event.TypeMember && p.ContentValue("join_authorised_via_users_server") != nil {
		trial.ours = event.CheckSignatures(p, w.ourKeys)
	}
	if trial.ours == nil && trial.byAuthEvents {
		trial.ours = ours.CheckAuthEvents(p, listed, isRejected)
	}
	if trial.ours == nil {
		trial.ours = ours.Check(p, trial.auth)
	}
	trial.theirs = w.askThem(trial, listed, isRejected)
	return trial
}

func (w *world) askThem(tr trial, listed []*event.PDU, rejected func(id.EventID) bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanicked, r)
		}
	}()
	known := map[id.EventID]*pdu.PDU{w.create.EventID: w.theirForm(w.create, rejected(w.create.EventID))}
	precomputed := []*pdu.PDU{}
	for _, e := range listed {
		form := w.theirForm(e, rejected(e.EventID))
		known[e.EventID] = form
		precomputed = append(precomputed, form)
	}
	if tr.byAuthEvents {
		precomputed = nil
	}
	get := func(ids []id.EventID) ([]*pdu.PDU, error) {
		found := make([]*pdu.PDU, len(ids))
		for i, eventID := range ids {
			found[i] = known[eventID]
		}
		return found, nil
	}
	return eventauth.Authorize(id.RoomVersion(w.v.ID), w.theirForm(tr.p, false), precomputed, get, w.theirKeys)
}

var errPanicked = errors.New("panicked")

func (w *world) ourKeys(server, keyID string) (ed25519.PublicKey, int64, bool) {
	key := w.keys[server]
	if key == nil || key.KeyID != keyID {
		return nil, 0, false
	}
	return key.Private.Public().(ed25519.PublicKey), 1<<53 - 1, true
}

func (w *world) theirKeys(server string, keyID id.KeyID, _ time.Time) (id.SigningKey, time.Time, error) {
	pub, until, ok := w.ourKeys(server, string(keyID))
	if !ok {
		return "", time.Time{}, nil
	}
	return id.SigningKey(base64.RawStdEncoding.EncodeToString(pub)), time.UnixMilli(until), nil
}

func encode(key *event.Key) string {
	return base64.RawStdEncoding.EncodeToString(key.Private.Public().(ed25519.PublicKey))
}

// theirForm returns p as mautrix-go has it. References of versions 1 and 2 become plain IDs, which are all that its rules know.
func (w *world) theirForm(p *event.PDU, rejected bool) *pdu.PDU {
	form := w.theirs[p]
	if form == nil {
		form = theirForm(w.t, p)
		w.theirs[p] = form
	}
	marked := *form
	marked.InternalMeta.Rejected = rejected
	return &marked
}

func theirForm(t *testing.T, p *event.PDU) *pdu.PDU {
	t.Helper()
	raw := p.JSON()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	if p.Version.ReferencePairs {
		for key, ids := range map[string][]id.EventID{"prev_events": p.PrevEvents, "auth_events": p.AuthEvents} {
			plain, err := json.Marshal(append([]id.EventID{}, ids...))
			if err != nil {
				t.Fatal(err)
			}
			fields[key] = plain
		}
	}
	if p.RoomID != "" && p.HasRoomID() {
		fields["room_id"], _ = json.Marshal(p.RoomID) // a test may have moved the event
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	var form pdu.PDU
	if err := json.Unmarshal(raw, &form); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	form.InternalMeta = pdu.InternalMeta{EventID: p.EventID}
	return &form
}

// String shows the trial to whoever has to find out who is right.
func (tr trial) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "room version %s, by auth events %v\n  ours: %v\n  theirs: %v\n  event: %s\n", tr.w.v.ID, tr.byAuthEvents, tr.ours, tr.theirs, tr.p.JSON())
	var lines []string
	for _, e := range tr.auth {
		key, _ := json.Marshal(e.StateKey)
		lines = append(lines, fmt.Sprintf("  auth: %s %s by %s: %s\n", e.Type, key, e.Sender, e.Content))
	}
	slices.Sort(lines)
	return s.String() + strings.Join(lines, "")
}
