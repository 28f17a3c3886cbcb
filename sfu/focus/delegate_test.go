package focus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"
)

var (
	member   = Member{RoomID: room, SlotID: DefaultSlot, DeviceID: "D", MemberID: "m"}
	byState  = Member{RoomID: room, DeviceID: "D", Legacy: true}
	mine     = member.key(alice)
	older    = byState.key(alice)
	whoAlice = Who{UserID: alice}
)

// live runs a service in a bubble of time, with alice in the room and a delayed event "leave" of hers, until test ends.
func live(t *testing.T, test func(t *testing.T, w *world, s *Service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.let(alice, "D", everything)
		w.delay(alice, "leave", Delay{RoomID: room, After: time.Hour})
		s := w.service()
		stop := start(t, s)
		test(t, w, s)
		stop()
	})
}

func start(t *testing.T, s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// after lets time pass, and returns what the others were told in it.
func (w *world) after(d time.Duration) string {
	time.Sleep(d)
	synctest.Wait()
	return w.told()
}

func (w *world) expect(t *testing.T, name string, d time.Duration, want string) {
	t.Helper()
	if got := w.after(d); got != want {
		t.Errorf("%s: the others were told %q, want %q", name, got, want)
	}
}

// enter takes a token and comes in.
func enter(t *testing.T, s *Service, m Member) {
	t.Helper()
	if _, err := s.Token(t.Context(), whoAlice, m); err != nil {
		t.Fatal(err)
	}
	k := m.key(alice)
	publish, err := s.Admit(t.Context(), k.alias, k.identity)
	if err != nil {
		t.Fatal(err)
	}
	s.Joined(k.alias, k.identity, publish)
}

// TestDelegation follows a membership from its beginning to its end.
func TestDelegation(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "while she has not come", time.Minute, "")
		enter(t, s, member)
		w.expect(t, "she comes", time.Second, "restart leave")
		w.expect(t, "at 80 % of the delay", 48*time.Minute+time.Second, "restart leave")
		w.expect(t, "and again", 48*time.Minute+time.Second, "restart leave")
		s.Joined(mine.alias, mine.identity, true)
		s.Left(mine.alias, mine.identity)
		w.expect(t, "she comes anew before she has gone", time.Second, "")
		s.Left(mine.alias, mine.identity)
		w.expect(t, "she goes", time.Millisecond, "send leave")
		if row, _ := w.row(mine); row.DelayID != "" {
			t.Errorf("the row still has it: %+v", row)
		}
		w.expect(t, "afterwards", 24*time.Hour, "")
	})
}

func TestDelegationOfWhoNeverCame(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "before", arriveWithin-time.Second, "")
		w.expect(t, "after", 3*time.Second, "send leave")
	})
}

// TestDelegationByEitherIdentity has a client whose membership is known by its hash publish by the older identity.
func TestDelegationByEitherIdentity(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		enter(t, s, member)
		enter(t, s, byState)
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "delegated in the call", time.Second, "restart leave")
		s.Left(mine.alias, mine.identity)
		w.expect(t, "the other one is there", 10*time.Minute, "")
		s.Left(older.alias, older.identity)
		w.expect(t, "both have gone", time.Second, "send leave")
	})
}

// TestDelegationAgain has the client do by itself what it has delegated, and delegate another event.
func TestDelegationAgain(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		enter(t, s, byState)
		body := strings.Replace(legacyBody, "{", `{"delay_id":"leave","delay_timeout":3600000,"delay_cs_api_url":"https://elsewhere",`, 1)
		if a := ask(t, s, http.MethodPost, "/sfu/get", body); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		w.expect(t, "delegated with the token", time.Second, "restart leave")
		w.delay(alice, "other", Delay{RoomID: room, After: 2 * time.Hour})
		if err := s.Delegate(t.Context(), whoAlice, byState, "other"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "another", time.Second, "cancel leave; restart other")
		w.expect(t, "and the first never ends it", 49*time.Minute, "")
		w.delay(alice, "other", Delay{})
		w.expect(t, "the client sends it", 48*time.Minute, "")
		s.Left(older.alias, older.identity)
		w.expect(t, "so that there is nothing to send", time.Minute, "")
	})
}

// TestDelegationWhileTheDatabaseIsDown tries again.
func TestDelegationWhileTheDatabaseIsDown(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		enter(t, s, member)
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "delegated", time.Second, "restart leave")
		w.fail(errors.New("broken"))
		s.Left(mine.alias, mine.identity)
		w.expect(t, "while it is down", time.Minute, "")
		w.fail(nil)
		w.expect(t, "when it is back", 2*time.Second, "send leave")
	})
}

