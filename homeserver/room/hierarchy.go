package room

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// roomTypeSpace is the type of rooms that are spaces.
const roomTypeSpace = "m.space"

// Bounds of a walk through a space.
const (
	maxHierarchyPage = 50   // rooms of one answer
	maxHierarchyLook = 500  // rooms that are looked at for one answer
	maxSpaceRooms    = 5000 // rooms of one walk, over all its pages
	maxSpaceChildren = 1000 // of one space
	maxSpaceDepth    = 50
	maxOrderLength   = 50 // of the order of a child
	maxSpaceVia      = 10 // servers that are remembered of a child
	// maxHierarchyBytes bounds the links of one answer, past those of its first room.
	maxHierarchyBytes = 4 << 20
)

// HierarchyRequest asks for a page of a space.
type HierarchyRequest struct {
	User          id.UserID
	RoomID        id.RoomID
	SuggestedOnly bool
	Limit         int64 // rooms; 0 for the default
	MaxDepth      int64 // -1 for the default
	From          string
}

// HierarchyRoom is a room of a space. Client-Server API, SpaceHierarchyRoomsChunk.
type HierarchyRoom struct {
	Summary
	Children []json.RawMessage `json:"children_state"` // stripped m.space.child events with origin_server_ts
}

// HierarchyPage is a page of a space. Client-Server API, GET /rooms/{roomId}/hierarchy.
type HierarchyPage struct {
	Rooms []HierarchyRoom `json:"rooms"`
	Next  string          `json:"next_batch,omitempty"`
}

// RemoteSpaces asks other servers for rooms that this server is not in (Server-Server API, GET /hierarchy/{roomId}).
type RemoteSpaces interface {
	// Hierarchy returns a room with its children, as one of the servers via tells them. It is nil when none tells anything. The
	// answer is the same for all users of this server: whether one of them may know of the room follows from its join rule, the
	// rooms that it allows, and whether it is world_readable.
	Hierarchy(ctx context.Context, roomID id.RoomID, via []string, suggestedOnly bool) (*HierarchyRoom, error)
}

// child is a room of a space that has not been looked at yet.
type child struct {
	roomID id.RoomID
	via    []string
	depth  int64
}

// spaceWalk goes through a space, depth first. Once it has been handed to the tokens, it is not changed any more.
type spaceWalk struct {
	req   HierarchyRequest // of the first page
	stack []child          // the next room last
	seen  map[id.RoomID]bool
}

// Hierarchy returns a page of the rooms below a space, the space itself first, and children before the space's next ones. Rooms that the
// user may not know of are left out, with all that is below them. Each room is there once. Errors: 403 M_FORBIDDEN when the user may not
// know of the space, 400 M_INVALID_PARAM for a token that is unknown or of another request.
func (s *Service) Hierarchy(ctx context.Context, req HierarchyRequest) (*HierarchyPage, error) {
	if req.Limit <= 0 || req.Limit > maxHierarchyPage {
		req.Limit = maxHierarchyPage
	}
	if req.MaxDepth < 0 || req.MaxDepth > maxSpaceDepth {
		req.MaxDepth = maxSpaceDepth
	}
	w := &spaceWalk{req: req, stack: []child{{roomID: req.RoomID}}, seen: make(map[id.RoomID]bool)}
	if req.From != "" {
		var err error
		if w, err = s.walks.resume(req, s.Now()); err != nil {
			return nil, err
		}
	}
	page, bytes := &HierarchyPage{Rooms: []HierarchyRoom{}}, 0
	for looked := 0; len(w.stack) > 0; looked++ {
		if looked == maxHierarchyLook {
			page.Next = s.walks.keep(w, s.Now())
			break
		}
		next := w.pop()
		if next == nil {
			break
		}
		room, children, err := s.spaceRoom(ctx, req.User, *next, w.req.SuggestedOnly)
		if err != nil {
			return nil, err
		}
		if room == nil && next.depth == 0 {
			return nil, matrixError(403, "M_FORBIDDEN", "There is no room %s, or you may not know of it", req.RoomID)
		}
		if room == nil {
			continue
		}
		if len(page.Rooms) == int(req.Limit) || bytes > maxHierarchyBytes {
			delete(w.seen, next.roomID)
			w.stack = append(w.stack, *next)
			page.Next = s.walks.keep(w, s.Now())
			break
		}
		page.Rooms = append(page.Rooms, *room)
		for _, link := range room.Children {
			bytes += len(link)
		}
		if next.depth < w.req.MaxDepth {
			w.push(children, next.depth+1)
		}
	}
	return page, nil
}

// pop takes the next room that has not been seen, nil when there is none.
func (w *spaceWalk) pop() *child {
	for len(w.stack) > 0 && len(w.seen) < maxSpaceRooms {
		next := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if !w.seen[next.roomID] {
			w.seen[next.roomID] = true
			return &next
		}
	}
	return nil
}

// push puts the children of a room before all that is still to come.
func (w *spaceWalk) push(children []child, depth int64) {
	for _, c := range slices.Backward(children) {
		if c.depth = depth; !w.seen[c.roomID] && len(w.stack) < maxSpaceRooms {
			w.stack = append(w.stack, c)
		}
	}
}

