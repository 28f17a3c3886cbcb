package room_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// elsewhere tells of the rooms of another server.
type elsewhere map[id.RoomID]*room.HierarchyRoom

func (e elsewhere) Hierarchy(_ context.Context, roomID id.RoomID, via []string, _ bool) (*room.HierarchyRoom, error) {
	if !slices.Contains(via, "elsewhere") {
		return nil, nil
	}
	return e[roomID], nil
}

// far makes a room of another server.
func far(roomID id.RoomID, rule string, allowed []id.RoomID, children ...string) *room.HierarchyRoom {
	r := &room.HierarchyRoom{Children: []json.RawMessage{}}
	r.RoomID, r.JoinRule, r.AllowedRoomIDs = roomID, rule, allowed
	for _, child := range children {
		r.Children = append(r.Children, json.RawMessage(child))
	}
	return r
}

// Rooms of a space that this server does not know are told of by others, but not to those who may not know of them.
func TestHierarchyOfOtherServers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		by := room.By{User: ann, Device: "D"}
		space, err := x.s.Create(t.Context(), by, room.CreateRequest{Preset: "public_chat", CreationContent: map[string]any{"type": "m.space"}})
		x.ok(err)
		for _, child := range []string{"!public", "!invite", "!allowed", "!other", "!lost"} {
			via := `{"via":["elsewhere"]}`
			if child == "!lost" {
				via = `{"via":["nowhere"]}`
			}
			_, err := x.s.SendState(t.Context(), by, space, "m.space.child", child+":elsewhere", json.RawMessage(via))
			x.ok(err)
		}
		x.s.Spaces = elsewhere{
			"!public:elsewhere": far("!public:elsewhere", event.JoinRulePublic, nil,
				`{"state_key":"!below:elsewhere","content":{"via":["elsewhere"]}}`, `{"state_key":1}`, `{"state_key":"!x:elsewhere","content":{}}`),
			"!below:elsewhere":   far("!below:elsewhere", event.JoinRuleKnock, nil),
			"!invite:elsewhere":  far("!invite:elsewhere", event.JoinRuleInvite, nil),
			"!allowed:elsewhere": far("!allowed:elsewhere", event.JoinRuleRestricted, []id.RoomID{"!nowhere:x", space}),
			"!other:elsewhere":   far("!other:elsewhere", event.JoinRuleRestricted, []id.RoomID{"!nowhere:x"}),
			"!lost:elsewhere":    far("!lost:elsewhere", event.JoinRulePublic, nil),
		}
		page, err := x.s.Hierarchy(t.Context(), room.HierarchyRequest{User: ann, RoomID: space, MaxDepth: -1})
		x.ok(err)
		got := make(map[id.RoomID]bool)
		for _, r := range page.Rooms {
			got[r.RoomID] = true
		}
		if len(got) != 4 || !got[space] || !got["!public:elsewhere"] || !got["!below:elsewhere"] || !got["!allowed:elsewhere"] {
			t.Errorf("got %v", got)
		}
	})
}
