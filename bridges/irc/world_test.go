package irc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
	"causeway/bridges/bridgetest"
)

// world is a bridge between a recording homeserver and one network, called net.
type world struct {
	t      *testing.T
	hs     *bridgetest.Homeserver
	bridge *bridges.Bridge
	conn   *Connector
	dir    string
	stop   func()
}

// testNetwork is the configuration of a network without delays.
func testNetwork(address string) NetworkConfig {
	return NetworkConfig{
		Address: address, Flood: FloodConfig{Unlimited: true},
		Connect: ConnectConfig{Burst: 100, Interval: time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond},
		Content: ContentConfig{EditWindow: time.Millisecond},
	}
}

// start runs a bridge. dir and hs may be those of an earlier one, for a restart.
func start(t *testing.T, hs *bridgetest.Homeserver, dir string, cfg NetworkConfig) *world {
	t.Helper()
	return startConfig(t, hs, dir, Config{Networks: map[string]NetworkConfig{"net": cfg}})
}

// startConfig is start with any networks.
func startConfig(t *testing.T, hs *bridgetest.Homeserver, dir string, cfg Config) *world {
	t.Helper()
	return startWith(t, hs, dir, cfg, zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel))
}

// startLogged is startNew with everything logged that ever is.
func startLogged(t *testing.T, cfg NetworkConfig, log *bridgetest.Recorder) *world {
	t.Helper()
	return startWith(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), Config{Networks: map[string]NetworkConfig{"net": cfg}},
		zerolog.New(log).Level(zerolog.TraceLevel))
}

// absent checks that nothing of ours has shown a secret: no log, no event but those of people, no file.
func (w *world) absent(log *bridgetest.Recorder, secret string) {
	w.t.Helper()
	if log.Contains(secret) {
		w.t.Error("the secret is in the log")
	}
	for _, e := range w.hs.Events(func(e *bridgetest.Event) bool {
		return e.Sender == w.bridge.Bot() || strings.HasPrefix(string(e.Sender), "@irc_")
	}) {
		if strings.Contains(fmt.Sprint(e.Content), secret) {
			w.t.Errorf("the secret is in an event of %s: %v", e.Sender, e.Content)
		}
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no files in %s: %v", w.dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		if bytes.Contains(text, []byte(secret)) {
			w.t.Errorf("the secret is in %s", filepath.Base(file))
		}
	}
}

// startWith is start with everything to be chosen.
func startWith(t *testing.T, hs *bridgetest.Homeserver, dir string, cfg Config, log zerolog.Logger) *world {
	t.Helper()
	conn, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return startConnector(t, hs, dir, conn, log)
}

// startConnector runs a bridge with a connector.
func startConnector(t *testing.T, hs *bridgetest.Homeserver, dir string, conn *Connector, log zerolog.Logger,
	change ...func(o *bridges.Options)) *world {
	t.Helper()
	w := &world{t: t, hs: hs, dir: dir, conn: conn}
	var err error
	opts := bridges.Options{
		ID: "irc", ServerName: hs.ServerName, Transport: hs, Network: w.conn, DataDir: dir,
		Log: log,
	}
	for _, c := range change {
		c(&opts)
	}
	if w.bridge, err = bridges.New(opts); err != nil {
		t.Fatal(err)
	}
	hs.SetBridge(w.bridge.Handler(), w.bridge.Bot(), w.bridge.Registration().HSToken)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.bridge.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// startNew is start with a new homeserver.
func startNew(t *testing.T, cfg NetworkConfig) *world {
	t.Helper()
	return start(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), cfg)
}

// join lets a user enter the room of a channel.
func (w *world) join(user id.UserID, channel string) id.RoomID {
	w.t.Helper()
	return w.hs.JoinAlias(user, id.RoomAlias("#irc_net_"+channel+":"+w.hs.ServerName))
}

// ghost is the user ID of a nick.
func (w *world) ghost(nick string) id.UserID { return w.hs.User("irc_net_" + nick) }

// fromIRC are the texts of ghosts in a room, with their nicks.
func (w *world) fromIRC(room id.RoomID) []string {
	var texts []string
	for _, e := range w.hs.Messages(room) {
		if nick, ok := strings.CutPrefix(string(e.Sender), "@irc_net_"); ok {
			texts = append(texts, strings.TrimSuffix(nick, ":"+w.hs.ServerName)+": "+e.Text())
		}
	}
	return texts
}

// awaitNotice waits for a notice of the bot that contains a text.
func (w *world) awaitNotice(room id.RoomID, text string) *bridgetest.Event {
	w.t.Helper()
	return w.hs.AwaitEvent("notice with "+text, func(e *bridgetest.Event) bool {
		return e.Room == room && e.Sender == w.bridge.Bot() && e.MsgType() == "m.notice" && strings.Contains(e.Text(), text)
	})
}
