package irc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
	"causeway/bridges/bridgetest"
)

// withAddresses starts a bridge with addresses of files, and alice on #c.
func withAddresses(t *testing.T, content ContentConfig) (w *world, room id.RoomID, server *bridgetest.IRCConn) {
	t.Helper()
	ircd := bridgetest.NewIRCServer(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	network := testNetwork(ircd.Address)
	network.Content = content
	conn, err := New(Config{Networks: map[string]NetworkConfig{"net": network}})
	if err != nil {
		t.Fatal(err)
	}
	w = startConnector(t, hs, t.TempDir(), conn, zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel), func(o *bridges.Options) {
		o.HomeserverURL, o.MediaLinks = "https://hs.test", bridges.MediaLinks{Expiry: time.Hour}
	})
	room = w.join(hs.User("alice"), "#c")
	server = ircd.Accept()
	server.Welcome("alice")
	server.Joined("alice", "#c", "carol")
	return w, room, server
}

// TestPasteIsRead has somebody open the address under which they are told on IRC that a long text is, where the homeserver has the files of
// bridges: everything of the text is there, as text alone.
func TestPasteIsRead(t *testing.T) {
	w, room, server := withAddresses(t, ContentConfig{LongLines: 3, EditWindow: time.Millisecond})
	const text = "first line\nsecond <b>line</b>\nthird line, with ünïcode"
	w.hs.Say(w.hs.User("alice"), room, text)
	line := server.Read()
	_, address, _ := strings.Cut(line, "PRIVMSG #c :first line… (3 lines: https://hs.test")
	path, ok := strings.CutPrefix(strings.TrimSuffix(address, ")"), bridges.MediaLinksPath+"/irc/")
	if !ok || !strings.HasSuffix(path, "/message.txt") {
		t.Fatalf("got %q, want its beginning and an address", line)
	}
	resp := httptest.NewRecorder()
	w.bridge.Handler().ServeHTTP(resp, httptest.NewRequest(http.MethodGet, bridges.MediaLinksPath+"/"+path, nil))
	if resp.Code != http.StatusOK || resp.Body.String() != text+"\n" {
		t.Errorf("got %d, %q", resp.Code, resp.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Content-Disposition": "inline; filename=message.txt", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox;",
	} {
		if got := resp.Header().Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestFileHasAddress tells people on IRC where a picture is, under an address of our own that holds for a while.
func TestFileHasAddress(t *testing.T) {
	w, room, server := withAddresses(t, ContentConfig{})
	w.hs.Send(w.hs.User("alice"), room, "m.room.message", map[string]any{"msgtype": "m.image", "body": "my cat.png", "url": "mxc://hs.test/abc"})
	line := server.Read()
	if !strings.HasPrefix(line, "PRIVMSG #c :sent an image: my cat.png ") || !strings.Contains(line, "https://hs.test"+bridges.MediaLinksPath+"/irc/") || !strings.HasSuffix(line, "/my%20cat.png") {
		t.Errorf("got %q", line)
	}
}
