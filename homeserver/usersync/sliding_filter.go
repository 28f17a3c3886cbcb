package usersync

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// The types that filters ask for.
const (
	typeDirect     = "m.direct"
	typeTag        = "m.tag"
	typeEncryption = "m.room.encryption"
	typeSpaceChild = "m.space.child"
	typeAvatar     = "m.room.avatar"
)

// slidingTest tells whether a filter lets a room pass.
type slidingTest func(*store.SlidingSeat) (bool, error)

// filter returns the rooms of the list of rooms that pass, in order.
func (p *slidingPass) filter(f *slidingFilters) ([]*store.SlidingSeat, error) {
	tests, err := p.tests(f)
	if err != nil || len(tests) == 0 {
		return p.ordered, err
	}
	var passed []*store.SlidingSeat
rooms:
	for _, seat := range p.ordered {
		for _, test := range tests {
			ok, err := test(seat)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue rooms
			}
		}
		passed = append(passed, seat)
	}
	return passed, nil
}

// tests returns what a filter asks of each room, those that cost least first.
func (p *slidingPass) tests(f *slidingFilters) (tests []slidingTest, err error) {
	if f.IsInvited != nil {
		tests = append(tests, func(seat *store.SlidingSeat) (bool, error) {
			return (seat.Membership.Membership == event.MembershipInvite) == *f.IsInvited, nil
		})
	}
	if f.RoomTypes != nil || len(f.NotRoomTypes) > 0 {
		tests = append(tests, f.allowsType)
	}
	if f.IsDM != nil {
		direct, err := p.directs()
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(seat *store.SlidingSeat) (bool, error) {
			roomID, err := p.tx.RoomID(seat.RoomNID)
			return direct[roomID] == *f.IsDM, err
		})
	}
	if f.Spaces != nil {
		children, err := p.children(f.Spaces)
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(seat *store.SlidingSeat) (bool, error) {
			roomID, err := p.tx.RoomID(seat.RoomNID)
			return children[roomID], err
		})
	}
	if f.Tags != nil || len(f.NotTags) > 0 {
		tags, err := p.tags()
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(seat *store.SlidingSeat) (bool, error) {
			has := func(tag string) bool { _, ok := tags[seat.RoomNID][tag]; return ok }
			return (f.Tags == nil || slices.ContainsFunc(f.Tags, has)) && !slices.ContainsFunc(f.NotTags, has), nil
		})
	}
	if f.IsEncrypted != nil {
		encrypted, err := p.tx.StateHolders(p.userNID, typeEncryption)
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(seat *store.SlidingSeat) (bool, error) {
			yes := encrypted[seat.RoomNID]
			if seat.Membership.Membership != event.MembershipJoin {
				// What has become of the room since is not the user's business.
				e, err := p.knownEvent(seat, typeEncryption)
				if err != nil {
					return false, err
				}
				yes = e != nil
			}
			return yes == *f.IsEncrypted, nil
		})
	}
	if f.NameLike != nil {
		like := strings.ToLower(*f.NameLike)
		tests = append(tests, func(seat *store.SlidingSeat) (bool, error) {
			e, err := p.knownEvent(seat, typeName)
			return e != nil && strings.Contains(strings.ToLower(e.ContentString("name")), like), err
		})
	}
	return tests, nil
}

// allowsType judges a room by the type in its create event, nil for none; not_room_types wins.
func (f *slidingFilters) allowsType(seat *store.SlidingSeat) (bool, error) {
	is := func(want *string) bool {
		if want == nil {
			return seat.RoomType == ""
		}
		return *want != "" && *want == seat.RoomType
	}
	return (f.RoomTypes == nil || slices.ContainsFunc(f.RoomTypes, is)) && !slices.ContainsFunc(f.NotRoomTypes, is), nil
}

// knownEvent returns an event of the state that the user may know of a room; nil when there is none.
func (p *slidingPass) knownEvent(seat *store.SlidingSeat, eventType string) (*store.Event, error) {
	setID, err := p.knownState(seat)
	if err != nil {
		return nil, err
	}
	return p.stateEvent(seat, setID, eventType)
}

// directs returns the rooms that the user's account data calls direct messages. It is read once.
func (p *slidingPass) directs() (map[id.RoomID]bool, error) {
	if p.direct != nil {
		return p.direct, nil
	}
	content, err := p.tx.AccountData(p.req.User, 0, typeDirect)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	p.direct = make(map[id.RoomID]bool)
	var byUser map[string]json.RawMessage
	if len(content) == 0 || json.Unmarshal(content, &byUser) != nil {
		return p.direct, nil // clients write it
	}
	for _, raw := range byUser {
		var rooms []id.RoomID
		if json.Unmarshal(raw, &rooms) == nil {
			for _, roomID := range rooms {
				p.direct[roomID] = true
			}
		}
	}
	return p.direct, nil
}

// children returns the rooms that belong to those of the given spaces that the user is in.
func (p *slidingPass) children(spaces []id.RoomID) (map[id.RoomID]bool, error) {
	all := make(map[id.RoomID]bool)
	for _, space := range spaces {
		seat, err := p.joined(space)
		if err != nil {
			return nil, err
		}
		if seat == nil {
			continue
		}
		events, err := p.tx.CurrentStateOfType(seat.RoomNID, typeSpaceChild)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			var content struct {
				Via []string `json:"via"`
			}
			// Without via it is a child no more. Client-Server API, m.space.child.
			if json.Unmarshal(e.Content, &content) == nil && content.Via != nil {
				all[id.RoomID(*e.StateKey)] = true
			}
		}
	}
	return all, nil
}

// tags returns the tags that the user has given rooms, by room. They are read once.
func (p *slidingPass) tags() (map[int64]map[string]json.RawMessage, error) {
	if p.tagged != nil {
		return p.tagged, nil
	}
	rows, err := p.tx.RoomAccountData(p.userNID, typeTag)
	if err != nil {
		return nil, err
	}
	p.tagged = make(map[int64]map[string]json.RawMessage, len(rows))
	for roomNID, raw := range rows {
		var content struct {
			Tags map[string]json.RawMessage `json:"tags"`
		}
		if json.Unmarshal(raw, &content) == nil {
			p.tagged[roomNID] = content.Tags
		}
	}
	return p.tagged, nil
}
