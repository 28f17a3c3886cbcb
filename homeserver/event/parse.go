package event

import (
	"bytes"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Parse reads an event of version v as another server sent it, and computes its ID. The event is kept in canonical form, without its
// unsigned object, which nobody vouches for; nothing else is dropped. Neither the content hash nor any signature is checked.
//
// Errors: ErrBadJSON, ErrBadEvent, ErrTooLarge, ErrFieldTooLong. Server-Server API, "Checks performed on receipt of a PDU", step 1.
func Parse(v *RoomVersion, raw []byte) (*PDU, error) {
	if len(raw) > maxRawBytes {
		return nil, ErrTooLarge
	}
	obj, err := v.Canonical(raw)
	if err != nil {
		return nil, err
	}
	if !isObject(obj) {
		return nil, fmt.Errorf("%w: not an object", ErrBadEvent)
	}
	obj = withoutMember(obj, "unsigned")
	if len(obj) > MaxEventBytes {
		return nil, ErrTooLarge
	}
	p := &PDU{Version: v, json: obj}
	found, err := p.decode()
	if err != nil {
		return nil, err
	}
	if err := found.complete(p); err != nil {
		return nil, err
	}
	if v.EventIDs != EventIDGiven {
		p.EventID = eventID(v, p.referenceHash())
	}
	p.deriveRoomID()
	return p, nil
}

// ParseTrusted reads an event that Parse or Build made, and whose ID is known. Nothing is checked or hashed. It keeps raw, which the
// caller must not change afterwards.
func ParseTrusted(v *RoomVersion, eventID id.EventID, raw []byte) (*PDU, error) {
	p := &PDU{Version: v, EventID: eventID, json: raw}
	if !isObject(raw) {
		return nil, fmt.Errorf("%w: not an object", ErrBadEvent)
	}
	if _, err := p.decode(); err != nil {
		return nil, err
	}
	p.EventID = eventID
	p.deriveRoomID()
	return p, nil
}

// deriveRoomID gives the create event its room ID where that is its hash.
func (p *PDU) deriveRoomID() {
	if p.Version.RoomIDIsCreateHash && p.Type == TypeCreate && len(p.EventID) > 0 {
		p.RoomID = id.RoomID("!" + p.EventID[1:])
	}
}

// fields is a set of the top-level keys of an event.
type fields uint16

const (
	hasAuthEvents fields = 1 << iota
	hasContent
	hasDepth
	hasEventID
	hasHashes
	hasOriginServerTS
	hasPrevEvents
	hasRoomID
	hasSender
	hasSignatures
	hasType

	// required is what every event has, whatever its version.
	required = hasAuthEvents | hasContent | hasDepth | hasHashes | hasOriginServerTS | hasPrevEvents | hasSender | hasSignatures | hasType
)

// decode reads the fields of p from its JSON, and returns which ones there were. A field of the wrong kind is an error.
func (p *PDU) decode() (fields, error) {
	var found fields
	var redacts []byte
	for key, value := range Members(p.json) {
		bit, err := p.decodeField(string(key), value, &redacts)
		if err != nil {
			return 0, err
		}
		found |= bit
	}
	p.roomIDGiven = found&hasRoomID != 0
	if p.Type == TypeRedaction {
		if p.Version.RedactsInContent {
			redacts = Field(p.Content, "redacts")
		}
		// A target that is no string is one that nobody has.
		target, _ := Text(redacts)
		p.Redacts = id.EventID(target)
	}
	return found, nil
}

func (p *PDU) decodeField(key string, value []byte, redacts *[]byte) (fields, error) {
	var bit fields
	ok := true
	switch key {
	case "auth_events":
		bit = hasAuthEvents
		p.AuthEvents, ok = decodeReferences(p.Version, value, MaxAuthEvents)
	case "content":
		bit, ok = hasContent, isObject(value)
		p.Content = value
	case "depth":
		bit = hasDepth
		p.Depth, ok = integer(value)
	case "event_id":
		if p.Version.EventIDs == EventIDGiven {
			var s string
			bit = hasEventID
			s, ok = Text(value)
			p.EventID = id.EventID(s)
		}
	case "hashes":
		bit, ok = hasHashes, isString(Field(value, "sha256"))
	case stickyKey:
		p.StickyMS = stickyDuration(value)
	case "origin_server_ts":
		bit = hasOriginServerTS
		p.OriginServerTS, ok = integer(value)
	case "prev_events":
		bit = hasPrevEvents
		p.PrevEvents, ok = decodeReferences(p.Version, value, MaxPrevEvents)
	case "redacts":
		*redacts = value
	case "room_id":
		var s string
		bit = hasRoomID
		s, ok = Text(value)
		p.RoomID = id.RoomID(s)
	case "sender":
		var s string
		bit = hasSender
		s, ok = Text(value)
		p.Sender = id.UserID(s)
	case "signatures":
		bit, ok = hasSignatures, isObject(value)
	case "state_key":
		var s string
		s, ok = Text(value)
		p.StateKey = &s
	case "type":
		bit = hasType
		p.Type, ok = typeName(value)
	}
	if !ok {
		return 0, fieldError(ErrBadEvent, key)
	}
	return bit, nil
}

// decodeReferences reads prev_events or auth_events: IDs, or pairs of an ID and its hash. It gives up past most.
func decodeReferences(v *RoomVersion, value []byte, most int) ([]id.EventID, bool) {
	if !isArray(value) {
		return nil, false
	}
	if len(value) == 2 {
		return nil, true
	}
	// The IDs share one string.
	var whole string
	if !v.ReferencePairs && bytes.IndexByte(value, '\\') < 0 {
		whole = string(value)
	}
	ids := make([]id.EventID, 0, min(most, bytes.Count(value, []byte{','})+1))
	offset := 1
	for e := range Elements(value) {
		if len(ids) > most {
			return nil, false
		}
		if whole != "" && isString(e) {
			ids = append(ids, id.EventID(whole[offset+1:offset+len(e)-1]))
			offset += len(e) + 1
			continue
		}
		if v.ReferencePairs {
			pair, ok := referencePair(e)
			if !ok {
				return nil, false
			}
			e = pair
		}
		ref, ok := Text(e)
		if !ok {
			return nil, false
		}
		ids = append(ids, id.EventID(ref))
	}
	return ids, true
}

// referencePair returns the first element of [id, {"sha256": hash}]. The hash is not looked at: nothing relies on it.
func referencePair(pair []byte) ([]byte, bool) {
	if !isArray(pair) {
		return nil, false
	}
	var first []byte
	n := 0
	for e := range Elements(pair) {
		if n == 0 {
			first = e
		}
		n++
	}
	return first, n == 2
}

// commonTypes spares an allocation for the types of nearly all events.
var commonTypes = func() map[string]string {
	m := make(map[string]string)
	for _, t := range []string{
		TypeCreate, TypeMember, TypePowerLevels, TypeJoinRules, TypeThirdPartyInvite, TypeHistoryVisibility, TypeRedaction, TypeAliases,
		"m.room.message", "m.room.encrypted", "m.room.encryption", "m.reaction", "m.room.name", "m.room.topic", "m.room.avatar",
		"m.room.canonical_alias", "m.room.guest_access", TypeServerACL, "m.room.tombstone", "m.room.pinned_events", "m.sticker",
		"m.space.child", "m.space.parent",
	} {
		m[t] = t
	}
	return m
}()

func typeName(value []byte) (string, bool) {
	if !isString(value) {
		return "", false
	}
	if s, ok := commonTypes[string(value[1:len(value)-1])]; ok {
		return s, true
	}
	return Text(value)
}
