package sender

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestEphemeral sends receipts and presence to a service that asks for them, and to one that does not.
func TestEphemeral(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		plain := register(t, "plain", `{"users":[{"regex":"@irc_.*"}]}`)
		set := newSet(t, fullRegistration(t), plain)
		full, deaf := newService(), newService()
		s := h.senderOf(map[string]http.RoundTripper{"irc": full, "plain": deaf}, set)
		s.opt.PresenceMembers = 3
		s.Attend(h.board())
		if err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, private, invited, special := h.room("bridged"), h.room("private"), h.room("invited"), h.room("crowd")
		r.member(ghost, "join")
		invited.member(ghost, "invite")
		at, hidden, there := r.say(alice, "one"), private.say(alice, "no"), invited.say(alice, "two")
		special.member("@carol:test", "join")
		for _, user := range []id.UserID{ghost, "@dave:test", "@erin:test"} {
			special.member(user, "join")
		}

		r.read(alice, store.ReceiptRead, "", at)
		r.read(alice, store.ReceiptRead, "main", at) // there is room for one at an event
		r.read("@bob:test", store.ReceiptRead, "$root", at)
		r.read(alice, store.ReceiptReadPrivate, "", at) // nobody's business
		r.read(ghost, store.ReceiptReadPrivate, "", at)
		private.read(alice, store.ReceiptRead, "", hidden)
		invited.read(alice, store.ReceiptRead, "", there) // whoever is invited may not listen yet
		h.presence(alice, "online", `says "hi"`)
		h.presence("@stranger:test", "online", "")
		h.presence("@carol:test", "online", "") // in a room that is too large
		h.presence(ghost, "unavailable", "")
		h.start(s)
		r.say(alice, "end")

		got := full.until(t, "end")
		receipts := fmt.Sprintf(`{"content":{"%s":{"m.read":{"@alice:test":{"ts":5},"@bob:test":{"thread_id":"$root","ts":5}},`+
			`"m.read.private":{"@irc_nick:test":{"ts":5}}}},"room_id":"%s","type":"m.receipt"}`, at, r.id)
		same(t, "what is ephemeral", got.ephemeral, []string{
			`{"content":{"currently_active":true,"presence":"online","status_msg":"says \"hi\""},"sender":"@alice:test","type":"m.presence"}`,
			`{"content":{"currently_active":false,"presence":"unavailable"},"sender":"@irc_nick:test","type":"m.presence"}`,
			receipts,
		})
		if got := deaf.until(t, "end"); len(got.ephemeral) > 0 {
			t.Errorf("a service that did not ask got %q", got.ephemeral)
		}
		// One whose ghost leaves hears no more.
		r.member(ghost, "leave")
		r.read(alice, store.ReceiptRead, "$thread", at)
		r.say(ghost, "end again")
		same(t, "what is ephemeral after the end", full.until(t, "end again").ephemeral, nil)
	})
}

// TestEphemeralAlone has a receipt and a typing notice wake a service without an event.
func TestEphemeralAlone(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	service := newService()
	s := h.sender(service, newSet(t, fullRegistration(t)))
	board := h.board()
	s.Attend(board)
	h.start(s)
	r, private := h.room("bridged"), h.room("private")
	r.member(ghost, "join")
	at := r.say(alice, "one")
	service.until(t, "one")
	next := func() string {
		t.Helper()
		txn := parseTxn(t, service.next(t).body)
		if len(txn.Events) != 0 || len(txn.Ephemeral) != 1 {
			t.Fatalf("transaction is %+v, want one ephemeral event", txn)
		}
		return asJSON(txn.Ephemeral[0])
	}
	r.read(alice, store.ReceiptRead, "", at)
	if got := next(); !strings.Contains(got, `"m.receipt"`) {
		t.Errorf("got %s, want a receipt", got)
	}
	typing := func(users string) string {
		return fmt.Sprintf(`{"content":{"user_ids":[%s]},"room_id":"%s","type":"m.typing"}`, users, r.id)
	}
	board.types(private, alice)
	board.types(r, alice, "@bob:test")
	if got, want := next(), typing(`"@alice:test","@bob:test"`); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Nothing is known any more of what has changed: that nobody types is told all the same.
	board.lose(r.nid)
	h.ring()
	if got, want := next(), typing(``); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTypingOfDeadService has somebody begin and end while a service is down.
func TestTypingOfDeadService(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	service := newService()
	service.answers(http.StatusBadGateway, "", nil)
	s := h.sender(service, newSet(t, fullRegistration(t)))
	s.jitter = longPause
	board := h.board()
	s.Attend(board)
	h.start(s)
	r := h.room("bridged")
	r.member(ghost, "join")
	service.next(t)
	board.types(r, alice)
	board.types(r)
	r.say(alice, "end")
	service.answers(http.StatusOK, "{}", nil)
	s.Kick("irc")
	same(t, "what is ephemeral", service.until(t, "end").ephemeral, nil)
}

// TestToDevice sends messages to the devices of a service's accounts, and of nobody else.
func TestToDevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		service := newService()
		stop := h.start(h.sender(service, newSet(t, fullRegistration(t))))
		for _, user := range []id.UserID{ghost, other} {
			h.account(user, "irc")
		}
		h.account("@irc_person:test", "")       // in the namespace, but a person's
		h.account("@elsewhere:test", "irc")     // not in the namespace any more
		h.account("@irc_strange:test", "other") // another service's
		h.account("@bob:test", "")
		h.keys(ghost, 3)
		h.write(func(tx *store.Tx) error { return tx.SetSyncs(h.nid(tx, other), device) })
		h.claim(ghost)
		for _, user := range []id.UserID{ghost, other, "@irc_person:test", "@elsewhere:test", "@irc_strange:test", "@bob:test"} {
			h.mail(user, "one")
		}
		h.mail(ghost, "two")
		h.room("end").say(ghost, "end")
		got := service.until(t, "end")
		same(t, "messages", got.mail, []string{"@irc_nick:test DEV one", "@irc_other:test DEV one", "@irc_nick:test DEV two"})
		if n := got.counts[ghost]; n != 2 {
			t.Errorf("the ghost has %d keys left, want 2", n)
		}
		stop()
		for user, want := range map[id.UserID]int{ghost: 0, other: 1, "@irc_person:test": 1, "@elsewhere:test": 1, "@irc_strange:test": 1, "@bob:test": 1} {
			if got := h.waiting(user); got != want {
				t.Errorf("%d messages wait for %s, want %d", got, user, want)
			}
		}
	})
}

