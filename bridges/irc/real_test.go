package irc_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"causeway/appservice/inproc"
	"causeway/appservice/sender"
	"causeway/bridges"
	"causeway/bridges/bridgetest"
	"causeway/bridges/irc"
	"causeway/homeserver"
	"causeway/homeserver/networks"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/testserver"
	"causeway/registration"
)

// real is the homeserver itself with a bridge to IRC, as cmd/causeway puts them together.
type real struct {
	*testserver.Server
	t      *testing.T
	bridge *bridges.Bridge
}

// startReal starts both.
func startReal(t *testing.T, db *store.DB, cfg irc.Config) *real {
	t.Helper()
	log := zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel)
	connector, err := irc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	toHS, toApp := inproc.New(nil), inproc.New(nil)
	r := &real{t: t}
	r.bridge, err = bridges.New(bridges.Options{
		ID: "irc", ServerName: testserver.Name, Transport: toHS, Network: connector, DataDir: t.TempDir(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	toApp.SetHandler(r.bridge.Handler())
	reg := r.bridge.Registration()
	reg.BuiltIn = true
	set, err := registration.NewSet(reg)
	if err != nil {
		t.Fatal(err)
	}
	regs, bus := func() *registration.Set { return set }, new(notify.Local)
	send := sender.New(sender.Options{
		DB: db, Bus: bus, ServerName: testserver.Name, Log: log, Registrations: regs, PresenceMembers: 100,
		Transport: func(*registration.Registration) http.RoundTripper { return toApp },
	})
	r.Server = testserver.New(t, db, func(c *homeserver.Config) {
		c.Bridges = []networks.Bridge{{ID: "irc", Name: "IRC", URL: reg.URL + bridges.ProvisioningPath, Token: reg.HSToken, Transport: toApp}}
		c.Bus, c.AppServices, c.Aliases, c.Pinger, c.Alive = bus, regs, send, send, send.Alive
	})
	send.Attend(r.Server.Server)
	toHS.SetHandler(r.Handler())
	if err := send.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = send.Run(ctx) })
	running.Go(func() { _ = r.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	bridging, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.bridge.Run(bridging) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// realNetwork is the configuration of a network without delays.
func realNetwork(address string) irc.NetworkConfig {
	return irc.NetworkConfig{
		Address: address, Flood: irc.FloodConfig{Unlimited: true},
		Connect: irc.ConnectConfig{Burst: 100, Interval: time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond},
	}
}

// realEvent is an event as a client gets it.
type realEvent struct {
	Type     string         `json:"type"`
	Sender   id.UserID      `json:"sender"`
	StateKey *string        `json:"state_key"`
	Content  map[string]any `json:"content"`
	Room     id.RoomID      `json:"-"`
}

func (e realEvent) text() string { s, _ := e.Content["body"].(string); return s }

// person is a user who reads along. What they have seen of rooms they are in, or are asked into, is in seen.
type person struct {
	*real
	testserver.User
	since string
	seen  []realEvent
}

func (r *real) person(name string) *person { return &person{real: r, User: r.Register(name)} }

// await waits for an event of a room, among all that the person has seen.
func (p *person) await(what string, fits func(e realEvent) bool) realEvent {
	p.t.Helper()
	for end := time.Now().Add(bridgetest.Patience); ; {
		for _, e := range p.seen {
			if fits(e) {
				return e
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s waited %v in vain for %s", p.ID, bridgetest.Patience, what)
		}
		p.sync()
	}
}

// sync waits a while for news.
func (p *person) sync() {
	p.t.Helper()
	var out struct {
		Next  string `json:"next_batch"`
		Rooms struct {
			Join map[id.RoomID]struct {
				State    struct{ Events []realEvent }
				Timeline struct{ Events []realEvent }
			}
			Invite map[id.RoomID]struct {
				State struct{ Events []realEvent } `json:"invite_state"`
			}
		}
	}
	p.OK("GET", "/_matrix/client/v3/sync?timeout=5000&since="+url.QueryEscape(p.since), p.Token, nil, &out)
	p.since = out.Next
	add := func(room id.RoomID, list []realEvent) {
		for _, e := range list {
			e.Room = room
			p.seen = append(p.seen, e)
		}
	}
	for room, news := range out.Rooms.Join {
		add(room, news.State.Events)
		add(room, news.Timeline.Events)
	}
	for room, news := range out.Rooms.Invite {
		add(room, news.State.Events)
	}
}

// isMember is that a user has a membership.
func isMember(user id.UserID, membership string) func(e realEvent) bool {
	return func(e realEvent) bool {
		return e.Type == "m.room.member" && e.StateKey != nil && *e.StateKey == string(user) && e.Content["membership"] == membership
	}
}

// createRoom makes a room and returns when those who are invited of the bridge have come.
func (p *person) createRoom(body map[string]any) id.RoomID {
	p.t.Helper()
	var room struct {
		ID id.RoomID `json:"room_id"`
	}
	p.OK("POST", "/_matrix/client/v3/createRoom", p.Token, body, &room)
	if invited, _ := body["invite"].([]id.UserID); len(invited) > 0 {
		p.await("the bot", func(e realEvent) bool { return e.Room == room.ID && isMember(invited[0], "join")(e) })
	}
	return room.ID
}

// say says something in a room.
func (p *person) say(room id.RoomID, text string) {
	p.t.Helper()
	p.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/send/m.room.message/"+rand.Text(), p.Token,
		map[string]any{"msgtype": "m.text", "body": text}, nil)
}

// awaitText waits for what somebody says.
func (p *person) awaitText(room id.RoomID, text string) realEvent {
	p.t.Helper()
	return p.await(text, func(e realEvent) bool { return e.Room == room && e.Type == "m.room.message" && e.text() == text })
}

// provision makes a request of the provisioning API, and returns status, code and the body.
func (p *person) provision(method, path string, body any) (int, string, map[string]any) {
	p.t.Helper()
	a := p.Do(method, "/_causeway/bridges/irc/provision/v3"+path, p.Token, body)
	out := map[string]any{}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		p.t.Fatalf("%s %s: %d %s: %v", method, path, a.Status, a.Body, err)
	}
	code, _ := out["errcode"].(string)
	return a.Status, code, out
}
