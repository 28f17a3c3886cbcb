package eventauth

import (
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// NotAllowed is why an event is rejected. Clients see it as M_FORBIDDEN with the reason.
type NotAllowed struct {
	Rule   string // the number of the rule, in the list of room version 12 unless it says otherwise
	Reason string // a sentence for people, without content of the event
}

// Error returns the reason and the rule.
func (e *NotAllowed) Error() string { return e.Reason + " (authorisation rule " + e.Rule + ")" }

func reject(rule, reason string) error { return &NotAllowed{Rule: rule, Reason: reason} }

// Check says whether p may be in its room when the room's state is auth: nil, or a *NotAllowed. auth must hold at least what Needed
// names, and the create event even where auth events do not name it (version 12).
//
// These are the authorisation rules of the room versions, "Authorisation rules", but for two. Rule 3, about the auth events as p lists
// them, is CheckAuthEvents. Rule 5.2, that the server of join_authorised_via_users_server has signed, is a signature like that of the
// sender's server, and checked with it by event.CheckSignatures. Rule 0 is ours: an event over the size limits.
func Check(p *event.PDU, auth State) error {
	c := &checker{p: p, version: p.Version, state: auth}
	for _, apply := range steps {
		if done, err := apply(c); done || err != nil {
			return err
		}
	}
	return nil // Rule 11.
}

// steps are the rules in their order. Each allows (done), rejects (an error), or leaves the event to the next.
var steps = []func(*checker) (done bool, err error){
	(*checker).sizeLimits,
	(*checker).createRules,      // 1
	(*checker).roomRules,        // 2, 4
	(*checker).aliasesRules,     // 4 of versions 1 to 5
	(*checker).memberRules,      // 5
	(*checker).senderJoined,     // 6
	(*checker).thirdPartyInvite, // 7
	(*checker).requiredLevel,    // 8
	(*checker).userStateKey,     // 9
	(*checker).powerLevelRules,  // 10
	(*checker).redactionRules,   // 11 of versions 1 and 2
}

// checker is one event under examination, and what was found out about its room.
type checker struct {
	p       *event.PDU
	version *event.RoomVersion
	state   State

	createEvent *event.PDU
	create      *event.Create
	levels      *event.PowerLevels // the current ones, or the defaults
	hasLevels   bool
	senderLevel int64
}

// sizeLimits are no rule of the list, but what became of the events of old rooms that are too large for today's limits: they were
// sent, so they are kept, but nobody heeds them. Client-Server API, "Size limits".
func (c *checker) sizeLimits() (bool, error) {
	if c.p.Oversized() {
		return false, reject("0", "A field of the event is too long")
	}
	return false, nil
}

// roomRules are the rules about the room that p is in.
func (c *checker) roomRules() (bool, error) {
	c.createEvent = c.state.Get(StateKey{Type: event.TypeCreate})
	if c.createEvent == nil {
		return false, reject("2", "The room has no create event")
	}
	// Rule 2. That the create event was accepted is for the caller to know. The versions before 12 ask the same of each auth
	// event in rule 2.5.
	if c.createEvent.RoomID != c.p.RoomID {
		return false, reject("2", "The create event is of another room")
	}
	var err error
	if c.create, err = c.createEvent.Create(); err != nil {
		return false, reject("2", "The create event is malformed")
	}
	// Rule 4. The domain of the create event is its sender's, not that of the creator named by its content.
	if !c.create.Federate && event.ServerOf(c.p.Sender) != event.ServerOf(c.createEvent.Sender) {
		return false, reject("4", "The room does not federate")
	}
	if c.levels, c.hasLevels, err = currentLevels(c.state); err != nil {
		return false, reject("10", "The current power levels are malformed")
	}
	c.senderLevel = c.level(c.p.Sender)
	return false, nil
}

// level returns the power level of user.
func (c *checker) level(user id.UserID) int64 {
	return userLevel(c.version, c.create, c.levels, c.hasLevels, user)
}

func (c *checker) membership(user id.UserID) string { return Membership(c.state, user) }

// aliasesRules are rule 4 of versions 1 to 5.
func (c *checker) aliasesRules() (bool, error) {
	if !c.version.AliasesAuth || c.p.Type != event.TypeAliases {
		return false, nil
	}
	if c.p.StateKey == nil {
		return false, reject("4.1 of version 1", "Aliases need a state key")
	}
	if *c.p.StateKey != event.ServerOf(c.p.Sender) {
		return false, reject("4.2 of version 1", "Only the server that is the state key may set these aliases")
	}
	return true, nil
}

// senderJoined is rule 6.
func (c *checker) senderJoined() (bool, error) {
	if c.membership(c.p.Sender) != event.MembershipJoin {
		return false, reject("6", "The sender is not in the room")
	}
	return false, nil
}

// thirdPartyInvite is rule 7.
func (c *checker) thirdPartyInvite() (bool, error) {
	if c.p.Type != event.TypeThirdPartyInvite {
		return false, nil
	}
	if c.senderLevel < c.levels.Invite {
		return false, reject("7.1", "The sender's power level does not suffice to invite")
	}
	return true, nil
}

// requiredLevel is rule 8.
func (c *checker) requiredLevel() (bool, error) {
	if c.levels.Event(c.p.Type, c.p.IsState()) > c.senderLevel {
		return false, reject("8", "The sender's power level does not suffice for this type of event")
	}
	return false, nil
}

// userStateKey is rule 9.
func (c *checker) userStateKey() (bool, error) {
	key := c.p.StateKey
	if key != nil && len(*key) > 0 && (*key)[0] == '@' && *key != string(c.p.Sender) {
		return false, reject("9", "The state key is another user's")
	}
	return false, nil
}

// redactionRules are rule 11 of versions 1 and 2. Later versions decide whether to apply a redaction, not whether to accept it:
// CanRedact.
func (c *checker) redactionRules() (bool, error) {
	if !c.version.RedactionAuth || c.p.Type != event.TypeRedaction {
		return false, nil
	}
	server := event.ServerOf(c.p.EventID)
	if c.senderLevel >= c.levels.Redact || server != "" && event.ServerOf(c.p.Redacts) == server {
		return true, nil
	}
	return false, reject("11.3 of version 1", "The sender's power level does not suffice to redact")
}
