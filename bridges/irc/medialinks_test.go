package irc

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"causeway/bridges"
	"causeway/bridges/bridgetest"
)

// TestFileHasAddress tells people on IRC where a picture is, under an address of our own that holds for a while.
func TestFileHasAddress(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	network := testNetwork(ircd.Address)
	conn, err := New(Config{Networks: map[string]NetworkConfig{"net": network}})
	if err != nil {
		t.Fatal(err)
	}
	w := startConnector(t, hs, t.TempDir(), conn, zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel), func(o *bridges.Options) {
		o.HomeserverURL, o.MediaLinks = "https://hs.test", bridges.MediaLinks{Expiry: time.Hour}
	})
	alice := hs.User("alice")
	room := w.join(alice, "#c")
	server := ircd.Accept()
	server.Welcome("alice")
	server.Joined("alice", "#c", "carol")
	hs.Send(alice, room, "m.room.message", map[string]any{"msgtype": "m.image", "body": "my cat.png", "url": "mxc://hs.test/abc"})
	line := server.Read()
	if !strings.HasPrefix(line, "PRIVMSG #c :sent an image: my cat.png ") || !strings.Contains(line, "https://hs.test"+bridges.MediaLinksPath+"/irc/") || !strings.HasSuffix(line, "/my%20cat.png") {
		t.Errorf("got %q", line)
	}
}
