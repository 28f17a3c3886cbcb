package eventauth

import (
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// memberships are the rules for each membership, 5.3 to 5.7. Each allows by returning nil.
var memberships = map[string]func(c *checker, target id.UserID) error{
	event.MembershipJoin:   (*checker).join,
	event.MembershipInvite: (*checker).invite,
	event.MembershipLeave:  (*checker).leave,
	event.MembershipBan:    (*checker).ban,
	event.MembershipKnock:  (*checker).knock,
}

// memberRules are rule 5. None of them leaves an event to the later rules.
func (c *checker) memberRules() (bool, error) {
	if c.p.Type != event.TypeMember {
		return false, nil
	}
	// 5.1
	if c.p.StateKey == nil || c.p.ContentValue("membership") == nil {
		return false, reject("5.1", "A membership event needs a state key and a membership")
	}
	membership := c.p.Membership()
	rule := memberships[membership]
	if rule == nil || membership == event.MembershipKnock && !c.version.Knock {
		return false, reject("5.8", "The membership is unknown")
	}
	return true, rule(c, id.UserID(*c.p.StateKey))
}

// join are rules 5.3.
func (c *checker) join(target id.UserID) error {
	p := c.p
	// 5.3.1
	if len(p.PrevEvents) == 1 && p.PrevEvents[0] == c.createEvent.EventID && target == c.create.Creator {
		return nil
	}
	// 5.3.2
	if p.Sender != target {
		return reject("5.3.2", "Nobody can be made to join")
	}
	// 5.3.3
	current := c.membership(target)
	if current == event.MembershipBan {
		return reject("5.3.3", "The user is banned from the room")
	}
	member := current == event.MembershipInvite || current == event.MembershipJoin
	rule := JoinRule(c.state)
	switch {
	case rule == event.JoinRulePublic: // 5.3.6
		return nil
	case rule == event.JoinRuleInvite, rule == event.JoinRuleKnock && c.version.Knock: // 5.3.4
		if member {
			return nil
		}
		return reject("5.3.4", "The user is not invited to the room")
	case restricted(c.version, rule): // 5.3.5
		if member {
			return nil
		}
		return c.authorisedJoin()
	}
	return reject("5.3.7", "The room cannot be joined")
}

// restricted reports whether rule admits those whom a member's server vouches for.
func restricted(v *event.RoomVersion, rule string) bool {
	return rule == event.JoinRuleRestricted && v.Restricted || rule == event.JoinRuleKnockRestricted && v.KnockRestricted
}

// authorisedJoin are rules 5.3.5.2 and 5.3.5.3.
func (c *checker) authorisedJoin() error {
	via := c.p.AuthorisedVia()
	if via == "" || c.membership(via) != event.MembershipJoin {
		return reject("5.3.5.2", "The join is not authorised by a member of the room")
	}
	if c.level(via) < c.levels.Invite {
		return reject("5.3.5.2", "The join is authorised by a member who may not invite")
	}
	return nil
}

// leave are rules 5.5.
func (c *checker) leave(target id.UserID) error {
	current := c.membership(target)
	// 5.5.1
	if c.p.Sender == target {
		switch current {
		case event.MembershipInvite, event.MembershipJoin:
			return nil
		case event.MembershipKnock:
			if c.version.Knock {
				return nil
			}
		}
		return reject("5.5.1", "The user is not in the room")
	}
	// 5.5.2
	if c.membership(c.p.Sender) != event.MembershipJoin {
		return reject("5.5.2", "The sender is not in the room")
	}
	// 5.5.3
	if current == event.MembershipBan && c.senderLevel < c.levels.Ban {
		return reject("5.5.3", "The sender's power level does not suffice to unban")
	}
	// 5.5.4
	if c.senderLevel >= c.levels.Kick && c.level(target) < c.senderLevel {
		return nil
	}
	return reject("5.5.5", "The sender's power level does not suffice to kick this user")
}

// ban are rules 5.6.
func (c *checker) ban(target id.UserID) error {
	// 5.6.1
	if c.membership(c.p.Sender) != event.MembershipJoin {
		return reject("5.6.1", "The sender is not in the room")
	}
	// 5.6.2
	if c.senderLevel >= c.levels.Ban && c.level(target) < c.senderLevel {
		return nil
	}
	return reject("5.6.3", "The sender's power level does not suffice to ban this user")
}

// knock are rules 5.7.
func (c *checker) knock(target id.UserID) error {
	// 5.7.1
	rule := JoinRule(c.state)
	if rule != event.JoinRuleKnock && (rule != event.JoinRuleKnockRestricted || !c.version.KnockRestricted) {
		return reject("5.7.1", "The room does not take knocks")
	}
	// 5.7.2
	if c.p.Sender != target {
		return reject("5.7.2", "Nobody can be made to knock")
	}
	// 5.7.3
	switch c.membership(target) {
	case event.MembershipBan, event.MembershipInvite, event.MembershipJoin:
		return reject("5.7.4", "The user is banned, invited or in the room already")
	}
	return nil
}
