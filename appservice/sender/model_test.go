package sender

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// naive is the specification read word for word: it keeps who is where, event by event, and asks for each whether anybody of the
// service has to do with it.
type naive struct {
	ours    func(id.UserID) bool
	byID    func(id.RoomID) bool
	members map[id.RoomID]map[id.UserID]string
}

// wants tells whether an event concerns the service: sent by one of its users, about the membership of one, in a room of its
// namespaces, or where one of its users is joined or invited.
func (n *naive) wants(roomID id.RoomID, sender id.UserID, target id.UserID, membership string) bool {
	members := n.members[roomID]
	if members == nil {
		members = make(map[id.UserID]string)
		n.members[roomID] = members
	}
	want := n.ours(sender) || n.byID(roomID)
	for user, membership := range members {
		want = want || n.ours(user) && (membership == "join" || membership == "invite")
	}
	if target != "" {
		members[target] = membership
		want = want || n.ours(target)
	}
	return want
}

// TestInterestModel compares what a service gets of a random history, at once, and late by another cut of the stream, with the naive
// reading.
func TestInterestModel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		for seed := range uint64(6) {
			random := rand.New(rand.NewPCG(seed, 1))
			reg := register(t, fmt.Sprint("irc", seed), `{"users":[{"regex":"@irc_.*"}],"rooms":[{"regex":"!special.*"}]}`)
			reg.ReceiveEphemeral = seed%2 == 0 // these are read in another way
			late := *reg
			late.ID, late.ASToken, late.HSToken = "late-"+reg.ID, "as-late", "hs-late"
			if err := h.sender(nil, newSet(t, &late)).Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			pace := newService()
			s := h.sender(pace, newSet(t, reg))
			stop := h.start(s)
			want := append(randomHistory(h, random), "end")
			if got := untilEnd(t, pace); !slices.Equal(got, want) {
				t.Errorf("seed %d: at once the service got\n%q, want\n%q", seed, got, want)
			}
			stop()
			after := newService()
			stop = h.start(h.sender(after, newSet(t, &late)))
			if got := untilEnd(t, after); !slices.Equal(got, want) {
				t.Errorf("seed %d: late the service got\n%q, want\n%q", seed, got, want)
			}
			stop()
		}
	})
}

// randomHistory writes some, and returns what the naive reading has of it.
func randomHistory(h *house, random *rand.Rand) (want []string) {
	users := []id.UserID{alice, "@bob:test", "@carol:elsewhere", "@irc_x:elsewhere", ghost, other}
	memberships := []string{"join", "join", "invite", "leave", "ban", "knock"}
	n := &naive{
		ours:    func(u id.UserID) bool { return strings.HasPrefix(string(u), "@irc_") && u.Homeserver() == serverName },
		byID:    func(r id.RoomID) bool { return strings.HasPrefix(string(r), "!special") },
		members: make(map[id.RoomID]map[id.UserID]string),
	}
	var rooms []*testRoom
	for _, name := range []string{"a", "b", "c", "special"} {
		r := h.room(name)
		rooms = append(rooms, r)
		if n.wants(r.id, alice, "", "") {
			want = append(want, event.TypeCreate)
		}
		if n.wants(r.id, alice, alice, "join") {
			want = append(want, event.TypeMember)
		}
	}
	for i := range 120 {
		r, sender := rooms[random.IntN(len(rooms))], users[random.IntN(len(users))]
		switch random.IntN(5) {
		case 0, 1:
			target, membership := users[random.IntN(len(users))], memberships[random.IntN(len(memberships))]
			r.setState(sender, event.TypeMember, string(target), fmt.Sprintf(`{"membership":%q}`, membership))
			if n.wants(r.id, sender, target, membership) {
				want = append(want, event.TypeMember)
			}
		case 2:
			r.setState(sender, "m.room.other", string(ghost), `{}`)
			if n.wants(r.id, sender, "", "") {
				want = append(want, "m.room.other")
			}
		default:
			text := fmt.Sprint("line ", i)
			r.say(sender, text)
			if n.wants(r.id, sender, "", "") {
				want = append(want, text)
			}
		}
	}
	rooms[0].say(ghost, "end")
	return want
}

// TestEphemeralModel has receipts come at random moments of a random history, to a service that keeps pace. It gets those of rooms of its
// namespaces, and of rooms in which one of its users is at that moment; of private ones, those of its own users among them.
func TestEphemeralModel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		reg := register(t, "irc", `{"users":[{"regex":"@irc_.*"}],"rooms":[{"regex":"!special.*"}]}`)
		reg.ReceiveEphemeral = true
		service := newService()
		s := h.sender(service, newSet(t, reg))
		h.start(s)
		random := rand.New(rand.NewPCG(1, 2))
		users := []id.UserID{alice, "@irc_x:elsewhere", ghost, other}
		memberships := []string{"join", "join", "invite", "leave", "ban", "knock"}
		in := make(map[id.RoomID]map[id.UserID]bool)
		var rooms []*testRoom
		for _, name := range []string{"a", "b", "special"} {
			rooms = append(rooms, h.room(name))
			in[rooms[len(rooms)-1].id] = make(map[id.UserID]bool)
		}
		var want []string
		for i := range 150 {
			r, user := rooms[random.IntN(len(rooms))], users[random.IntN(len(users))]
			if random.IntN(3) == 0 {
				membership := memberships[random.IntN(len(memberships))]
				r.member(user, membership)
				in[r.id][user] = membership == "join"
				continue
			}
			at := r.say(alice, fmt.Sprint("line ", i))
			kind := store.ReceiptRead
			if random.IntN(3) == 0 {
				kind = store.ReceiptReadPrivate
			}
			ours := user == ghost || user == other
			if (in[r.id][ghost] || in[r.id][other] || strings.HasPrefix(string(r.id), "!special")) && (ours || kind == store.ReceiptRead) {
				want = append(want, fmt.Sprintf(`{"%s":{"%s":{"%s":{"ts":5}}}}`, at, kind, user))
			}
			r.read(user, kind, "", at)
			h.newest = h.streamPos()
			h.stepper(s)()
		}
		rooms[0].say(ghost, "end")
		var got []string
		for done := false; !done; {
			q := service.next(t)
			done = slices.Contains(q.events(t), "end")
			for _, e := range parseTxn(t, q.body).Ephemeral {
				got = append(got, asJSON(e["content"]))
			}
		}
		same(t, "receipts", got, want)
	})
}