// spaceRoom describes a room of a space, with its children; nil when the user may not know of it.
func (s *Service) spaceRoom(ctx context.Context, user id.UserID, c child, suggestedOnly bool) (room *HierarchyRoom, children []child, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		o, err := s.outline(tx, c.roomID, user)
		if err != nil || !o.accessible {
			return err
		}
		room = &HierarchyRoom{Summary: o.Summary, Children: []json.RawMessage{}}
		room.Membership = ""
		if o.RoomType != roomTypeSpace {
			return nil
		}
		events, err := tx.CurrentStateOfType(o.nid, typeSpaceChild)
		if err != nil {
			return err
		}
		for _, e := range spaceChildren(events, suggestedOnly) {
			room.Children = append(room.Children, strippedChild(e.PDU))
			children = append(children, child{roomID: id.RoomID(*e.StateKey), via: fewVia(spaceVia(e.PDU))})
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return s.remoteRoom(ctx, user, c, suggestedOnly)
	}
	return room, children, err
}

// remoteRoom describes a room that this server does not know, as another server tells of it.
func (s *Service) remoteRoom(ctx context.Context, user id.UserID, c child, suggestedOnly bool) (*HierarchyRoom, []child, error) {
	if s.Spaces == nil || len(c.via) == 0 {
		return nil, nil, nil
	}
	room, err := s.Spaces.Hierarchy(ctx, c.roomID, c.via, suggestedOnly)
	if err != nil || room == nil {
		return nil, nil, err
	}
	visible := room.WorldReadable || room.JoinRule == event.JoinRulePublic || room.JoinRule == event.JoinRuleKnock ||
		room.JoinRule == event.JoinRuleKnockRestricted
	if !visible {
		err := s.DB.View(ctx, func(tx *store.Tx) error {
			nid, err := tx.LookupNID(string(user))
			if err == nil {
				visible, err = tx.InAnyRoom(nid, room.AllowedRoomIDs)
			}
			return err
		})
		if err != nil || !visible {
			return nil, nil, err
		}
	}
	var children []child
	for _, raw := range room.Children[:min(len(room.Children), maxSpaceChildren)] {
		var link struct {
			RoomID  id.RoomID `json:"state_key"`
			Content struct {
				Via []string `json:"via"`
			} `json:"content"`
		}
		if json.Unmarshal(raw, &link) == nil && len(link.Content.Via) > 0 {
			children = append(children, child{roomID: link.RoomID, via: fewVia(link.Content.Via)})
		}
	}
	return room, children, nil
}

// spaceChildren returns the links to the children of a space that are valid, in order: first those with an order, then the others by their
// time. Client-Server API, "Ordering of children within a space".
func spaceChildren(events []*store.Event, suggestedOnly bool) []*store.Event {
	orders := make(map[int64]string, len(events))
	events = slices.DeleteFunc(events, func(e *store.Event) bool {
		if len(*e.StateKey) < 2 || (*e.StateKey)[0] != '!' || len(spaceVia(e.PDU)) == 0 {
			return true
		}
		orders[e.NID] = spaceOrder(e.PDU)
		return suggestedOnly && string(e.ContentValue("suggested")) != "true"
	})
	slices.SortFunc(events, func(a, b *store.Event) int {
		x, y := orders[a.NID], orders[b.NID]
		if (x == "") != (y == "") {
			return cmp.Compare(y, x)
		}
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a.OriginServerTS, b.OriginServerTS), cmp.Compare(*a.StateKey, *b.StateKey))
	})
	return events[:min(len(events), maxSpaceChildren)]
}

// spaceVia returns the servers by which a child can be reached. A link without any is none.
func spaceVia(p *event.PDU) []string {
	var via []string
	if raw := p.ContentValue("via"); raw == nil || json.Unmarshal(raw, &via) != nil {
		return nil
	}
	return via
}

// fewVia returns those of the servers of a child that are remembered until it has its turn.
func fewVia(via []string) []string {
	few := make([]string, 0, min(len(via), maxSpaceVia))
	for _, server := range via {
		if len(few) < maxSpaceVia && len(server) <= event.MaxFieldBytes {
			few = append(few, server)
		}
	}
	return few
}

// spaceOrder returns the order of a child, "" when there is none that is valid.
func spaceOrder(p *event.PDU) string {
	order := p.ContentString("order")
	if len(order) > maxOrderLength {
		return ""
	}
	for _, c := range []byte(order) {
		if c < 0x20 || c > 0x7E {
			return ""
		}
	}
	return order
}

// strippedChild returns a link in the form that hierarchies have: a stripped state event with its time.
func strippedChild(p *event.PDU) json.RawMessage {
	raw, err := json.Marshal(struct {
		Type     string          `json:"type"`
		StateKey string          `json:"state_key"`
		Content  json.RawMessage `json:"content"`
		Sender   id.UserID       `json:"sender"`
		TS       int64           `json:"origin_server_ts"`
	}{p.Type, *p.StateKey, json.RawMessage(p.Content), p.Sender, p.OriginServerTS})
	if err != nil { // content is JSON
		return json.RawMessage(`{}`)
	}
	return raw
}
