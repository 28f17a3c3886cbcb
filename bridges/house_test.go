package bridges_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"causeway/appservice/inproc"
	"causeway/appservice/sender"
	"causeway/bridges"
	"causeway/bridges/bridgetest"
	"causeway/homeserver"
	"causeway/homeserver/networks"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"
	"causeway/registration"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
)

// house is a homeserver with one bridge, which can be started anew.
type house struct {
	t      *testing.T
	id     string // of the bridge, "loop" by default
	beside *house // another bridge of the same homeserver, nil for none
	dir    string
	crypt  bridges.Encryption
	reap   bridges.Reaper
	fill   bridges.Backfill
	lists  bridges.PolicyRooms
	before []*bridgev2.BackfillMessage // what was said on the network
	base   string                      // URL of the bridge's database, "" for a file
	users  bridgeconfig.PermissionConfig
	other  bridgev2.NetworkConnector // in the place of net, unless nil
	hs     *testserver.Server
	toHS   *inproc.Transport
	line   line // through which the bridge reaches the homeserver
	toApp  *inproc.Transport
	net    bridges.Loop
	bridge *bridges.Bridge
	stop   func()
}

// newHouse starts both.
func newHouse(t *testing.T, db *store.DB, change ...func(*house)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), toHS: inproc.New(nil), toApp: inproc.New(nil)}
	if strings.HasSuffix(t.Name(), "/postgres") {
		h.base = storetest.PostgresURL(t)
	}
	for _, c := range change {
		c(h)
	}
	all := []*house{h}
	if h.beside != nil {
		h.beside.t, h.beside.dir, h.beside.base, h.beside.toHS, h.beside.toApp = t, h.dir, h.base, h.toHS, inproc.New(nil)
		all = append(all, h.beside)
	}
	var built []*registration.Registration
	toApp := map[string]*inproc.Transport{}
	for _, one := range all {
		one.line.to = h.toHS
		one.open()
		reg := one.bridge.Registration()
		reg.BuiltIn = true // as cmd/causeway does
		built, toApp[reg.ID] = append(built, reg), one.toApp
	}
	set, err := registration.NewSet(built...)
	if err != nil {
		t.Fatal(err)
	}
	regs := func() *registration.Set { return set }
	bus := new(notify.Local)
	send := sender.New(sender.Options{
		DB: db, Bus: bus, ServerName: testserver.Name, Log: h.log(), Registrations: regs, PresenceMembers: 100,
		Transport: func(reg *registration.Registration) http.RoundTripper { return toApp[reg.ID] },
	})
	h.hs = testserver.New(t, db, func(c *homeserver.Config) {
		reg := h.bridge.Registration()
		c.Bridges = []networks.Bridge{{ID: "loop", Name: "Loop", URL: reg.URL + bridges.ProvisioningPath, Token: reg.HSToken, Transport: h.toApp}}
		c.Guests = true
		c.Bus, c.AppServices, c.Aliases, c.Users, c.Pinger, c.Alive = bus, regs, send, send, send, send.Alive
	})
	if h.beside != nil {
		h.beside.hs = h.hs
	}
	send.Attend(h.hs.Server)
	h.toHS.SetHandler(h.hs.Handler())
	if err := send.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = send.Run(ctx) })
	running.Go(func() { _ = h.hs.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, one := range all {
		one.run()
	}
	return h
}

func (h *house) log() zerolog.Logger {
	return zerolog.New(bridgetest.LogTo(h.t)).Level(zerolog.WarnLevel)
}

func (h *house) open() {
	h.t.Helper()
	h.net = bridges.NewLoop()
	h.net.SetHistory(h.before)
	network := h.other
	if network == nil {
		network = h.net
	}
	var err error
	h.bridge, err = bridges.New(bridges.Options{
		ID: cmp.Or(h.id, "loop"), ServerName: testserver.Name, Transport: &h.line, Network: network, Permissions: h.users, DataDir: h.dir, Log: h.log(),
		Encryption: h.crypt, Reaper: h.reap, Backfill: h.fill, PolicyRooms: h.lists, Database: h.base,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.toApp.SetHandler(h.bridge.Handler())
}

func (h *house) run() {
	h.t.Helper()
	b := h.bridge
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(h.stop)
	select {
	case <-b.Ready():
	case err := <-ended:
		h.t.Fatal("the bridge ended: ", err)
	}
}

// restart stops the bridge and starts it anew on what it has stored.
func (h *house) restart() {
	h.stop()
	h.open()
	h.run()
}

// line carries requests, until it is cut.
type line struct {
	to http.RoundTripper

	mu    sync.Mutex // guards what follows
	word  string     // of the paths that count, "" for none
	left  int        // how many more of them are answered
	isCut chan struct{}
}

var errCut = errors.New("the line is cut")

// cutAfter lets so many requests whose path has a word pass; the last of them arrives, but its answer is lost.
func (l *line) cutAfter(word string, count int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.word, l.left, l.isCut = word, count, make(chan struct{})
	return l.isCut
}

// mend lets everything pass.
func (l *line) mend() { l.cutAfter("", 0) }

// RoundTrip implements http.RoundTripper.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	counts := l.word != "" && strings.Contains(r.URL.Path, l.word)
	l.left--
	if !counts {
		l.left++
	}
	left, isCut := l.left, l.isCut
	l.mu.Unlock()
	if counts && left < 0 {
		return nil, errCut
	}
	resp, err := l.to.RoundTrip(r)
	if counts && left == 0 {
		close(isCut)
		return nil, errors.Join(errCut, err)
	}
	return resp, err
}
