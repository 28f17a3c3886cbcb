package roomgen

import (
	"errors"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// episodes returns what happens while the servers are apart, besides what they do of themselves.
func (w *world) episodes() []func() error {
	var list []func() error
	if w.o.Bans {
		list = append(list, w.evadeBan)
	}
	if w.o.PowerStruggles {
		list = append(list, w.struggle)
	}
	return list
}

// errIsNot reports whether err is an error other than target.
func errIsNot(err, target error) bool { return err != nil && !errors.Is(err, target) }

// apartFrom returns a server that s does not hear, or nil.
func (w *world) apartFrom(s *server) *server {
	var others []*server
	for _, other := range w.servers {
		if other.group != s.group {
			others = append(others, other)
		}
	}
	return pick(w, others)
}

// grudge is a banned user whose server has not heard of it, and the branch that the server builds on.
type grudge struct {
	user   id.UserID
	branch []int
}

// evadeBan has one side ban, or kick, a user of the other. The user's server does not hear of it, and goes on: it talks, and uses what
// power the user has.
func (w *world) evadeBan() error {
	judge := pick(w, w.servers)
	other := w.apartFrom(judge)
	if other == nil {
		return nil
	}
	st, err := w.now(judge)
	if err != nil {
		return err
	}
	evader := w.withMembership(other.users, st, event.MembershipJoin)
	if evader == "" || len(other.tips) == 0 {
		return nil
	}
	verdict := pick(w, []string{event.MembershipBan, event.MembershipBan, event.MembershipLeave})
	if err := w.try(w.by(w.powerful(judge, st), evader, verdict)); err != nil {
		return err
	}
	g := grudge{evader, slices.Clone(w.prevOf(other))}
	if err := w.evade(&g, 2+w.rng.IntN(3)); err != nil {
		return err
	}
	w.grudges = append(w.grudges, g)
	return nil
}

// persist has those who were banned build on their own branches, though all have heard of all.
func (w *world) persist() error {
	for i := range w.grudges {
		if err := w.evade(&w.grudges[i], 2); err != nil {
			return err
		}
	}
	w.grudges = nil
	return nil
}

// evade sends up to n events on the branch.
func (w *world) evade(g *grudge, n int) error {
	s := w.serverOf(g.user)
	for range n {
		before, err := w.stateBefore(g.branch)
		if err != nil {
			return err
		}
		i, err := w.sendOn(w.evasion(g.user, w.states[before]), g.branch)
		if errors.Is(err, errNotSent) {
			continue
		}
		if err != nil {
			return err
		}
		w.tell(s, i)
		if !w.room.Events[i].Rejected {
			g.branch = []int{i}
		}
	}
	return nil
}

// evasion is something that a banned user does.
func (w *world) evasion(user id.UserID, st State) *draft {
	switch w.rng.IntN(6) {
	case 0:
		return state(user, "m.room.topic", "", object{"topic": "I am still here"})
	case 1:
		return w.member(user, user, event.MembershipJoin)
	case 2:
		return w.member(user, pick(w, w.users), event.MembershipInvite)
	case 3:
		return w.member(user, pick(w, w.users), event.MembershipBan)
	case 4:
		return state(user, event.TypePowerLevels, "", withLevel(w.levelsNow(st), pick(w, w.users), w.spell(50)))
	}
	return message(user, "I am still here")
}

// struggle has two of the powerful, apart from each other, take the other's power, and that of the other's friends.
func (w *world) struggle() error {
	first := pick(w, w.servers)
	second := w.apartFrom(first)
	if second == nil {
		return nil
	}
	for range 2 + w.rng.IntN(3) {
		for _, side := range [][2]*server{{first, second}, {second, first}} {
			d, err := w.blow(side[0], side[1])
			if err != nil {
				return err
			}
			if err := w.try(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// blow is what one side does to the other.
func (w *world) blow(from, to *server) (*draft, error) {
	st, err := w.now(from)
	if err != nil {
		return nil, err
	}
	user, rival := w.powerful(from, st), pick(w, to.users)
	if user == "" {
		return nil, nil
	}
	below := those(to.users, func(u id.UserID) bool { return w.level(st, u) < w.level(st, user) })
	if len(below) > 0 {
		rival = pick(w, below)
	}
	levels := w.levelsNow(st)
	switch w.rng.IntN(5) {
	case 0:
		return w.member(user, rival, event.MembershipLeave), nil
	case 1:
		return w.member(user, rival, event.MembershipBan), nil
	case 2:
		levels = withLevel(levels, pick(w, from.users), w.spell(min(100, w.level(st, user))))
		return state(user, event.TypePowerLevels, "", levels), nil
	case 3:
		levels["state_default"] = w.spell(min(100, w.level(st, user)))
		return state(user, event.TypePowerLevels, "", levels), nil
	}
	return state(user, event.TypePowerLevels, "", withLevel(levels, rival, w.spell(0))), nil
}

// deadBranch sends events on an old event. Nobody builds on them, and not even their sender's server takes them for its extremities.
func (w *world) deadBranch(s *server) error {
	var old []int
	for i, heard := range s.heard {
		if heard {
			old = append(old, i)
		}
	}
	prev := []int{pick(w, old)}
	for range 1 + w.rng.IntN(3) {
		number, err := w.stateBefore(prev)
		if err != nil {
			return err
		}
		a := pick(w, actions)
		if a.when != nil && !a.when(&w.o) {
			continue
		}
		d := a.draft(w, s, w.states[number])
		if d == nil {
			continue
		}
		i, err := w.sendOn(d, prev)
		if errors.Is(err, errNotSent) {
			continue
		}
		if err != nil {
			return err
		}
		if !w.room.Events[i].Rejected {
			prev = []int{i}
		}
	}
	return nil
}
