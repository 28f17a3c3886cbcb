package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const typeServerACL = "m.room.server_acl"

// ServerAllowed reports whether a server may take part in a room, by the room's m.room.server_acl. Whatever a server asks about a room,
// and each event that it sends, is subject to it. Client-Server API, m.room.server_acl.
func (s *Service) ServerAllowed(ctx context.Context, roomID id.RoomID, server string) (bool, error) {
	allowed := true
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil || nid == 0 {
			return err
		}
		acl, err := tx.CurrentStateEvent(nid, typeServerACL, "")
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil {
			allowed = eventauth.ServerAllowed(acl.PDU, server)
		}
		return err
	})
	return allowed, err
}

// ViewForServer is the one function that says what another server may be given of a room: how much of each of the events, in their
// order. Nothing is given of rejected events, nor to a server that the room's m.room.server_acl keeps out.
func (s *Service) ViewForServer(ctx context.Context, server string, roomID id.RoomID, events []*store.Event) ([]eventauth.View, error) {
	views := make([]eventauth.View, len(events))
	allowed, err := s.ServerAllowed(ctx, roomID, server)
	if err != nil || !allowed {
		return views, err
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		v := serverViewer{tx: tx, server: server, known: make(map[int64]serverFacts)}
		if v.roomNID, err = tx.RoomNID(roomID); err != nil {
			return err
		}
		if err := v.findUsers(); err != nil {
			return err
		}
		if v.erasure, err = tx.AnyErased(); err != nil {
			return err
		}
		for i, e := range events {
			if e.RoomNID != v.roomNID || e.Status&store.Rejected != 0 {
				continue
			}
			if views[i], err = v.view(e); err != nil {
				return err
			}
		}
		return nil
	})
	return views, err
}

// serverViewer is a server looking at a room.
type serverViewer struct {
	tx      *store.Tx
	server  string
	roomNID int64
	users   []store.StateNID // the memberships of its users
	inRoom  bool
	erasure bool                  // some account was erased
	known   map[int64]serverFacts // by state set
}

// serverFacts is what visibility depends on in a state.
type serverFacts struct {
	visibility      string
	joined, invited bool
}

// findUsers finds the users of the server that are, or ever were, in the room.
func (v *serverViewer) findUsers() error {
	memberType, err := v.tx.LookupNID(event.TypeMember)
	if err != nil {
		return err
	}
	members, err := v.tx.MembersOfServer(v.roomNID, v.server)
	for _, m := range members {
		v.users = append(v.users, store.StateNID{Type: memberType, Key: m.UserNID})
		v.inRoom = v.inRoom || m.Membership == event.MembershipJoin
	}
	return err
}

func (v *serverViewer) view(e *store.Event) (eventauth.View, error) {
	facts, err := v.facts(e.StateBefore)
	if err != nil {
		return eventauth.Hidden, err
	}
	erased, err := v.isErased(e.Sender)
	if err != nil {
		return eventauth.Hidden, err
	}
	return eventauth.VisibleToServer(eventauth.ServerVisibilityInput{
		Event: e.PDU, Server: v.server, Visibility: facts.visibility, Joined: facts.joined, Invited: facts.invited,
		InRoom: v.inRoom, SenderErased: erased,
	}), nil
}

// isErased tells whether a user of this server had their account erased.
func (v *serverViewer) isErased(user id.UserID) (bool, error) {
	if !v.erasure {
		return false, nil
	}
	nid, err := v.tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return false, err
	}
	erased, err := v.tx.ErasedUsers([]int64{nid})
	return len(erased) > 0, err
}

// facts reads what visibility depends on in a state set.
func (v *serverViewer) facts(setID int64) (serverFacts, error) {
	if known, ok := v.known[setID]; ok {
		return known, nil
	}
	history, err := v.tx.LookupStateNID(event.TypeHistoryVisibility, "")
	if err != nil {
		return serverFacts{}, err
	}
	values, err := v.tx.StateValues(setID, append(v.users[:len(v.users):len(v.users)], history)...)
	if err != nil {
		return serverFacts{}, err
	}
	nids := make([]int64, 0, len(values))
	for _, nid := range values {
		nids = append(nids, nid)
	}
	events, err := v.tx.EventsByNID(nids)
	var facts serverFacts
	for _, e := range events {
		if e.Type == event.TypeHistoryVisibility {
			facts.visibility = e.HistoryVisibility()
			continue
		}
		facts.joined = facts.joined || e.Membership() == event.MembershipJoin
		facts.invited = facts.invited || e.Membership() == event.MembershipInvite
	}
	if err == nil {
		v.known[setID] = facts
	}
	return facts, err
}
