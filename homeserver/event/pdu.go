package event

import (
	"encoding/json"
	"sync"

	"maunium.net/go/mautrix/id"
)

// The event types that have a meaning to the server itself.
const (
	TypeCreate            = "m.room.create"
	TypeMember            = "m.room.member"
	TypePowerLevels       = "m.room.power_levels"
	TypeJoinRules         = "m.room.join_rules"
	TypeThirdPartyInvite  = "m.room.third_party_invite"
	TypeHistoryVisibility = "m.room.history_visibility"
	TypeRedaction         = "m.room.redaction"
	TypeAliases           = "m.room.aliases"
	TypeServerACL         = "m.room.server_acl"
	// TypeDummy is that of the events by which a server joins branches that nobody else joins. Clients and application services
	// are not told of them.
	TypeDummy = "org.matrix.dummy_event"
)

// PDU is one event of a room. It is made by Builder.Build, Parse, ParseTrusted or Redact, and not changed afterwards; it is passed
// by pointer and safe for concurrent use.
type PDU struct {
	Version *RoomVersion
	EventID id.EventID
	// RoomID is the room of the event. Where the room ID is the hash of the create event (version 12), it is derived for the
	// create event, whose JSON has no room_id.
	RoomID   id.RoomID
	Sender   id.UserID
	Type     string
	StateKey *string // nil for a message event
	// Content is the canonical JSON object of the content.
	Content json.RawMessage
	// Redacts is the target of an m.room.redaction, wherever the version keeps it; "" for other types and when absent.
	Redacts        id.EventID
	PrevEvents     []id.EventID
	AuthEvents     []id.EventID
	Depth          int64
	OriginServerTS int64 // milliseconds since the epoch, by the sender's clock
	StickyMS       int64 // for how long the event is sticky (MSC4354), in milliseconds; 0 when it is not

	json        []byte // the canonical JSON, without unsigned
	roomIDGiven bool   // the JSON has a room_id

	viewOnce sync.Once
	view     contentView
}

// JSON returns the event as it is stored and sent to other servers: canonical, with hashes and signatures, without unsigned. The
// caller must not change it.
func (p *PDU) JSON() []byte { return p.json }

// IsState reports whether p is a state event, that is, has a state key, be it empty.
func (p *PDU) IsState() bool { return p.StateKey != nil }

// IsStateOf reports whether p is the state event (evType, stateKey).
func (p *PDU) IsStateOf(evType, stateKey string) bool {
	return p.StateKey != nil && p.Type == evType && *p.StateKey == stateKey
}

// HasRoomID reports whether the JSON of p names its room. That of a create event must not, where the room ID is its hash.
func (p *PDU) HasRoomID() bool { return p.roomIDGiven }
