package roomgen

import (
	"fmt"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// Generate makes a room. Errors: ErrOptions, event.ErrUnknownVersion, and what the Resolver returns.
func Generate(o Options) (*Room, error) {
	o, v, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	w := newWorld(o, v)
	if err := w.live(); err != nil {
		return nil, fmt.Errorf("make a room of version %s, seed %d: %w", v.ID, o.Seed, err)
	}
	return w.room, w.room.settle()
}

// live is the life of the room.
func (w *world) live() error {
	if err := w.found(); err != nil {
		return err
	}
	end := len(w.room.Events) + w.o.Events
	for fork := range w.o.Forks {
		share := (end - len(w.room.Events)) / (w.o.Forks - fork)
		if err := w.together(share / 3); err != nil {
			return err
		}
		if err := w.apart(share - share/3); err != nil {
			return err
		}
	}
	if err := w.together(end - len(w.room.Events)); err != nil {
		return err
	}
	if w.o.Flawed {
		if err := w.flawedEvents(); err != nil {
			return err
		}
	}
	return w.spread()
}

// found begins the room: its creator, the settings, and a first user of each server.
func (w *world) found() error {
	creator := w.users[0]
	if !w.room.Version.RoomIDIsCreateHash {
		w.room.RoomID = id.RoomID("!" + w.randomText() + ":" + event.ServerOf(creator))
	}
	first := []*draft{w.create(creator), w.member(creator, creator, event.MembershipJoin)}
	if !w.o.NoPowerLevels {
		first = append(first, w.firstLevels(creator))
	}
	first = append(first,
		state(creator, event.TypeJoinRules, "", object{"join_rule": event.JoinRulePublic}),
		state(creator, event.TypeHistoryVisibility, "", object{"history_visibility": event.VisibilityShared}),
	)
	for _, d := range first {
		if err := w.send(d); err != nil {
			return fmt.Errorf("begin with %s: %w", d.evType, err)
		}
	}
	for _, s := range w.servers {
		if err := w.send(w.member(s.users[0], s.users[0], event.MembershipJoin)); err != nil {
			return fmt.Errorf("join of %s: %w", s.users[0], err)
		}
	}
	if rule := w.someJoinRule(); rule != nil {
		return w.try(state(creator, event.TypeJoinRules, "", rule))
	}
	return nil
}

// attempts bounds how many events are tried for one that is allowed.
const attempts = 20

// together lets servers send n events, each of which all of the group hear at once.
func (w *world) together(n int) error {
	end := len(w.room.Events) + n
	for range n * attempts {
		if len(w.room.Events) >= end {
			return nil
		}
		if err := w.act(pick(w, w.servers)); err != nil {
			return err
		}
	}
	return nil
}

// apart lets the servers fall into groups, send n events among themselves, and merge.
func (w *world) apart(n int) error {
	groups := 2 + w.rng.IntN(min(3, max(1, len(w.servers)-1)))
	for i, s := range w.rng.Perm(len(w.servers)) {
		w.servers[s].group = i % groups
	}
	end := len(w.room.Events) + n
	for _, episode := range w.episodes() {
		if err := episode(); err != nil {
			return err
		}
	}
	if err := w.together(end - len(w.room.Events)); err != nil {
		return err
	}
	w.merge()
	return w.persist()
}

// spread ends the room with as many branches as were asked for.
func (w *world) spread() error {
	s := w.servers[0]
	if w.o.Extremities == 1 && len(s.tips) > 1 {
		user, _, err := w.talker(s)
		if err != nil || user == "" {
			return err
		}
		return w.try(message(user, "the end"))
	}
	if w.o.Extremities < 2 {
		return nil
	}
	prev := slices.Clone(w.prevOf(s))
	for n := range w.o.Extremities {
		user, st, err := w.talker(s)
		if err != nil || user == "" {
			return err
		}
		d := message(user, fmt.Sprintf("branch %d", n))
		if eventauth.CanSend(w.room.StateMap(st), user, "m.room.topic", true) {
			d = state(user, "m.room.topic", "", object{"topic": fmt.Sprintf("branch %d", n)})
		}
		if _, err := w.sendOn(d, prev); err != nil {
			return err
		}
	}
	return nil
}

// talker returns some user who may speak by what s knows, "" when there is none, and the state that s knows.
func (w *world) talker(s *server) (id.UserID, State, error) {
	st, err := w.now(s)
	if err != nil {
		return "", nil, err
	}
	return pick(w, those(w.users, func(u id.UserID) bool {
		return eventauth.CanSend(w.room.StateMap(st), u, "m.room.message", false)
	})), st, nil
}
