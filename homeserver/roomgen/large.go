package roomgen

import (
	"fmt"
	"maps"
	"math/rand/v2"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// largeServers is how many servers the members of a large room are spread over.
const largeServers = 50

// largeModerators is how many of the members have some power.
const largeModerators = 20

// large is a large room while it is made. Its states are not kept, but for those of the branches.
type large struct {
	smith
	rng     *rand.Rand
	members []id.UserID
	state   State
	tip     int
	clock   int64
	secret  int
}

// Large makes a public room of the version with that many members, who joined one after the other, and two branches that conflict in as
// many state events: half of conflicts on each, at the same places. Seven in ten are members who change their name; the others set
// things, kick, and change the power levels. Only the events at the end of the branches have their states. There are no signatures.
//
// Errors: ErrOptions, event.ErrUnknownVersion, and what stateres returns: Resolved is that of both branches.
func Large(members, conflicts int, version string) (*Room, error) {
	v, err := event.LookupVersion(version)
	if err != nil {
		return nil, err
	}
	if members < 1 || conflicts < 0 {
		return nil, fmt.Errorf("%w: %d members, %d conflicts", ErrOptions, members, conflicts)
	}
	room := &Room{Version: v, Keys: make(map[string]*event.Key), index: make(map[id.EventID]int, members+conflicts), resolve: resolve}
	l := &large{
		smith: smith{room: room, quick: true}, rng: rand.New(rand.NewPCG(uint64(members), uint64(conflicts))),
		state: State{}, tip: -1, clock: 1_700_000_000_000,
	}
	l.opaque = func() string { l.secret++; return fmt.Sprintf("large%d", l.secret) }
	for i := range largeServers {
		name := fmt.Sprintf("s%d.example", i)
		room.Keys[name] = newKey(0, name)
	}
	if err := l.found(members); err != nil {
		return nil, fmt.Errorf("make a room of %d: %w", members, err)
	}
	if err := l.fork(conflicts / 2); err != nil {
		return nil, fmt.Errorf("make a room with %d conflicts: %w", conflicts, err)
	}
	return room, room.settle()
}

// found makes the room and lets everybody join.
func (l *large) found(members int) error {
	for i := range members {
		l.members = append(l.members, id.UserID(fmt.Sprintf("@u%d:s%d.example", i, i%largeServers)))
	}
	creator := l.members[0]
	v := l.room.Version
	if !v.RoomIDIsCreateHash {
		l.room.RoomID = id.RoomID("!large:" + event.ServerOf(creator))
	}
	create := object{"room_version": v.ID}
	if v.CreatorField {
		create["creator"] = creator
	}
	first := []*draft{
		state(creator, event.TypeCreate, "", create),
		l.joinOf(creator),
		state(creator, event.TypePowerLevels, "", l.levels(0)),
		state(creator, event.TypeJoinRules, "", object{"join_rule": event.JoinRulePublic}),
		state(creator, event.TypeHistoryVisibility, "", object{"history_visibility": event.VisibilityShared}),
	}
	for _, d := range first {
		if err := l.send(d); err != nil {
			return err
		}
	}
	for _, user := range l.members[1:] {
		if err := l.send(l.joinOf(user)); err != nil {
			return err
		}
	}
	return nil
}

func (l *large) joinOf(user id.UserID) *draft {
	return state(user, event.TypeMember, string(user), object{
		"membership": event.MembershipJoin, "displayname": fmt.Sprintf("User %d", l.rng.IntN(1_000_000)),
	})
}

// levels gives the moderators their power. The step number makes each the same but for one level.
func (l *large) levels(step int) object {
	users := object{}
	if !l.room.Version.PrivilegedCreators {
		users[string(l.members[0])] = 100
	}
	for _, user := range l.members[1:min(len(l.members), largeModerators+1)] {
		users[string(user)] = 50
	}
	return object{"users": users, "events": object{"org.example.step": step % 50}}
}

// fork sends n state events on each of two branches.
func (l *large) fork(n int) error {
	if n == 0 {
		l.room.Events[l.tip].StateAfter = l.state
		return nil
	}
	base, trunk := l.tip, l.state
	for branch := range 2 {
		l.tip, l.state = base, maps.Clone(trunk)
		for i := range n {
			if err := l.send(l.conflict(branch, i, n)); err != nil {
				return err
			}
		}
		l.room.Events[l.tip].StateAfter = l.state
	}
	return nil
}

// conflict is the i-th of n events of a branch: that of the other branch is at the same place.
func (l *large) conflict(branch, i, n int) *draft {
	moderator := l.members[(i*7+branch*3)%min(len(l.members), largeModerators+1)]
	ordinary := func(i int) id.UserID { return l.members[len(l.members)-1-i%max(1, len(l.members)-largeModerators-1)] }
	switch {
	case len(l.members) <= largeModerators+n || i%10 < 2:
		return state(moderator, "org.example.place", fmt.Sprint(i), object{"branch": branch})
	case i%10 == 2 && i%100 == 2:
		return state(l.members[0], event.TypePowerLevels, "", l.levels(2*i+branch))
	case i%10 == 2 && branch == 0:
		return state(moderator, event.TypeMember, string(ordinary(i)), object{"membership": event.MembershipLeave})
	}
	return l.joinOf(ordinary(i))
}

// send makes d the event after the last.
func (l *large) send(d *draft) error {
	l.clock += 1 + l.rng.Int64N(1000)
	at := site{ts: l.clock, depth: 1}
	if l.tip >= 0 {
		last := l.room.Events[l.tip].PDU
		at.prev, at.depth = []id.EventID{last.EventID}, last.Depth+1
	}
	var err error
	if at.auth, err = authEvents(l.room.Version, d, l.state); err != nil {
		return err
	}
	p, err := l.build(d, at)
	if err != nil {
		return err
	}
	if p.Type == event.TypeCreate {
		l.room.RoomID = p.RoomID
	}
	if err := eventauth.Check(p, l.room.StateMap(l.state)); err != nil {
		return err
	}
	l.tip = l.room.add(Event{PDU: p, Server: event.ServerOf(d.sender)})
	if p.StateKey != nil {
		l.state[eventauth.StateKey{Type: p.Type, Key: *p.StateKey}] = p.EventID
	}
	return nil
}
