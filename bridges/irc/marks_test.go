package irc

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"causeway/bridges/irc/holder"
)

// heldConn is a connection that a holder of this process keeps, and the server's end of it.
func heldConn(t *testing.T) (*holder.Conn, net.Conn) {
	t.Helper()
	path := holder.SocketIn(t.TempDir())
	ours, theirs := net.Pipe()
	h := holder.New(path, func(_ context.Context, _ json.RawMessage, tcp func(net.Conn)) (net.Conn, bool, error) {
		tcp(ours)
		return ours, false, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.Run(ctx, func() { close(ready) }) }()
	<-ready
	dialer := holder.Dialer{Path: path}
	conn, err := dialer.Dial(t.Context(), holder.Request{}, struct{}{}, func(holder.Address) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Close(), theirs.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn, theirs
}

// A room that takes nothing does not keep the holder from being told what is done in the others: it would read no further.
func TestMarksPassARoomThatStandsStill(t *testing.T) {
	n := bareNetwork(NetworkConfig{})
	c := newClient(n, "@alice:hs.test")
	conn, _ := heldConn(t)
	c.keeping.conn, c.keeping.held = conn, true
	lanes := map[string]*lane{}
	for _, name := range []string{"#still", "#slow"} {
		lanes[name] = &lane{net: n, name: name, items: make(chan item, 100), done: make(chan struct{})}
		n.channels[name] = newChannel(lanes[name])
		c.channels[name] = c.newMembership(joinRequest{channel: name}, name)
		lanes[name].put(noticeItem{text: "before it"})
	}
	take := func(l *lane) {
		l.taken.Add(1)
		if mark, ok := (<-l.items).(*markItem); ok {
			mark.passed()
		}
	}
	now := time.Now()
	c.keeping.handled = 10
	c.mark(now)
	first := c.keeping.pending
	take(lanes["#slow"]) // what was before it
	now = now.Add(markTimeout + time.Second)
	c.markTick(now)
	second := c.keeping.pending
	if second == first {
		t.Fatal("no other mark is sent")
	}
	if left := second.left.Load(); left != 1 {
		t.Fatalf("the second mark waits for %d rooms, want the one that goes on", left)
	}
	take(lanes["#slow"]) // the first
	take(lanes["#slow"]) // the second
	if second.left.Load() != 0 || first.left.Load() == 0 {
		t.Errorf("the marks wait for %d and %d rooms", first.left.Load(), second.left.Load())
	}
	// What comes later waits for the room again when it goes on.
	c.keeping.handled = 11
	c.mark(now)
	if _, there := c.keeping.pending.lanes[lanes["#still"]]; there {
		t.Error("a mark goes where nothing moves")
	}
	take(lanes["#slow"])
	take(lanes["#still"])
	c.keeping.handled = 12
	if c.mark(now); len(c.keeping.pending.lanes) != 2 {
		t.Error("a room that goes on is passed by")
	}
}