// TestDelegationOverARestart has those sent who do not come back.
func TestDelegationOverARestart(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		w.let(bob, "B", everything)
		w.delay(bob, "bobs", Delay{RoomID: room, After: time.Hour})
		enter(t, s, member)
		bobs := Member{RoomID: room, SlotID: DefaultSlot, DeviceID: "B", MemberID: "m"}
		for _, err := range []error{
			s.Delegate(t.Context(), whoAlice, member, "leave"),
			s.Delegate(t.Context(), Who{UserID: bob}, bobs, "bobs"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		k := bobs.key(bob)
		s.Joined(k.alias, k.identity, true)
		w.expect(t, "both are there", time.Second, "restart bobs; restart leave")

		next := w.service()
		stop := start(t, next)
		defer stop()
		w.expect(t, "after the restart", time.Minute, "")
		if _, err := next.Admit(t.Context(), mine.alias, mine.identity); err != nil {
			t.Errorf("the token from before: %v", err)
		}
		next.Joined(mine.alias, mine.identity, true)
		w.expect(t, "one is back", time.Second, "restart leave")
		w.expect(t, "the other is not", 2*time.Minute, "send bobs")
	})
}

func TestRefusedDelegations(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		w.let(bob, "B", Access{Joined: true})
		w.delay(alice, "soon", Delay{RoomID: room, After: time.Second})
		w.delay(alice, "elsewhere", Delay{RoomID: "!other:test", After: time.Hour})
		w.delay(bob, "bobs", Delay{RoomID: room, After: time.Hour})
		for _, test := range []struct {
			name, delayID string
			who           Who
			member        Member
			want          string
		}{
			{"another's", "bobs", whoAlice, member, "M_BAD_JSON"},
			{"none", "none", whoAlice, member, "M_BAD_JSON"},
			{"no name", "", whoAlice, member, "M_BAD_JSON"},
			{"of another room", "elsewhere", whoAlice, member, "M_BAD_JSON"},
			{"too soon", "soon", whoAlice, member, "M_BAD_JSON"},
			{"who may only listen", "bobs", Who{UserID: bob}, Member{RoomID: room, SlotID: "x", DeviceID: "B", MemberID: "m"}, "M_FORBIDDEN"},
			{"who is not in the room", "leave", Who{UserID: carol}, member, "M_UNAUTHORIZED"},
			{"another device", "leave", Who{UserID: alice, DeviceID: "OTHER"}, member, "M_FORBIDDEN"},
		} {
			r, _ := refused(s.Delegate(t.Context(), test.who, test.member, test.delayID))
			if r.ErrCode != test.want {
				t.Errorf("%s: got %q, want %s", test.name, r.ErrCode, test.want)
			}
		}
		w.expect(t, "nothing is delegated", time.Hour, "")
	})
}

// TestAccess has members of a call lose what they need for it, and get it back.
func TestAccess(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		enter(t, s, member)
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "she is in", time.Second, "restart leave")
		if !s.Seated(mine.identity) || s.Seated("somebody") {
			t.Error("who has a seat is not known")
		}
		w.let(alice, "D", Access{Joined: true})
		s.AccessChanged(room, alice)
		w.expect(t, "less power", time.Millisecond, fmt.Sprintf("%s publishes false", mine.identity))
		if publish, err := s.Admit(t.Context(), mine.alias, mine.identity); publish || err != nil {
			t.Errorf("to come back: %t, %v", publish, err)
		}
		w.let(alice, "D", everything)
		s.AccessChanged(room, "")
		w.expect(t, "more power", time.Millisecond, fmt.Sprintf("%s publishes true", mine.identity))
		s.AccessChanged("!other:test", alice)
		w.expect(t, "another room", time.Millisecond, "")
		w.let(alice, "D", Access{})
		w.expect(t, "what nobody has told of", lookEvery+time.Second, fmt.Sprintf("remove %s; send leave", mine.identity))
		if _, err := s.Admit(t.Context(), mine.alias, mine.identity); err == nil {
			t.Error("a token from before lets in who was put out")
		}
		w.let(alice, "D", everything)
		if _, err := s.Admit(t.Context(), mine.alias, mine.identity); err == nil {
			t.Error("a token from before lets in who was put out, and may come in again")
		}
		if _, ok := w.row(mine); ok || s.Seated(mine.identity) {
			t.Error("the seat is left")
		}
		if s.Watches(room) || s.Watches("") {
			t.Error("nobody is in a call, and the room is watched")
		}
	})
}

