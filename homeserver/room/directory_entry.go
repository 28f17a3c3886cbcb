package room

import (
	"encoding/json"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	typeName        = "m.room.name"
	typeTopic       = "m.room.topic"
	typeAvatar      = "m.room.avatar"
	typeGuestAccess = "m.room.guest_access"
)

// DirectoryEntry is what the room directory says of a room. Client-Server API, PublishedRoomsChunk.
type DirectoryEntry struct {
	RoomID         id.RoomID    `json:"room_id"`
	Name           string       `json:"name,omitempty"`
	Topic          string       `json:"topic,omitempty"`
	AvatarURL      string       `json:"avatar_url,omitempty"` // mxc://
	CanonicalAlias id.RoomAlias `json:"canonical_alias,omitempty"`
	Joined         int64        `json:"num_joined_members"`
	WorldReadable  bool         `json:"world_readable"`
	GuestCanJoin   bool         `json:"guest_can_join"`
	JoinRule       string       `json:"join_rule"`
	RoomType       string       `json:"room_type,omitempty"`
}

// describe are the state events that an entry is made of.
var describe = map[string]func(*DirectoryEntry, *event.PDU){
	event.TypeCreate: func(d *DirectoryEntry, p *event.PDU) { d.RoomType = p.ContentString("type") },
	typeName:         func(d *DirectoryEntry, p *event.PDU) { d.Name = p.ContentString("name") },
	typeTopic:        func(d *DirectoryEntry, p *event.PDU) { d.Topic = plainTopic(p) },
	typeGuestAccess: func(d *DirectoryEntry, p *event.PDU) {
		d.GuestCanJoin = p.ContentString("guest_access") == "can_join"
	},
	typeAvatar: func(d *DirectoryEntry, p *event.PDU) {
		if url := p.ContentString("url"); strings.HasPrefix(url, "mxc://") {
			d.AvatarURL = url
		}
	},
	typeCanonicalAlias: func(d *DirectoryEntry, p *event.PDU) {
		if alias := p.ContentString("alias"); strings.HasPrefix(alias, "#") {
			d.CanonicalAlias = id.RoomAlias(alias)
		}
	},
	event.TypeHistoryVisibility: func(d *DirectoryEntry, p *event.PDU) {
		d.WorldReadable = p.HistoryVisibility() == event.VisibilityWorldReadable
	},
	event.TypeJoinRules: func(d *DirectoryEntry, p *event.PDU) {
		if rule := p.JoinRule(); rule != "" {
			d.JoinRule = rule
		}
	},
}

var describing = func() (types []string) {
	for t := range describe {
		types = append(types, t)
	}
	return types
}()

// directoryEntries makes the entries of rooms.
func directoryEntries(tx *store.Tx, rooms []store.DirectoryRoom) ([]DirectoryEntry, error) {
	entries := make([]DirectoryEntry, len(rooms))
	nids := make([]int64, len(rooms))
	at := make(map[int64]*DirectoryEntry, len(rooms))
	for i, r := range rooms {
		entries[i] = DirectoryEntry{RoomID: r.RoomID, Joined: r.Joined, JoinRule: event.JoinRuleInvite}
		nids[i], at[r.NID] = r.NID, &entries[i]
	}
	events, err := tx.StateOfRooms(nids, describing)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		describe[e.Type](at[e.RoomNID], e.PDU)
	}
	return entries, nil
}

// plainTopic returns the text of a topic without markup. Client-Server API, m.room.topic.
func plainTopic(p *event.PDU) string {
	if topic := p.ContentString("topic"); topic != "" {
		return topic
	}
	type representation struct {
		Body     string  `json:"body"`
		MIMEType *string `json:"mimetype"`
	}
	var rich struct {
		Text []representation `json:"m.text"`
	}
	raw := p.ContentValue("m.topic")
	if raw == nil || json.Unmarshal(raw, &rich) != nil {
		return ""
	}
	for _, text := range rich.Text {
		if text.MIMEType == nil || *text.MIMEType == "text/plain" {
			return text.Body
		}
	}
	return ""
}

// mentions tells whether a search finds the room. term is in lower case.
func (d *DirectoryEntry) mentions(term string) bool {
	for _, text := range [...]string{d.Name, d.Topic, string(d.CanonicalAlias)} {
		if strings.Contains(strings.ToLower(text), term) {
			return true
		}
	}
	return false
}

func (d *DirectoryEntry) size() int {
	return len(d.RoomID) + len(d.Name) + len(d.Topic) + len(d.AvatarURL) + len(d.CanonicalAlias) + len(d.JoinRule) + len(d.RoomType)
}
