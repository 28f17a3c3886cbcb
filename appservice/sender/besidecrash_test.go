package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/store"
)

// TestCrashBeside takes the database away from under a running sender, at moments that nobody chose, while the service fails in all the
// ways that it can. What it got, each transaction counted once, must be all events and all messages, each once and in order, and the
// newest receipt.
func TestCrashBeside(t *testing.T) {
	h, path := newFile(t)
	set := newSet(t, fullRegistration(t))
	service := newService()
	faults := []func() (int, string, error){
		func() (int, string, error) { return http.StatusOK, "{}", nil },
		func() (int, string, error) { return http.StatusInternalServerError, "", nil },
		func() (int, string, error) { return http.StatusOK, "\x00 <rubbish>", nil },
		func() (int, string, error) { return 0, "", errors.New("connection reset") },
	}
	calls := 0
	service.does(func(request) (int, string, error) { // one request at a time
		calls++
		return faults[calls%len(faults)]()
	})
	h.account(ghost, "irc")
	h.keys(ghost, 5)
	r := h.room("bridged")
	r.member(ghost, "join")
	if err := h.sender(service, set).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lines, mail []string
	var last string
	line := func() {
		lines = append(lines, fmt.Sprint("line ", len(lines)))
		at := r.say(alice, lines[len(lines)-1])
		mail = append(mail, fmt.Sprint("@irc_nick:test DEV mail ", len(mail)))
		h.mail(ghost, strings.TrimPrefix(mail[len(mail)-1], "@irc_nick:test DEV "))
		r.read(alice, store.ReceiptRead, "", at)
		last = string(at)
	}
	var seen []request
	for round := range 6 {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		s := h.sender(service, set)
		s.jitter = noPause
		go func() { ended <- s.Run(ctx) }()
		for range 10 {
			line()
		}
		for range 3 + 2*round {
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
	line()
	s := h.sender(service, set)
	s.jitter = noPause
	stop := h.start(s)
	r.say(alice, "end")
	lines = append(lines, "end")
	for done := false; !done; {
		next := service.next(t)
		seen = append(seen, next)
		done = slices.Contains(next.events(t), "end")
	}
	for h.cursor().Pending != nil || h.cursor().Pos < h.pos() {
		s.Kick("irc")
	}
	stop()

	bodies := make(map[string][]byte)
	var gotLines, gotMail []string
	receipts := ""
	for _, q := range seen {
		if before, repeated := bodies[q.path]; repeated {
			if !bytes.Equal(before, q.body) {
				t.Errorf("%s was sent with two bodies:\n%s\n%s", q.path, before, q.body)
			}
			continue
		}
		bodies[q.path] = q.body
		gotLines = append(gotLines, q.events(t)...)
		txn := parseTxn(t, q.body)
		for _, m := range txn.ToDevice {
			gotMail = append(gotMail, fmt.Sprint(m["to_user_id"], " ", m["to_device_id"], " ", m["content"].(map[string]any)["body"]))
		}
		for _, e := range txn.Ephemeral {
			receipts = asJSON(e)
		}
	}
	same(t, "events", gotLines, lines)
	same(t, "messages", gotMail, mail)
	if !strings.Contains(receipts, last) {
		t.Errorf("the newest receipt is %s, want one at %s", receipts, last)
	}
	if n := h.waiting(ghost); n != 0 {
		t.Errorf("%d messages still wait", n)
	}
}
