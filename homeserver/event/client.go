package event

import "strconv"

// ClientForm is what differs between one showing of an event to a client and another.
type ClientForm struct {
	OmitRoomID bool   // leave out room_id, as /sync does
	Unsigned   []byte // a JSON object, ready made; nil to leave out unsigned
}

// AppendClient appends the form of p that clients see. Client-Server API, "Room event format".
//
// The target of a redaction is in both places, content and top level, whatever the version: room version 11, "Moving the redacts
// property of m.room.redaction events to a content property".
func (p *PDU) AppendClient(dst []byte, f ClientForm) []byte {
	dst = append(dst, `{"content":`...)
	if p.Redacts != "" && !p.Version.RedactsInContent {
		dst = withMember(dst, p.Content, "redacts", appendString(nil, p.Redacts))
	} else {
		dst = append(dst, p.Content...)
	}
	dst = append(dst, `,"event_id":`...)
	dst = appendString(dst, p.EventID)
	dst = appendSticky(dst, p.StickyMS)
	dst = append(dst, `,"origin_server_ts":`...)
	dst = strconv.AppendInt(dst, p.OriginServerTS, 10)
	if p.Redacts != "" {
		dst = append(dst, `,"redacts":`...)
		dst = appendString(dst, p.Redacts)
	}
	if !f.OmitRoomID {
		dst = append(dst, `,"room_id":`...)
		dst = appendString(dst, p.RoomID)
	}
	dst = p.appendSenderToType(dst)
	if f.Unsigned != nil {
		dst = append(dst, `,"unsigned":`...)
		dst = append(dst, f.Unsigned...)
	}
	return append(dst, '}')
}

// AppendStripped appends p as stripped state: content, sender, state_key and type. Client-Server API, "Stripped state".
func (p *PDU) AppendStripped(dst []byte) []byte {
	dst = append(dst, `{"content":`...)
	dst = append(dst, p.Content...)
	dst = p.appendSenderToType(dst)
	return append(dst, '}')
}

func (p *PDU) appendSenderToType(dst []byte) []byte {
	dst = append(dst, `,"sender":`...)
	dst = appendString(dst, p.Sender)
	if p.StateKey != nil {
		dst = append(dst, `,"state_key":`...)
		dst = appendString(dst, *p.StateKey)
	}
	dst = append(dst, `,"type":`...)
	return appendString(dst, p.Type)
}
