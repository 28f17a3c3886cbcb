package event

import (
	"fmt"
	"math"
)

// DefaultRoomVersion is the version of a new room when its creator names none.
const DefaultRoomVersion = "12"

// EventIDFormat says where the ID of an event comes from.
type EventIDFormat int

const (
	// EventIDGiven is an event_id key in the event, $opaque:server (versions 1 and 2).
	EventIDGiven EventIDFormat = iota
	// EventIDHashStd is the reference hash in unpadded standard base64 (version 3).
	EventIDHashStd
	// EventIDHashURL is the reference hash in unpadded URL-safe base64 (version 4 and later).
	EventIDHashURL
)

// StateRes names a state resolution algorithm.
type StateRes int

const (
	// StateResV1 is that of version 1.
	StateResV1 StateRes = iota
	// StateResV2 is that of versions 2 to 11.
	StateResV2
	// StateResV21 is state resolution 2.1 (version 12).
	StateResV21
)

// RedactionRules is what survives redaction besides what survives in every version.
type RedactionRules struct {
	LegacyTopLevel       bool // origin, membership, prev_state (1 to 10)
	Aliases              bool // m.room.aliases: aliases (1 to 5)
	CreatorOnly          bool // m.room.create: creator alone (1 to 10); without it all of the content
	JoinRulesAllow       bool // m.room.join_rules: allow (8 and later)
	MemberAuthorisedVia  bool // m.room.member: join_authorised_via_users_server (9 and later)
	MemberThirdPartySign bool // m.room.member: third_party_invite.signed (11 and later)
	PowerLevelsInvite    bool // m.room.power_levels: invite (11 and later)
	ContentRedacts       bool // m.room.redaction: content.redacts (11 and later)
}

// RoomVersion is one version of the rules of a room, as flags. Values are shared and must not be changed.
type RoomVersion struct {
	ID string

	// Event format.
	EventIDs           EventIDFormat
	ReferencePairs     bool // prev_events and auth_events are [id, {"sha256": hash}] pairs (1, 2)
	StrictJSON         bool // canonical JSON is enforced: integers within ±(2^53-1), no floats (6+)
	RedactsInContent   bool // m.room.redaction names its target in content, not at the top level (11+)
	RoomIDIsCreateHash bool // room ID is "!" and the hash of the create event, which has no room_id and is in no auth_events (12+)
	ByteLimits         bool // an event with a field over MaxFieldBytes is malformed; before, one over as many code points is (11+)

	Redaction RedactionRules

	// Signatures.
	EventIDSignature bool // the server named by the event ID must have signed too (1, 2)
	KeyValidity      bool // a signing key must have been valid at origin_server_ts (5+)

	// Authorisation.
	RedactionAuth       bool // redactions are checked by the authorisation rules (1, 2)
	CreatorField        bool // m.room.create must have content.creator, who is the creator; else it is its sender (1 to 10)
	PrivilegedCreators  bool // creators, additional_creators among them, have infinite power (12+)
	AliasesAuth         bool // m.room.aliases has a rule of its own (1 to 5)
	NotificationLevels  bool // changes of notifications in power levels are checked (6+)
	Knock               bool // membership and join rule knock (7+)
	Restricted          bool // join rule restricted (8+)
	KnockRestricted     bool // join rule knock_restricted (10+)
	IntegerPowerLevels  bool // power levels must be integers; before, strings that spell one will do (10+)
	FloatingPowerLevels bool // power levels may even be floats, truncated (1 to 5)

	StateRes StateRes
}

// versions is the table, oldest first. Each row is derived from the one before it, as the specification's pages are.
var versions = buildVersions()

func buildVersions() []*RoomVersion {
	v := RoomVersion{
		ReferencePairs: true, EventIDSignature: true, RedactionAuth: true, CreatorField: true, AliasesAuth: true,
		FloatingPowerLevels: true,
		Redaction:           RedactionRules{LegacyTopLevel: true, Aliases: true, CreatorOnly: true},
	}
	changes := []func(){
		func() { v.ID = "1" },
		func() { v.ID = "2"; v.StateRes = StateResV2 },
		func() {
			v.ID = "3"
			v.EventIDs, v.ReferencePairs = EventIDHashStd, false
			v.EventIDSignature, v.RedactionAuth = false, false
		},
		func() { v.ID = "4"; v.EventIDs = EventIDHashURL },
		func() { v.ID = "5"; v.KeyValidity = true },
		func() {
			v.ID = "6"
			v.StrictJSON, v.FloatingPowerLevels, v.NotificationLevels = true, false, true
			v.AliasesAuth, v.Redaction.Aliases = false, false
		},
		func() { v.ID = "7"; v.Knock = true },
		func() { v.ID = "8"; v.Restricted, v.Redaction.JoinRulesAllow = true, true },
		func() { v.ID = "9"; v.Redaction.MemberAuthorisedVia = true },
		func() { v.ID = "10"; v.IntegerPowerLevels, v.KnockRestricted = true, true },
		func() {
			v.ID = "11"
			v.CreatorField, v.RedactsInContent, v.ByteLimits = false, true, true
			v.Redaction.LegacyTopLevel, v.Redaction.CreatorOnly = false, false
			v.Redaction.MemberThirdPartySign, v.Redaction.PowerLevelsInvite, v.Redaction.ContentRedacts = true, true, true
		},
		func() { v.ID = "12"; v.RoomIDIsCreateHash, v.PrivilegedCreators, v.StateRes = true, true, StateResV21 },
	}
	table := make([]*RoomVersion, 0, len(changes))
	for _, change := range changes {
		change()
		row := v
		table = append(table, &row)
	}
	return table
}

// LookupVersion returns the version called id, or ErrUnknownVersion.
func LookupVersion(id string) (*RoomVersion, error) {
	for _, v := range versions {
		if v.ID == id {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w %q", ErrUnknownVersion, clip(id))
}

// maxDepth is the largest depth of an event. Room versions 1 and 6, "Event format".
func (v *RoomVersion) maxDepth() int64 {
	if v.StrictJSON {
		return maxCanonicalInt
	}
	return math.MaxInt64
}

// NextDepth returns the depth of an event of which deepest is that of the deepest previous event. Anybody can send an event at the
// limit; those after it stay there.
func (v *RoomVersion) NextDepth(deepest int64) int64 {
	if deepest >= v.maxDepth() {
		return v.maxDepth()
	}
	return deepest + 1
}

// Versions returns every version, oldest first. All of them are stable.
func Versions() []*RoomVersion {
	return append([]*RoomVersion(nil), versions...)
}

// clip shortens a stranger's text for an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
