package usersync

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// world is a server of nothing but rows: rooms are made by writing events straight into the store.
type world struct {
	t   testing.TB
	db  *store.DB
	bus *notify.Local
	s   *Service
	key *event.Key
	now int64 // the clock of events, in milliseconds
}

const (
	alice = id.UserID("@alice:test")
	bob   = id.UserID("@bob:test")
	carol = id.UserID("@carol:test")
)

// each runs a test in a fresh world on each engine.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newWorld(t, db)) })
}

func newWorld(t testing.TB, db *store.DB) *world {
	w := &world{t: t, db: db, bus: new(notify.Local), now: 1_000_000}
	w.key = &event.Key{ServerName: "test", KeyID: "ed25519:t", Private: ed25519.NewKeyFromSeed(make([]byte, 32))}
	w.s = New(Config{DB: db, Bus: w.bus, Now: func() time.Time { return time.UnixMilli(2_000_000) }})
	return w
}

// place is a room under construction.
type place struct {
	w       *world
	id      id.RoomID
	nid     int64
	last    *store.Event
	state   map[[2]string]*store.Event
	stateID int64
	depth   int64
}

type say struct {
	sender      id.UserID
	eventType   string
	key         *string
	content     any
	device, txn string
	redacts     id.EventID
}

func key(s string) *string { return &s }

type obj = map[string]any

// room makes a room with a create event that holds create, its creator in it, and a history visibility unless that is "".
func (w *world) room(creator id.UserID, visibility string, create ...obj) *place {
	w.t.Helper()
	p := &place{w: w, state: make(map[[2]string]*store.Event)}
	content := obj{"room_version": "12", "n": w.now}
	for _, more := range create {
		maps.Copy(content, more)
	}
	p.send(say{sender: creator, eventType: event.TypeCreate, key: key(""), content: content})
	p.member(creator, creator, "join")
	if visibility != "" {
		p.set(creator, event.TypeHistoryVisibility, "", obj{"history_visibility": visibility})
	}
	return p
}

// send writes an event as the room service does, and rings the bells.
func (p *place) send(s say) *store.Event {
	p.w.t.Helper()
	var prevs []id.EventID
	if p.last != nil {
		prevs = []id.EventID{p.last.EventID}
	}
	pdu := p.build(s, prevs...)
	p.id = pdu.RoomID
	var row store.Event
	err := p.w.db.Write(context.Background(), func(tx *store.Tx) error {
		row = store.Event{PDU: pdu, TxnDevice: s.device, TxnID: s.txn}
		return p.write(tx, &row)
	})
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.last, p.stateID = &row, row.StateAfter
	if s.key != nil {
		p.state[[2]string{s.eventType, *s.key}] = &row
	}
	p.ring(&row)
	return &row
}

// build makes an event that comes after others.
func (p *place) build(s say, prevs ...id.EventID) *event.PDU {
	p.w.t.Helper()
	version, err := event.LookupVersion("12")
	if err != nil {
		p.w.t.Fatal(err)
	}
	content, err := json.Marshal(s.content)
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.w.now += 1000
	p.depth++
	b := event.Builder{
		RoomID: p.id, Sender: s.sender, Type: s.eventType, StateKey: s.key, Content: content, Redacts: s.redacts, PrevEvents: prevs,
		Depth: p.depth, OriginServerTS: p.w.now,
	}
	pdu, err := b.Build(version, p.w.key)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return pdu
}

func (p *place) write(tx *store.Tx, row *store.Event) (err error) {
	if p.nid == 0 {
		if p.nid, err = tx.InsertRoom(p.id, row.Version, false); err != nil {
			return err
		}
	}
	if row.NID, err = tx.NextPos(); err != nil {
		return err
	}
	row.Pos, row.RoomNID, row.StateBefore, row.StateAfter = row.NID, p.nid, p.stateID, p.stateID
	if row.StateKey != nil {
		if old := p.state[[2]string{row.Type, *row.StateKey}]; old != nil {
			row.Replaces = old.NID
		}
		if err := p.writeState(tx, row); err != nil {
			return err
		}
	}
	if err := tx.InsertEvent(row); err != nil {
		return err
	}
	if row.Redacts == "" {
		return nil
	}
	target, err := tx.EventByID(row.Redacts)
	if err != nil {
		return err
	}
	pruned, err := target.Redact()
	if err != nil {
		return err
	}
	return tx.RedactEvent(target.NID, row.NID, pruned.JSON())
}

