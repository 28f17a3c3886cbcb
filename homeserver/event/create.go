package event

import (
	"slices"

	"maunium.net/go/mautrix/id"
)

// Create is what an m.room.create event says of its room.
type Create struct {
	RoomVersion string // "1" when the event does not say
	Federate    bool   // true when the event does not say
	RoomType    string // "" for an ordinary room, "m.space" for a space
	// Creator is the sender of the event, or the content's creator in the versions that have one.
	Creator id.UserID
	// AdditionalCreators is empty in versions that have none.
	AdditionalCreators []id.UserID
	// additional is AdditionalCreators as a set, where it is long: an event has room for thousands.
	additional map[id.UserID]bool
	// Predecessor is the room that this one replaces; nil when there is none.
	Predecessor *Predecessor
}

// Predecessor is a room that was upgraded to this one.
type Predecessor struct {
	RoomID  id.RoomID
	EventID id.EventID // the last known event; often absent
}

// IsCreator reports whether user is one of the room's creators.
func (c *Create) IsCreator(user id.UserID) bool {
	if c.additional != nil {
		return c.Creator == user || c.additional[user]
	}
	return c.Creator == user || slices.Contains(c.AdditionalCreators, user)
}

// fewCreators are quicker to compare with than to look up.
const fewCreators = 8

func parseCreate(p *PDU) (*Create, error) {
	c := &Create{RoomVersion: "1", Creator: p.Sender}
	// The rule is about m.federate being false: anything else leaves the room open.
	c.Federate = string(Field(p.Content, "m.federate")) != "false"
	c.RoomType = p.ContentString("type")
	if value := Field(p.Content, "room_version"); value != nil {
		version, ok := Text(value)
		if !ok {
			return nil, fieldError(ErrBadContent, "room_version")
		}
		c.RoomVersion = version
	}
	if p.Version.CreatorField {
		value := Field(p.Content, "creator")
		if value == nil {
			return nil, fieldError(ErrBadContent, "creator")
		}
		// The rule is that there is one. When it is no user, nobody is the creator.
		creator, _ := Text(value)
		c.Creator = id.UserID(creator)
	}
	if p.Version.PrivilegedCreators {
		var ok bool
		if c.AdditionalCreators, ok = parseUserIDs(Field(p.Content, "additional_creators")); !ok {
			return nil, fieldError(ErrBadContent, "additional_creators")
		}
		if len(c.AdditionalCreators) > fewCreators {
			c.additional = make(map[id.UserID]bool, len(c.AdditionalCreators))
			for _, user := range c.AdditionalCreators {
				c.additional[user] = true
			}
		}
	}
	if before := Field(p.Content, "predecessor"); isObject(before) {
		room, _ := Text(Field(before, "room_id"))
		last, _ := Text(Field(before, "event_id"))
		if room != "" {
			c.Predecessor = &Predecessor{RoomID: id.RoomID(room), EventID: id.EventID(last)}
		}
	}
	return c, nil
}

// parseUserIDs reads an array of user IDs, which may be absent but not malformed.
func parseUserIDs(value []byte) ([]id.UserID, bool) {
	if value == nil {
		return nil, true
	}
	if !isArray(value) {
		return nil, false
	}
	var ids []id.UserID
	for e := range Elements(value) {
		s, ok := Text(e)
		if !ok || !ValidUserID(s) {
			return nil, false
		}
		ids = append(ids, id.UserID(s))
	}
	return ids, true
}
