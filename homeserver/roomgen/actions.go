package roomgen

import (
	"fmt"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// action is something that a user of server s may do when the room is in state st. Its draft is nil where there is nobody to do it.
type action struct {
	weight int
	draft  func(w *world, s *server, st State) *draft
	when   func(o *Options) bool // nil: always
}

// actions are what servers do of themselves. What their users may not do is tried nevertheless: it is up to the authorisation rules.
var actions = []action{
	{weight: 8, draft: (*world).say},
	{weight: 8, draft: (*world).join},
	{weight: 3, draft: (*world).leave},
	{weight: 4, draft: (*world).invite},
	{weight: 3, draft: (*world).kick},
	{weight: 2, draft: (*world).ban},
	{weight: 1, draft: (*world).unban},
	{weight: 6, draft: (*world).setting},
	{weight: 4, draft: (*world).changeLevels},
	{weight: 2, draft: (*world).changeJoinRule},
	{weight: 6, draft: (*world).knock, when: func(o *Options) bool { return o.Knocks }},
	{weight: 4, draft: (*world).inviteThirdParty, when: func(o *Options) bool { return o.ThirdPartyInvites }},
	{weight: 6, draft: (*world).redeem, when: func(o *Options) bool { return o.ThirdPartyInvites }},
	{weight: 4, draft: (*world).redact, when: func(o *Options) bool { return o.Redactions }},
	{weight: 5, draft: (*world).repeat, when: func(o *Options) bool { return o.DuplicateStates }},
}

// act lets s do one thing, or try to.
func (w *world) act(s *server) error {
	st, err := w.now(s)
	if err != nil {
		return err
	}
	if w.o.DeadBranches && w.chance(15) {
		return w.deadBranch(s)
	}
	total := 0
	for _, a := range actions {
		if a.when == nil || a.when(&w.o) {
			total += a.weight
		}
	}
	n := w.rng.IntN(total)
	for _, a := range actions {
		if a.when != nil && !a.when(&w.o) {
			continue
		}
		if n -= a.weight; n < 0 {
			return w.try(a.draft(w, s, st))
		}
	}
	return nil
}

func state(sender id.UserID, evType, key string, content object) *draft {
	return &draft{sender: sender, evType: evType, stateKey: &key, content: content}
}

func message(sender id.UserID, body string) *draft {
	return &draft{sender: sender, evType: "m.room.message", content: object{"msgtype": "m.text", "body": body}}
}

func (w *world) member(sender, target id.UserID, membership string) *draft {
	content := object{"membership": membership}
	if sender == target && membership == event.MembershipJoin {
		content["displayname"] = fmt.Sprintf("User %d", w.rng.IntN(100))
	}
	return state(sender, event.TypeMember, string(target), content)
}

// those returns the users for whom keep holds, in the order of users.
func those(users []id.UserID, keep func(id.UserID) bool) []id.UserID {
	var kept []id.UserID
	for _, user := range users {
		if keep(user) {
			kept = append(kept, user)
		}
	}
	return kept
}

func (w *world) membership(st State, user id.UserID) string {
	return eventauth.Membership(w.room.StateMap(st), user)
}

func (w *world) level(st State, user id.UserID) int64 {
	return eventauth.UserLevel(w.room.StateMap(st), user)
}

// joined returns one of the users of s who are in the room, "" when there is none.
func (w *world) joined(s *server, st State) id.UserID {
	return pick(w, those(s.users, func(u id.UserID) bool { return w.membership(st, u) == event.MembershipJoin }))
}

// powerful is joined, but prefers users of some level.
func (w *world) powerful(s *server, st State) id.UserID {
	able := those(s.users, func(u id.UserID) bool {
		return w.membership(st, u) == event.MembershipJoin && w.level(st, u) >= event.DefaultStateLevel
	})
	if len(able) > 0 && !w.chance(5) {
		return pick(w, able)
	}
	return w.joined(s, st)
}

// withMembership returns a user of the room with one of the memberships, "" for none.
func (w *world) withMembership(users []id.UserID, st State, memberships ...string) id.UserID {
	return pick(w, those(users, func(u id.UserID) bool {
		for _, membership := range memberships {
			if w.membership(st, u) == membership {
				return true
			}
		}
		return false
	}))
}

// by returns the event, or nil when there is nobody to send it or to be its target.
func (w *world) by(sender, target id.UserID, membership string) *draft {
	if sender == "" || target == "" {
		return nil
	}
	return w.member(sender, target, membership)
}

func (w *world) say(s *server, st State) *draft {
	user := w.joined(s, st)
	if user == "" {
		return nil
	}
	n := len(w.room.Events)
	d := message(user, fmt.Sprintf("message %d", n))
	// Most relate to an earlier event, of whatever branch. It is not left to chance, so that it changes nothing else.
	if relType := relTypes[n%len(relTypes)]; relType != "" {
		d.content["m.relates_to"] = object{"rel_type": relType, "event_id": w.room.Events[n*2/3].PDU.EventID, "key": "k"}
		d.content["m.new_content"] = object{}
	}
	return d
}

var relTypes = []string{event.RelThread, "", event.RelThread, event.RelReplace, event.RelReference, event.RelAnnotation, "x.y"}

func (w *world) join(s *server, st State) *draft {
	user := w.withMembership(s.users, st, "", event.MembershipLeave, event.MembershipInvite, event.MembershipKnock)
	if user == "" || w.chance(8) {
		user = pick(w, s.users) // who changes their name, or is not let in
	}
	d := w.member(user, user, event.MembershipJoin)
	w.vouch(d, user, st)
	return d
}

// vouch finds a member to authorise the join of user, where the join rule asks for one.
func (w *world) vouch(d *draft, user id.UserID, st State) {
	rule := eventauth.JoinRule(w.room.StateMap(st))
	v := w.room.Version
	if !v.Restricted || rule != event.JoinRuleRestricted && rule != event.JoinRuleKnockRestricted || w.chance(10) {
		return
	}
	if m := w.membership(st, user); m == event.MembershipJoin || m == event.MembershipInvite {
		return
	}
	via := w.withMembership(w.users, st, event.MembershipJoin)
	if via == "" {
		return
	}
	d.content["join_authorised_via_users_server"] = via
	d.vouching = event.ServerOf(via)
}

func (w *world) leave(s *server, st State) *draft {
	user := w.withMembership(s.users, st, event.MembershipJoin, event.MembershipInvite, event.MembershipKnock)
	if user == w.users[0] {
		return nil // Somebody has to stay.
	}
	return w.by(user, user, event.MembershipLeave)
}

func (w *world) invite(s *server, st State) *draft {
	target := w.withMembership(w.users, st, "", event.MembershipLeave, event.MembershipKnock)
	return w.by(w.joined(s, st), target, event.MembershipInvite)
}

func (w *world) kick(s *server, st State) *draft {
	target := w.withMembership(w.users, st, event.MembershipJoin, event.MembershipInvite, event.MembershipKnock)
	return w.by(w.powerful(s, st), target, event.MembershipLeave)
}

func (w *world) ban(s *server, st State) *draft {
	return w.by(w.powerful(s, st), pick(w, w.users), event.MembershipBan)
}

func (w *world) unban(s *server, st State) *draft {
	return w.by(w.powerful(s, st), w.withMembership(w.users, st, event.MembershipBan), event.MembershipLeave)
}

func (w *world) knock(s *server, st State) *draft {
	user := w.withMembership(s.users, st, "", event.MembershipLeave)
	return w.by(user, user, event.MembershipKnock)
}