func (p *place) writeState(tx *store.Tx, row *store.Event) error {
	at, err := tx.StateNID(row.Type, *row.StateKey)
	if err != nil {
		return err
	}
	if row.StateAfter, err = tx.InsertStateSet(p.nid, row.StateBefore, store.StateSet{at: row.NID}); err != nil {
		return err
	}
	if err := tx.SetRoomState(p.nid, row.Pos, row.StateAfter); err != nil {
		return err
	}
	if err := tx.SetCurrentState(p.nid, at, row.NID); err != nil || row.Type != event.TypeMember {
		return err
	}
	return tx.SetMembership(store.Membership{
		RoomNID: p.nid, UserNID: at.Key, Membership: row.Membership(), EventNID: row.NID, Pos: row.Pos,
	})
}

func (p *place) ring(row *store.Event) {
	signals := []notify.Signal{{Key: notify.Key{Kind: notify.Room, NID: p.nid}, Pos: row.Pos}}
	if row.Type == event.TypeMember {
		signals = append(signals, notify.Signal{Key: notify.Key{Kind: notify.User, NID: p.w.nid(id.UserID(*row.StateKey))}, Pos: row.Pos})
	}
	p.w.bus.Publish(signals...)
}

func (w *world) nid(user id.UserID) (nid int64) {
	w.view(func(tx *store.Tx) (err error) {
		nid, err = tx.LookupNID(string(user))
		return err
	})
	return nid
}

func (w *world) view(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.View(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (p *place) member(by, user id.UserID, membership string) *store.Event {
	p.w.t.Helper()
	return p.send(say{sender: by, eventType: event.TypeMember, key: key(string(user)), content: obj{"membership": membership}})
}

func (p *place) join(users ...id.UserID) {
	p.w.t.Helper()
	for _, u := range users {
		p.member(u, u, "join")
	}
}

func (p *place) set(by id.UserID, eventType, stateKey string, content obj) *store.Event {
	p.w.t.Helper()
	return p.send(say{sender: by, eventType: eventType, key: &stateKey, content: content})
}

func (p *place) text(by id.UserID, body string) *store.Event {
	p.w.t.Helper()
	return p.send(say{sender: by, eventType: "m.room.message", content: obj{"msgtype": "m.text", "body": body}})
}

func (p *place) texts(by id.UserID, prefix string, n int) {
	p.w.t.Helper()
	for i := range n {
		p.text(by, fmt.Sprintf("%s%d", prefix, i))
	}
}

// The answers, as clients read them.

type clientEvent struct {
	EventID  id.EventID     `json:"event_id"`
	RoomID   id.RoomID      `json:"room_id"`
	Type     string         `json:"type"`
	Sender   id.UserID      `json:"sender"`
	StateKey *string        `json:"state_key"`
	Content  obj            `json:"content"`
	Redacts  id.EventID     `json:"redacts"`
	TS       int64          `json:"origin_server_ts"`
	Unsigned map[string]any `json:"unsigned"`
}

type eventList struct {
	Events []clientEvent `json:"events"`
}

type roomAnswer struct {
	Summary    map[string]any `json:"summary"`
	State      *eventList     `json:"state"`
	StateAfter *eventList     `json:"state_after"`
	Unstable   *eventList     `json:"org.matrix.msc4222.state_after"`
	Timeline   struct {
		eventList
		Limited   bool   `json:"limited"`
		PrevBatch string `json:"prev_batch"`
	} `json:"timeline"`
	AccountData eventList  `json:"account_data"`
	Ephemeral   *eventList `json:"ephemeral"`
	Unread      *struct {
		Highlights    int `json:"highlight_count"`
		Notifications int `json:"notification_count"`
	} `json:"unread_notifications"`
	InviteState eventList `json:"invite_state"`
	KnockState  eventList `json:"knock_state"`
}

type answer struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Join, Invite, Knock, Leave map[id.RoomID]*roomAnswer
	} `json:"rooms"`
	AccountData eventList `json:"account_data"`
	Presence    eventList `json:"presence"`
	ToDevice    eventList `json:"to_device"`
}

