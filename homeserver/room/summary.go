package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const typeEncryption = "m.room.encryption"

// Summary is what is told of a room to those who may come to it. Client-Server API, RoomSummary.
type Summary struct {
	DirectoryEntry
	AllowedRoomIDs []id.RoomID `json:"allowed_room_ids,omitempty"` // whose members may join
	Encryption     string      `json:"encryption,omitempty"`       // algorithm
	RoomVersion    string      `json:"room_version,omitempty"`
	Membership     string      `json:"membership,omitempty"` // of who asks, unless that is nobody or the answer is a hierarchy
}

// outline is a room as it looks to one user from outside.
type outline struct {
	Summary
	nid        int64
	accessible bool // the user may know of it
}

// Summary returns a summary of a room of this server to a user, "" for a stranger without an account. 404 M_NOT_FOUND when there is no
// such room, or the user may not know of it. Client-Server API, GET /room_summary/{roomIdOrAlias}.
func (s *Service) Summary(ctx context.Context, by By, roomIDOrAlias string) (*Summary, error) {
	notFound := matrixError(404, "M_NOT_FOUND", "There is no room %s, or you may not know of it", roomIDOrAlias)
	roomID := id.RoomID(roomIDOrAlias)
	if len(roomIDOrAlias) > 0 && roomIDOrAlias[0] == '#' {
		var err error
		roomID, err = s.ResolveAlias(ctx, by, id.RoomAlias(roomIDOrAlias))
		var refused mautrix.RespError
		if errors.As(err, &refused) && refused.StatusCode == 404 {
			return nil, notFound
		}
		if err != nil {
			return nil, err
		}
	}
	var o *outline
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		o, err = s.outline(tx, roomID, by.User)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && !o.accessible {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	return &o.Summary, nil
}

// outline describes a room to a user. store.ErrNotFound when this server does not know it.
func (s *Service) outline(tx *store.Tx, roomID id.RoomID, user id.UserID) (*outline, error) {
	r, err := tx.Room(roomID)
	if err != nil {
		return nil, err
	}
	joined, _, err := tx.MemberCounts(r.NID)
	if err != nil {
		return nil, err
	}
	o := &outline{nid: r.NID}
	o.DirectoryEntry = DirectoryEntry{RoomID: r.RoomID, Joined: joined, JoinRule: event.JoinRuleInvite}
	o.RoomVersion = r.Version.ID
	events, err := tx.StateOfRooms([]int64{r.NID}, append([]string{typeEncryption}, describing...))
	if err != nil {
		return nil, err
	}
	var allow []event.AllowRule
	for _, e := range events {
		switch e.Type {
		case typeEncryption:
			o.Encryption = e.ContentString("algorithm")
			continue
		case event.TypeJoinRules:
			allow = e.Allow()
		}
		describe[e.Type](&o.DirectoryEntry, e.PDU)
	}
	restricted := isRestricted(r.Version, o.JoinRule)
	if restricted {
		for _, rule := range allow {
			if rule.Type == typeRoomMembership {
				o.AllowedRoomIDs = append(o.AllowedRoomIDs, rule.RoomID)
			}
		}
	}
	if user != "" {
		m, err := tx.Membership(r.NID, user)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if o.Membership = m.Membership; o.Membership == "" {
			o.Membership = event.MembershipLeave
		}
	}
	o.accessible, err = s.accessible(tx, r, o, restricted, user)
	return o, err
}

// accessible tells whether a user may know of a room: one who is in it, is invited or knocks at it; who could come to it; and anybody if
// anybody may read it. Client-Server API, GET /rooms/{roomId}/hierarchy.
func (s *Service) accessible(tx *store.Tx, r *store.Room, o *outline, restricted bool, user id.UserID) (bool, error) {
	if o.WorldReadable {
		return true, nil
	}
	switch o.Membership {
	case event.MembershipJoin, event.MembershipInvite, event.MembershipKnock:
		return true, nil
	case event.MembershipBan:
		return false, nil
	}
	knock := r.Version.Knock && o.JoinRule == event.JoinRuleKnock ||
		r.Version.KnockRestricted && o.JoinRule == event.JoinRuleKnockRestricted
	if o.JoinRule == event.JoinRulePublic || knock {
		return true, nil
	}
	if !restricted || user == "" {
		return false, nil
	}
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return false, err
	}
	return tx.InAnyRoom(nid, o.AllowedRoomIDs)
}
