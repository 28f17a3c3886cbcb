package sender

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/store"
)

// TestCrash takes the database away from under a running sender, again and again, at moments that nobody chose. What the service
// got, each transaction counted once, must be the stream.
func TestCrash(t *testing.T) {
	h, path := newFile(t)
	set := newSet(t, ircRegistration(t))
	service := newService()
	r, private := h.room("bridged"), h.room("private")
	r.member(ghost, "join")
	if err := h.sender(service, set).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	line := func() {
		text := fmt.Sprint("line ", len(want))
		want = append(want, text)
		r.say(alice, text)
		private.say(alice, "no")
	}
	var seen []request
	for round := range 8 {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		s := h.sender(service, set)
		go func() { ended <- s.Run(ctx) }()
		for range 30 {
			line()
		}
		for range 2 + 3*round {
			line()
			seen = append(seen, service.next(t))
		}
		if err := h.db.Close(); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-ended // whatever it says: its database is gone
		h.db = nil
		h.reopen(path)
	}
	want = append(want, "end")
	r.say(alice, "end")
	h.start(h.sender(service, set))
	for done := false; !done; {
		next := service.next(t)
		seen = append(seen, next)
		done = slices.Contains(next.events(t), "end")
	}

	bodies := make(map[string][]byte)
	var got []string
	for _, q := range seen {
		if before, repeated := bodies[q.path]; repeated {
			if !bytes.Equal(before, q.body) {
				t.Errorf("%s was sent with two bodies:\n%s\n%s", q.path, before, q.body)
			}
			continue
		}
		bodies[q.path] = q.body
		got = append(got, q.events(t)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the service got\n%q, want\n%q", got, want)
	}
	var pending *store.AppServiceTxn
	if pending = h.cursor().Pending; pending != nil && pending.Upto < h.pos() {
		t.Errorf("transaction %d is pending up to %d, want %d", pending.Txn, pending.Upto, h.pos())
	}
}