func (w *world) sync(req Request) *answer {
	w.t.Helper()
	res, err := w.s.Sync(context.Background(), req)
	if err != nil {
		w.t.Fatalf("sync: %v", err)
	}
	return w.decode(res)
}

func (w *world) decode(res Response) *answer {
	w.t.Helper()
	a := new(answer)
	w.unmarshal(res.AppendJSON(nil), a)
	if a.NextBatch != res.NextBatch {
		w.t.Errorf("next_batch %q, and %q in the answer", res.NextBatch, a.NextBatch)
	}
	return a
}

func (w *world) unmarshal(raw []byte, into any) {
	w.t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		w.t.Fatalf("%v in %s", err, raw)
	}
}

// client is a device that keeps syncing.
type client struct {
	w   *world
	req Request
}

func (w *world) client(user id.UserID) *client {
	return &client{w: w, req: Request{User: user, Device: "D"}}
}

func (c *client) sync() *answer {
	c.w.t.Helper()
	a := c.w.sync(c.req)
	c.req.Since = a.NextBatch
	return a
}

func (c *client) filter(raw string) *client {
	c.w.t.Helper()
	f, err := ParseFilter([]byte(raw))
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.req.Filter = f
	return c
}

// brief tells events apart: the body of a message, and for the others their type, state key, and what they are about.
func brief(events []clientEvent) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, briefOne(e))
	}
	return out
}

func briefOne(e clientEvent) string {
	if e.StateKey == nil {
		if body, ok := e.Content["body"].(string); ok {
			return body
		}
		return e.Type
	}
	name := strings.TrimPrefix(e.Type, "m.room.")
	if name == "member" {
		user := id.UserID(*e.StateKey)
		return fmt.Sprintf("%s:%v", user.Localpart(), e.Content["membership"])
	}
	for _, field := range []string{"name", "topic", "history_visibility"} {
		if v, ok := e.Content[field]; ok {
			return fmt.Sprintf("%s=%v", name, v)
		}
	}
	return name
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func list(items ...string) []string { return append([]string{}, items...) }

func wantList(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func (a *answer) joined(t testing.TB, p *place) *roomAnswer {
	t.Helper()
	r := a.Rooms.Join[p.id]
	if r == nil {
		t.Fatalf("the room is not among those joined: %+v", a.Rooms)
	}
	return r
}

func (a *answer) left(t testing.TB, p *place) *roomAnswer {
	t.Helper()
	r := a.Rooms.Leave[p.id]
	if r == nil {
		t.Fatalf("the room is not among those left: %+v", a.Rooms)
	}
	return r
}

func (a *answer) empty() bool {
	return len(a.Rooms.Join)+len(a.Rooms.Invite)+len(a.Rooms.Knock)+len(a.Rooms.Leave)+len(a.AccountData.Events) == 0
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var e mautrix.RespError
	if !errors.As(err, &e) || e.ErrCode != code {
		t.Errorf("got error %v, want %s", err, code)
	}
}

type pageAnswer struct {
	Start string        `json:"start"`
	End   string        `json:"end"`
	Chunk []clientEvent `json:"chunk"`
	State []clientEvent `json:"state"`
}

func (p *pageAnswer) brief() []string { return brief(p.Chunk) }

func (w *world) page(req MessagesRequest) *pageAnswer {
	w.t.Helper()
	raw, err := w.s.Messages(context.Background(), req)
	if err != nil {
		w.t.Fatalf("messages: %v", err)
	}
	p := new(pageAnswer)
	w.unmarshal(raw, p)
	return p
}
