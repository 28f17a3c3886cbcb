package usersync

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// slidingEvent is an event, or a stub.
type slidingEvent struct {
	clientEvent
	Stub bool `json:"-"`
}

func (e *slidingEvent) UnmarshalJSON(raw []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return err
	}
	e.Stub = keys["content"] == nil
	return json.Unmarshal(raw, &e.clientEvent)
}

type slidingRoomAnswer struct {
	raw map[string]json.RawMessage

	Name          *string
	Avatar        *string
	Heroes        []map[string]string
	IsDM          *bool `json:"is_dm"`
	Initial       bool
	Expanded      bool           `json:"expanded_timeline"`
	OldExpanded   bool           `json:"unstable_expanded_timeline"`
	Required      []slidingEvent `json:"required_state"`
	Timeline      []clientEvent  `json:"timeline"`
	Stripped      []clientEvent  `json:"stripped_state"`
	InviteState   []clientEvent  `json:"invite_state"`
	PrevBatch     string         `json:"prev_batch"`
	Limited       bool           `json:"limited"`
	NumLive       int            `json:"num_live"`
	Joined        *int           `json:"joined_count"`
	Invited       *int           `json:"invited_count"`
	Bump          int64          `json:"bump_stamp"`
	Membership    string         `json:"membership"`
	Lists         []string       `json:"lists"`
	Notifications *int           `json:"notification_count"`
	Highlights    *int           `json:"highlight_count"`
}

func (r *slidingRoomAnswer) UnmarshalJSON(raw []byte) error {
	type plain slidingRoomAnswer
	if err := json.Unmarshal(raw, (*plain)(r)); err != nil {
		return err
	}
	return json.Unmarshal(raw, &r.raw)
}

func (r *slidingRoomAnswer) state() []string {
	var events []clientEvent
	for _, e := range r.Required {
		events = append(events, e.clientEvent)
	}
	return sorted(brief(events))
}

type slidingAnswer struct {
	Pos        string
	TxnID      string `json:"txn_id"`
	Lists      map[string]struct{ Count int }
	Rooms      map[id.RoomID]*slidingRoomAnswer
	Extensions struct {
		AccountData *struct {
			Global []clientEvent
			Rooms  map[id.RoomID][]clientEvent
		} `json:"account_data"`
		Receipts struct {
			Rooms map[id.RoomID]struct {
				Content map[id.EventID]map[string]map[id.UserID]struct{ TS int64 }
			}
		}
		Sticky *struct {
			NextBatch string `json:"next_batch"`
			Rooms     map[id.RoomID]struct{ Events []clientEvent }
		} `json:"org.matrix.msc4354.sticky_events"`
		Typing struct {
			Rooms map[id.RoomID]struct {
				Content struct {
					UserIDs []id.UserID `json:"user_ids"`
				}
			}
		}
	}
}

// device is a client of sliding sync that goes on from each answer.
type device struct {
	w       *world
	user    id.UserID
	name    id.DeviceID
	stable  bool
	timeout time.Duration
	pos     string
}

func (w *world) device(user id.UserID, stable bool) *device {
	return &device{w: w, user: user, name: "D", stable: stable}
}

func (d *device) request(body obj) *SlidingRequest {
	d.w.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.w.t.Fatal(err)
	}
	req, err := ParseSliding(d.user, d.name, d.stable, raw)
	if err != nil {
		d.w.t.Fatal(err)
	}
	req.Pos, req.Timeout = d.pos, d.timeout
	return req
}

func (d *device) try(body obj) (*slidingAnswer, error) {
	d.w.t.Helper()
	res, err := d.w.s.Sliding(context.Background(), d.request(body))
	if err != nil {
		return nil, err
	}
	a := new(slidingAnswer)
	d.w.unmarshal(res.AppendJSON(nil), a)
	if a.Pos != res.Pos {
		d.w.t.Errorf("pos %q, and %q in the answer", res.Pos, a.Pos)
	}
	return a, nil
}

// lost asks, and does not get the answer.
func (d *device) lost(body obj) *slidingAnswer {
	d.w.t.Helper()
	a, err := d.try(body)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return a
}

func (d *device) sync(body obj) *slidingAnswer {
	d.w.t.Helper()
	a := d.lost(body)
	d.pos = a.Pos
	return a
}

func (a *slidingAnswer) room(t testing.TB, p *place) *slidingRoomAnswer {
	t.Helper()
	r := a.Rooms[p.id]
	if r == nil {
		t.Fatalf("the room is not in the answer, but %v", slices.Collect(maps.Keys(a.Rooms)))
	}
	return r
}

func (a *slidingAnswer) none(t testing.TB) {
	t.Helper()
	for roomID, r := range a.Rooms {
		t.Errorf("unexpected news of %s: %s", roomID, r.raw)
	}
}

// all is a request of the stable form with one list of everything.
func all(limit int, include ...obj) obj {
	if include == nil {
		include = []obj{}
	}
	return obj{"lists": obj{"all": obj{"timeline_limit": limit, "required_state": obj{"include": include}}}}
}

// subscribe is a request of the stable form for rooms by their ids.
func subscribe(limit int, required obj, places ...*place) obj {
	subs := obj{}
	for _, p := range places {
		subs[string(p.id)] = obj{"timeline_limit": limit, "required_state": required}
	}
	return obj{"room_subscriptions": subs}
}

// setData sets account data of a user, of a room or of none.
func (w *world) setData(user id.UserID, p *place, dataType, content string) {
	w.t.Helper()
	var roomNID int64
	if p != nil {
		roomNID = p.nid
	}
	var nid, pos int64
	if err := w.db.Write(context.Background(), func(tx *store.Tx) (err error) {
		nid, pos, err = tx.SetAccountData(user, roomNID, dataType, json.RawMessage(content))
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	w.bus.Publish(notify.Signal{Key: notify.Key{Kind: notify.User, NID: nid}, Pos: pos})
}
