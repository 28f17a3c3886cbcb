package room

import (
	"context"
	"encoding/json"
	"errors"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// What application services may do beyond what people do: the proposals of Beeper that bridges made with mautrix-go use where a server has
// them, to have users of their own come and go with one request in place of one for each. They do nothing that the service could not do by
// acting for those users one by one.

// sendMemberOf sends the membership of a user whom the application service may act for, in the name of another, as it was drafted:
// com.beeper.arbitrary_member_change. By the authorisation rules only users themselves can join, and change what a room shows of them, and
// who may not kick can have them leave: the event is the user's own then. Invitations, bans and kicks by who may are as anybody's.
func (s *Service) sendMemberOf(ctx context.Context, by By, roomID id.RoomID, d draft) (id.EventID, error) {
	user := id.UserID(*d.StateKey)
	if joins(d.Content) {
		if err := by.ActFor(ctx, user); err != nil {
			return "", err
		}
		d.Sender = user
		return s.joinFor(ctx, by, roomID, d)
	}
	eventID, err := s.send(ctx, roomID, d, nil)
	if err == nil || !isForbidden(err) || !saysMembership(d.Content, event.MembershipLeave) || by.ActFor(ctx, user) != nil {
		return eventID, err
	}
	d.Sender = user
	return s.send(ctx, roomID, d, nil)
}

// joinFor sends a user's join, and has by invite the user when they cannot join otherwise.
func (s *Service) joinFor(ctx context.Context, by By, roomID id.RoomID, d draft) (id.EventID, error) {
	eventID, err := s.joinBy(ctx, roomID, d)
	if err == nil || !isForbidden(err) {
		return eventID, err
	}
	content, failure := s.memberContent(ctx, d.Sender, event.MembershipInvite, nil)
	if failure != nil {
		return "", failure
	}
	invite := draft{
		Type: event.TypeMember, StateKey: d.StateKey, Sender: by.User, Content: content, TS: d.TS, Suspended: by.Suspended,
		From: []string{event.MembershipLeave, event.MembershipKnock},
	}
	ids, err := s.appendAll(ctx, roomID, []draft{invite, d})
	if err != nil {
		return "", err
	}
	return ids[1], nil
}

func isForbidden(err error) bool {
	var refused mautrix.RespError
	return errors.As(err, &refused) && refused.StatusCode == 403
}

// maxInitialMembers bounds whom an application service puts into a new room.
const maxInitialMembers = 1000

// ServiceCreate is what an application service adds to CreateRequest: com.beeper.room_create_autojoin_invites.
type ServiceCreate struct {
	// AutoJoin has those who are invited be in the room at once, as far as the service may act for them; others are invited.
	AutoJoin bool `json:"com.beeper.auto_join_invites"`
	// Members are invited, and are in the room at once in the same way.
	Members []id.UserID `json:"com.beeper.initial_members"`
}

// arrivals are those who are invited to a new room, and of them those who join it at once. Of people's requests it is Invite alone.
func (in *CreateRequest) arrivals(ctx context.Context, by By) (invited []id.UserID, joining map[id.UserID]bool) {
	if by.ActFor == nil {
		return in.Invite, nil
	}
	joining = make(map[id.UserID]bool)
	seen := map[id.UserID]bool{by.User: len(in.Members) > 0} // who makes the room is in it
	add := func(users []id.UserID, join bool) {
		for _, user := range users {
			if seen[user] {
				continue
			}
			seen[user] = true
			invited = append(invited, user)
			joining[user] = join && by.ActFor(ctx, user) == nil
		}
	}
	add(in.Members, true)
	add(in.Invite, in.AutoJoin)
	return invited, joining
}

// checkMembers bounds who is put into a new room.
func (in *CreateRequest) checkMembers(by By) error {
	limit := maxInvites
	if by.ActFor != nil {
		limit = maxInitialMembers
		if len(in.Members) > limit {
			return matrixError(400, "M_LIMIT_EXCEEDED", "com.beeper.initial_members has more than %d users", limit)
		}
		for _, user := range in.Members {
			if _, _, err := user.Parse(); err != nil {
				return matrixError(400, "M_INVALID_PARAM", "com.beeper.initial_members: %q is not a user id", user)
			}
		}
	}
	if len(in.Invite) > limit {
		return matrixError(400, "M_LIMIT_EXCEEDED", "invite has more than %d users", limit)
	}
	return nil
}

// addJoin adds the join of another user than who makes the room.
func (b *draftList) addJoin(user id.UserID, content json.RawMessage) {
	stateKey := string(user)
	b.drafts = append(b.drafts, draft{Type: event.TypeMember, StateKey: &stateKey, Sender: user, Content: content, TS: b.ts})
}
