package bridges

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"causeway/bridges/bridgetest"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// watching is a network that wants presence, and takes it when it is let.
type watching struct {
	*loopNetwork
	seen chan string
	let  chan struct{}
}

func (n *watching) HandlePresence(_ context.Context, user id.UserID, p *event.PresenceEventContent) {
	n.seen <- fmt.Sprint(user, " ", p.Presence)
	<-n.let
}

// A network that takes its time with presence holds up no message, and gets what is newest.
func TestPresenceHoldsUpNothing(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	n := &watching{seen: make(chan string, 1), let: make(chan struct{})}
	w := startWorld(t, hs, t.TempDir(), func(w *world) {
		n.loopNetwork = w.net
		w.opts.Network = n
		w.watchPresence()
	})
	room := w.portal(t, "chat")
	hs.AwaitAcknowledged()
	presence := func(user, state string) json.RawMessage {
		return fmt.Appendf(nil, `{"type":"m.presence","sender":%q,"content":{"presence":%q}}`, user, state)
	}
	put := func(ephemeral ...json.RawMessage) {
		t.Helper()
		if _, err := w.accept(t.Context(), &transaction{Ephemeral: ephemeral}); err != nil {
			t.Fatal(err)
		}
	}
	seen := func() string {
		t.Helper()
		select {
		case got := <-n.seen:
			return got
		case <-time.After(bridgetest.Patience):
			t.Fatal("no presence")
			return ""
		}
	}
	put(json.RawMessage(`[]`), presence("@loop_bob:hs.test", "online"), presence("@alice:hs.test", "online"))
	if got := seen(); got != "@alice:hs.test online" {
		t.Errorf("got %s", got)
	}
	hs.Say(w.alice, room, "meanwhile")
	if got := w.net.await(t, 1); got[0] != "meanwhile" {
		t.Errorf("got %q", got)
	}
	for i := range maxEphemera + 5 {
		put(presence("@alice:hs.test", fmt.Sprint("state", i)))
	}
	close(n.let)
	for i := range maxEphemera {
		if got, want := seen(), fmt.Sprint("@alice:hs.test state", i+5); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Of typing only the newest counts.
func TestTypingIsReplaced(t *testing.T) {
	e := newEphemera(nil)
	e.rooms["!r"] = nil // as if its worker was at work
	for _, users := range []string{`["@a:x"]`, `["@a:x","@b:x"]`, `[]`} {
		e.push(parseEphemeral(json.RawMessage(`{"type":"m.typing","room_id":"!r","content":{"user_ids":` + users + `}}`)))
		e.push(parseEphemeral(json.RawMessage(`{"type":"m.receipt","room_id":"!r","content":{}}`)))
	}
	if queue := e.rooms["!r"]; len(queue) != 4 || len(queue[2].Content.AsTyping().UserIDs) != 0 {
		t.Errorf("%d wait, want three receipts and the newest typing", len(queue))
	}
}