// TestLeaverIsLoggedOnce tells the log of who leaves a room once, whatever seats there are, and no operator who has not asked for such things.
func TestLeaverIsLoggedOnce(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		enter(t, s, member)
		enter(t, s, byState)
		synctest.Wait() // who comes is looked at, each for themselves
		w.let(alice, "D", Access{})
		w.logged("")
		s.AccessChanged(room, alice)
		w.after(2 * lookEvery)
		if lines := w.logged(""); len(lines) != 1 || !strings.Contains(lines[0], "have ended") || !strings.Contains(lines[0], `"level":"debug"`) {
			t.Errorf("the log has %q", lines)
		}
	})
}

// TestAccessLostOnTheWay has somebody lose access after the token was looked at, and before the SFU can put them out.
func TestAccessLostOnTheWay(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		if _, err := s.Token(t.Context(), whoAlice, member); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Admit(t.Context(), mine.alias, mine.identity); err != nil {
			t.Fatal(err)
		}
		w.let(alice, "D", Access{})
		s.AccessChanged("", alice)
		w.expect(t, "the SFU does not find her", time.Millisecond, "remove "+mine.identity)
		s.Joined(mine.alias, mine.identity, true)
		w.expect(t, "she has come in", time.Millisecond, "remove "+mine.identity)
	})
}

// TestAccessLostWhileATokenIsMade has somebody lose access when it was looked at, and nobody knows yet that they are to have a seat.
func TestAccessLostWhileATokenIsMade(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		w.opened = func() {
			w.let(alice, "D", Access{})
			s.AccessChanged(room, alice)
		}
		if _, err := s.Token(t.Context(), whoAlice, member); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "the token is made", time.Millisecond, "remove "+mine.identity)
		if s.Watches(room) {
			t.Error("there is a seat")
		}
	})
}

// TestAdmitLooksForItself has somebody come of whose loss nothing was told.
func TestAdmitLooksForItself(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		if _, err := s.Token(t.Context(), whoAlice, member); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.let(alice, "D", Access{})
		if _, err := s.Admit(t.Context(), mine.alias, mine.identity); !errors.Is(err, errNoSeat) {
			t.Errorf("got %v, want %v", err, errNoSeat)
		}
	})
}

// TestAccessWhileTheDatabaseIsDown puts out as soon as it is known.
func TestAccessWhileTheDatabaseIsDown(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		enter(t, s, member)
		w.expect(t, "she is in", time.Second, "")
		w.let(alice, "D", Access{})
		w.fail(errors.New("broken"))
		s.AccessChanged(room, alice)
		w.expect(t, "while it is down", 10*time.Second, "")
		if _, err := s.Admit(t.Context(), mine.alias, mine.identity); !errors.Is(err, errTrouble) {
			t.Errorf("to come in: %v", err)
		}
		w.fail(nil)
		w.expect(t, "when it is back", lookRetry+time.Second, "remove "+mine.identity)
	})
}

// TestSeatsExpire forgets tokens that have ended, and nobody who is there.
func TestSeatsExpire(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		other := Member{RoomID: room, SlotID: DefaultSlot, DeviceID: "D", MemberID: "other"}
		enter(t, s, member)
		if _, err := s.Token(t.Context(), whoAlice, other); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "hours later", 3*time.Hour, "")
		if _, ok := w.row(other.key(alice)); ok {
			t.Error("a token that has ended has a seat")
		}
		if _, ok := w.row(mine); !ok {
			t.Fatal("who is there has none")
		}
		s.Left(mine.alias, mine.identity)
		w.expect(t, "gone for an hour", time.Hour+2*time.Minute, "")
		if s.Watches("") {
			t.Error("a seat is left")
		}
	})
}

// TestStrangersOfTheSFU has participants whom nobody has given a token put out.
func TestStrangersOfTheSFU(t *testing.T) {
	live(t, func(t *testing.T, w *world, s *Service) {
		if _, err := s.Admit(t.Context(), "a", "stranger"); err == nil {
			t.Error("a stranger may come in")
		}
		s.Joined("a", "stranger", true)
		w.expect(t, "who has come all the same", time.Second, "remove stranger")
		s.Left("a", "stranger")
		s.AccessChanged("", id.UserID("@nobody:test"))
		w.expect(t, "afterwards", time.Hour, "")
	})
}
