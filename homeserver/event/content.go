package event

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// The memberships. Client-Server API, m.room.member.
const (
	MembershipInvite = "invite"
	MembershipJoin   = "join"
	MembershipKnock  = "knock"
	MembershipLeave  = "leave"
	MembershipBan    = "ban"
)

// The join rules. Client-Server API, m.room.join_rules.
const (
	JoinRulePublic          = "public"
	JoinRuleInvite          = "invite"
	JoinRuleKnock           = "knock"
	JoinRuleRestricted      = "restricted"
	JoinRuleKnockRestricted = "knock_restricted"
	JoinRulePrivate         = "private"
)

// The history visibilities. Client-Server API, "Room History Visibility".
const (
	VisibilityWorldReadable = "world_readable"
	VisibilityShared        = "shared"
	VisibilityInvited       = "invited"
	VisibilityJoined        = "joined"
)

// maxAllowRules is how many entries of a restricted join rule's allow list are looked at.
const maxAllowRules = 500

// contentView is what was read of the content, once.
type contentView struct {
	membership    string
	authorisedVia id.UserID
	joinRule      string
	allow         []AllowRule
	visibility    string
	power         *PowerLevels
	create        *Create
	acl           *ServerACL
	err           error
}

// views reads the content of p if it was not read yet.
func (p *PDU) views() *contentView {
	p.viewOnce.Do(func() {
		switch p.Type {
		case TypeMember:
			p.view.membership, _ = Text(Field(p.Content, "membership"))
			via, _ := Text(Field(p.Content, "join_authorised_via_users_server"))
			p.view.authorisedVia = id.UserID(via)
		case TypeJoinRules:
			p.view.joinRule, p.view.allow = parseJoinRules(p.Content)
		case TypeHistoryVisibility:
			p.view.visibility, _ = Text(Field(p.Content, "history_visibility"))
		case TypePowerLevels:
			p.view.power, p.view.err = parsePowerLevels(p.Version, p.Content)
		case TypeCreate:
			p.view.create, p.view.err = parseCreate(p)
		case TypeServerACL:
			p.view.acl = parseServerACL(p.Content)
		}
	})
	return &p.view
}

// Membership returns the membership that an m.room.member event sets; "" for other types, and when absent or not a string.
func (p *PDU) Membership() string { return p.views().membership }

// AuthorisedVia returns join_authorised_via_users_server of an m.room.member event: the user whose server vouches that the join
// meets a restricted join rule; "" when absent.
func (p *PDU) AuthorisedVia() id.UserID { return p.views().authorisedVia }

// JoinRule returns the join rule of an m.room.join_rules event: "invite" when it names none, "" for other types and when what it
// names is not a string.
func (p *PDU) JoinRule() string { return p.views().joinRule }

// AllowRule is one condition of a restricted join rule.
type AllowRule struct {
	Type   string // "m.room_membership", or something unknown
	RoomID id.RoomID
}

// Allow returns the conditions of an m.room.join_rules event, malformed ones left out.
func (p *PDU) Allow() []AllowRule { return p.views().allow }

// HistoryVisibility returns the visibility that an m.room.history_visibility event sets, which is "shared" when it is absent or not
// understood.
func (p *PDU) HistoryVisibility() string { return NormalVisibility(p.views().visibility) }

// NormalVisibility returns visibility, or "shared" when it is none of the four. Client-Server API, "Room History Visibility", "Server
// behaviour".
func NormalVisibility(visibility string) string {
	switch visibility {
	case VisibilityWorldReadable, VisibilityInvited, VisibilityJoined:
		return visibility
	}
	return VisibilityShared
}

// PowerLevels returns the levels that an m.room.power_levels event sets, or ErrBadContent.
func (p *PDU) PowerLevels() (*PowerLevels, error) {
	if p.Type != TypePowerLevels {
		return nil, fmt.Errorf("%w: not %s", ErrBadContent, TypePowerLevels)
	}
	v := p.views()
	return v.power, v.err
}

// Create returns what an m.room.create event says of its room, or ErrBadContent.
func (p *PDU) Create() (*Create, error) {
	if p.Type != TypeCreate {
		return nil, fmt.Errorf("%w: not %s", ErrBadContent, TypeCreate)
	}
	v := p.views()
	return v.create, v.err
}

// ContentValue returns the canonical JSON of key in the content, or nil.
func (p *PDU) ContentValue(key string) []byte { return Field(p.Content, key) }

// ContentString returns the string at key in the content; "" when there is none, or something else.
func (p *PDU) ContentString(key string) string {
	s, _ := Text(Field(p.Content, key))
	return s
}

func parseJoinRules(content []byte) (rule string, allow []AllowRule) {
	value := Field(content, "join_rule")
	if value == nil {
		rule = JoinRuleInvite
	} else {
		rule, _ = Text(value)
	}
	list := Field(content, "allow")
	if !isArray(list) {
		return rule, nil
	}
	for e := range Elements(list) {
		if len(allow) == maxAllowRules {
			break
		}
		if !isObject(e) {
			continue
		}
		kind, ok := Text(Field(e, "type"))
		if !ok {
			continue
		}
		room, _ := Text(Field(e, "room_id"))
		allow = append(allow, AllowRule{Type: kind, RoomID: id.RoomID(room)})
	}
	return rule, allow
}
