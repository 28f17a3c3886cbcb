package sender

import (
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

const (
	ircUsers   = `{"users":[{"exclusive":true,"regex":"@irc_.*"}]}`
	ircAliases = `{"users":[{"regex":"@irc_end:test"}],"aliases":[{"regex":"#irc_.*"}]}`
	ircRooms   = `{"users":[{"regex":"@irc_end:test"}],"rooms":[{"regex":"!special.*"}]}`
)

// interestCases tell what a service with namespaces gets of what goes on in the room "r" and others.
var interestCases = []struct {
	name, namespaces string
	act              func(h *house, r *testRoom)
	want             []string
}{
	{"nobody of the service", ircUsers, func(_ *house, r *testRoom) {
		r.say(alice, "no")
		r.member("@bob:test", "join")
	}, nil},
	{"sender outside the room", ircUsers, func(_ *house, r *testRoom) {
		r.say(ghost, "yes")
		r.say(alice, "no")
	}, []string{"yes"}},
	{"ghost joined", ircUsers, func(_ *house, r *testRoom) {
		r.say(alice, "before")
		r.member(ghost, "join")
		r.say(alice, "after")
	}, []string{event.TypeMember, "after"}},
	{"ghost invited", ircUsers, func(_ *house, r *testRoom) {
		r.setState(alice, event.TypeMember, string(ghost), `{"membership":"invite"}`)
		r.say(alice, "after")
	}, []string{event.TypeMember, "after"}},
	{"bot joined", ircUsers, func(_ *house, r *testRoom) {
		r.member("@irc_bot:test", "join")
		r.say(alice, "after")
	}, []string{event.TypeMember, "after"}},
	{"bot outside the namespace", `{"users":[{"regex":"@irc_end:test"}]}`, func(_ *house, r *testRoom) {
		r.member(ghost, "join")
		r.say(alice, "no")
		r.member(bot, "invite")
		r.say(alice, "yes")
	}, []string{event.TypeMember, "yes"}},
	{"ghost left", ircUsers, func(_ *house, r *testRoom) {
		r.member(ghost, "join")
		r.say(alice, "in")
		r.member(ghost, "leave")
		r.say(alice, "out")
	}, []string{event.TypeMember, "in", event.TypeMember}},
	{"one of two ghosts left", ircUsers, func(_ *house, r *testRoom) {
		r.member(ghost, "join")
		r.member(other, "join")
		r.say(alice, "both")
		r.member(ghost, "leave")
		r.say(alice, "one")
		r.member(other, "ban")
		r.say(alice, "none")
	}, []string{event.TypeMember, event.TypeMember, "both", event.TypeMember, "one", event.TypeMember}},
	{"ghost came back", ircUsers, func(_ *house, r *testRoom) {
		r.member(ghost, "join")
		r.member(ghost, "leave")
		r.say(alice, "out")
		r.member(ghost, "join")
		r.say(alice, "in")
	}, []string{event.TypeMember, event.TypeMember, event.TypeMember, "in"}},
	{"knock is no membership", ircUsers, func(_ *house, r *testRoom) {
		r.member(ghost, "knock")
		r.say(alice, "no")
	}, []string{event.TypeMember}},
	{"state key of another type", ircUsers, func(_ *house, r *testRoom) {
		r.setState(alice, "m.room.other", string(ghost), `{}`)
	}, nil},
	{"user of another server", ircUsers, func(_ *house, r *testRoom) {
		r.member("@irc_nick:elsewhere", "join")
		r.say("@irc_nick:elsewhere", "no")
	}, nil},
	{"another room of the ghost", ircUsers, func(h *house, r *testRoom) {
		h.room("second").member(ghost, "join")
		r.say(alice, "no")
	}, []string{event.TypeMember}},
	{"alias", ircAliases, func(h *house, r *testRoom) {
		r.say(alice, "before")
		h.write(func(tx *store.Tx) error { return tx.InsertAlias("#other:test", r.nid, alice, 1) })
		r.say(alice, "another alias")
		h.write(func(tx *store.Tx) error { return tx.InsertAlias("#irc_room:test", r.nid, alice, 1) })
		r.say(alice, "yes")
		r.setState(alice, "m.room.topic", "", `{"topic":"x"}`)
		h.write(func(tx *store.Tx) error { return tx.DeleteAlias("#irc_room:test") })
		r.say(alice, "after")
	}, []string{"yes", "m.room.topic"}},
	{"room id", ircRooms, func(h *house, r *testRoom) {
		r.say(alice, "no")
		h.room("special-room").say(alice, "yes")
	}, []string{event.TypeCreate, event.TypeMember, "yes"}},
}

func TestInterest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		for i, c := range interestCases {
			t.Run(c.name, func(t *testing.T) {
				h.t = t
				near, late := register(t, fmt.Sprint("near", i), c.namespaces), register(t, fmt.Sprint("late", i), c.namespaces)
				near.SenderLocalpart, late.SenderLocalpart = "irc_bot", "irc_bot"
				if err := h.sender(nil, newSet(t, late)).Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				service := newService()
				s := h.sender(service, newSet(t, near))
				h.start(s)
				r := h.room("r")
				h.step = h.stepper(s)
				c.act(h, r)
				h.step = nil
				h.room("end").say("@irc_end:test", "end")
				want := append(slices.Clone(c.want), "end")
				if got := untilEnd(t, service); !slices.Equal(got, want) {
					t.Errorf("a service that keeps pace got %q, want %q", got, want)
				}
				// The other sees all of it at once and late, when the memberships are already those of the end. Aliases have no
				// history: they count as they are.
				if c.name == "alias" {
					want = []string{"end"}
				}
				service = newService()
				h.start(h.sender(service, newSet(t, late)))
				if got := untilEnd(t, service); !slices.Equal(got, want) {
					t.Errorf("a service that comes late got %q, want %q", got, want)
				}
			})
		}
	})
}

// untilEnd collects events until the text "end".
func untilEnd(t *testing.T, s *service) []string {
	t.Helper()
	var got []string
	for !slices.Contains(got, "end") {
		got = append(got, s.next(t).events(t)...)
	}
	return got
}