// TestToDeviceOfDeadService keeps messages for a service that is down for longer than others are kept for, and restarts the server.
func TestToDeviceOfDeadService(t *testing.T) {
	h, path := newFile(t)
	set := newSet(t, fullRegistration(t))
	service := newService()
	service.answers(http.StatusBadGateway, "", nil)
	s := h.sender(service, set)
	s.jitter = longPause
	stop := h.start(s)
	h.account(ghost, "irc")
	h.account("@bob:test", "")
	h.mail(ghost, "0")
	first := service.next(t)
	want := []string{"@irc_nick:test DEV 0"}
	for i := 1; i <= 250; i++ {
		h.mail(ghost, fmt.Sprint(i))
		want = append(want, fmt.Sprint("@irc_nick:test DEV ", i))
	}
	h.mail("@bob:test", "gone")
	h.write(func(tx *store.Tx) error {
		_, _, _, _, err := tx.DropToDevice(0, time.Now().UnixMilli())
		return err
	})
	if n := h.waiting("@bob:test"); n != 0 {
		t.Errorf("%d messages wait for the device of a person, want none", n)
	}
	stop()
	h.reopen(path)
	service.answers(http.StatusOK, "{}", nil)
	stop = h.start(h.sender(service, set))
	if again := service.next(t); !sameRequest(first, again) {
		t.Errorf("after a restart the service got\n%s, want\n%s", again.body, first.body)
	}
	h.room("end").say(ghost, "end")
	same(t, "messages", service.until(t, "end").mail, want[1:])
	stop()
	if n := h.waiting(ghost); n != 0 {
		t.Errorf("%d messages wait for the ghost, want none", n)
	}
	// One that is not registered any more keeps nothing.
	h.mail(ghost, "late")
	if err := h.sender(service, newSet(t)).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.write(func(tx *store.Tx) error {
		_, _, _, _, err := tx.DropToDevice(0, time.Now().UnixMilli())
		return err
	})
	if n := h.waiting(ghost); n != 0 {
		t.Errorf("%d messages wait for a service that is not there, want none", n)
	}
}

// TestDeviceLists tells whose devices a service has to look at.
func TestDeviceLists(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		service := newService()
		h.start(h.sender(service, newSet(t, fullRegistration(t))))
		r, second, private := h.room("bridged"), h.room("second"), h.room("private")
		h.account(ghost, "irc")
		r.member(ghost, "join")
		second.member(ghost, "join")
		private.member("@stranger:test", "join")
		h.devicesChanged(alice)
		r.member("@early:test", "join")
		r.say(alice, "before")
		if got := service.until(t, "before"); len(got.changed)+len(got.left) > 0 {
			t.Errorf("a service without keys was told of %q and %q", got.changed, got.left)
		}
		h.keys(ghost, 1)
		h.devicesChanged(alice)
		h.devicesChanged("@stranger:test")
		r.member("@bob:test", "join")
		second.member("@bob:test", "join")
		r.member("@carol:test", "join")
		r.say(alice, "middle")
		got := service.until(t, "middle")
		same(t, "changed", unique(got.changed), []string{string(ghost), string(alice), "@bob:test", "@carol:test"})
		same(t, "left", got.left, nil)
		r.member("@bob:test", "leave") // who is in the other room still
		r.member("@carol:test", "leave")
		r.member("@dave:test", "invite")
		r.say(alice, "end")
		got = service.until(t, "end")
		same(t, "changed", got.changed, nil)
		same(t, "left", got.left, []string{"@carol:test"})
		// Where the first user of the service comes, all who are there are news.
		private.member(ghost, "join")
		private.member(other, "join")
		private.say(alice, "last")
		got = service.until(t, "last")
		same(t, "changed", unique(got.changed), []string{string(alice), "@stranger:test"})
		same(t, "left", got.left, nil)
	})
}

func unique(all []string) (once []string) {
	seen := make(map[string]bool)
	for _, s := range all {
		if !seen[s] {
			once = append(once, s)
		}
		seen[s] = true
	}
	return once
}
