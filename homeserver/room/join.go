package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Join joins a room by its id or one of its aliases. extra is put into the content of the m.room.member event (reason and the
// like) and may be nil. Joining a room that one is in already does nothing. A room that is restricted to the members of others is
// joined when the user is one: see Authoriser for the errors.
func (s *Service) Join(ctx context.Context, by By, roomIDOrAlias string, extra map[string]any) (id.RoomID, error) {
	roomID, now, err := s.findRoom(ctx, by, roomIDOrAlias)
	if err != nil || now == event.MembershipJoin {
		return roomID, err
	}
	content, err := s.memberContent(ctx, by.User, event.MembershipJoin, extra)
	if err == nil {
		_, err = s.join(ctx, by, roomID, content)
	}
	return roomID, err
}

// findRoom finds a room that a user wants into, and the user's membership of it, "" for none.
func (s *Service) findRoom(ctx context.Context, by By, roomIDOrAlias string) (roomID id.RoomID, now string, err error) {
	roomID = id.RoomID(roomIDOrAlias)
	switch {
	case strings.HasPrefix(roomIDOrAlias, "#"):
		if roomID, err = s.ResolveAlias(ctx, by, id.RoomAlias(roomIDOrAlias)); err != nil {
			return "", "", err
		}
	case !strings.HasPrefix(roomIDOrAlias, "!"):
		return "", "", matrixError(400, "M_INVALID_PARAM", "%q is neither a room id nor a room alias", roomIDOrAlias)
	}
	now, err = s.findMembership(ctx, roomID, by.User)
	if errors.Is(err, store.ErrNotFound) {
		return "", "", unknownRoom(roomID)
	}
	return roomID, now, err
}

// unknownRoom is for endpoints that the specification has answer so: most hide whether there is a room.
func unknownRoom(roomID id.RoomID) error {
	return matrixError(404, "M_NOT_FOUND", "This server knows no room %s", roomID)
}

// Invite invites a user to a room.
func (s *Service) Invite(ctx context.Context, by By, roomID id.RoomID, user id.UserID, reason string) error {
	if _, _, err := user.Parse(); err != nil {
		return matrixError(400, "M_INVALID_PARAM", "%q is not a user id", user)
	}
	if err := s.summon(ctx, by, roomID, user); err != nil {
		return err
	}
	return s.setMembership(ctx, by, roomID, user, "invite", reasonOf(reason))
}

// Leave leaves a room, declines an invitation to it, or takes back a knock.
func (s *Service) Leave(ctx context.Context, by By, roomID id.RoomID, reason string) error {
	now, err := s.membership(ctx, roomID, by.User)
	if err != nil {
		return err
	}
	switch now {
	case "":
		return notIn(roomID)
	case "leave":
		return nil
	}
	return s.setMembership(ctx, by, roomID, by.User, "leave", reasonOf(reason))
}

// Kick makes another user leave.
func (s *Service) Kick(ctx context.Context, by By, roomID id.RoomID, user id.UserID, reason string) error {
	return s.setMembership(ctx, by, roomID, user, "leave", reasonOf(reason), "join", "invite", "knock")
}

// Ban bans a user from a room.
func (s *Service) Ban(ctx context.Context, by By, roomID id.RoomID, user id.UserID, reason string) error {
	if _, _, err := user.Parse(); err != nil {
		return matrixError(400, "M_INVALID_PARAM", "%q is not a user id", user)
	}
	return s.setMembership(ctx, by, roomID, user, "ban", reasonOf(reason))
}

// Unban lifts a ban.
func (s *Service) Unban(ctx context.Context, by By, roomID id.RoomID, user id.UserID, reason string) error {
	return s.setMembership(ctx, by, roomID, user, "leave", reasonOf(reason), "ban")
}

// Forget hides a room that the user has left from the user's lists.
func (s *Service) Forget(ctx context.Context, by By, roomID id.RoomID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		m, err := tx.Membership(nid, by.User)
		if errors.Is(err, store.ErrNotFound) {
			return matrixError(404, "M_NOT_FOUND", "You were never in %s", roomID)
		}
		if err != nil {
			return err
		}
		if m.Membership != "leave" && m.Membership != "ban" {
			return matrixError(400, "M_UNKNOWN", "Leave %s before you forget it", roomID)
		}
		return tx.Forget(nid, m.UserNID)
	})
}

// PropagateProfile puts a user's changed profile into the member events of the rooms the user is in. A room that does not allow
// it, or that the user has left meanwhile, is left as it is.
func (s *Service) PropagateProfile(ctx context.Context, user id.UserID) error {
	var rooms []id.RoomID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		all, err := tx.MembershipsOf(user)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.Membership != "join" {
				continue
			}
			roomID, err := tx.RoomID(m.RoomNID)
			if err != nil {
				return err
			}
			rooms = append(rooms, roomID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, roomID := range rooms {
		var refused mautrix.RespError
		err := s.setMembership(ctx, By{User: user}, roomID, user, "join", nil, "join")
		if err != nil && !errors.As(err, &refused) {
			return fmt.Errorf("tell %s of the profile of %s: %w", roomID, user, err)
		}
	}
	return nil
}

// membership returns a user's membership of a room, "" for none. A room that does not exist looks as one that one is not in.
func (s *Service) membership(ctx context.Context, roomID id.RoomID, user id.UserID) (string, error) {
	now, err := s.findMembership(ctx, roomID, user)
	if errors.Is(err, store.ErrNotFound) {
		return "", notIn(roomID)
	}
	return now, err
}

// findMembership is membership, but for a room that does not exist, which is store.ErrNotFound.
func (s *Service) findMembership(ctx context.Context, roomID id.RoomID, user id.UserID) (string, error) {
	var now string
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		if nid == 0 {
			return store.ErrNotFound
		}
		m, err := tx.Membership(nid, user)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		now = m.Membership
		return err
	})
	return now, err
}

// setMembership sends an m.room.member event with the user's profile. The user's membership before must be one of from, unless
// that is empty.
func (s *Service) setMembership(ctx context.Context, by By, roomID id.RoomID, user id.UserID, membership string, extra map[string]any, from ...string) error {
	content, err := s.memberContent(ctx, user, membership, extra)
	if err != nil {
		return err
	}
	stateKey := string(user)
	_, err = s.send(ctx, roomID, draft{
		Type: event.TypeMember, StateKey: &stateKey, Sender: by.User, Content: content, TS: s.ts(by), From: from, Suspended: by.Suspended,
	}, nil)
	return err
}

func (s *Service) memberContent(ctx context.Context, user id.UserID, membership string, extra map[string]any) (json.RawMessage, error) {
	content := map[string]any{}
	for k, v := range extra {
		content[k] = v
	}
	content["membership"] = membership
	switch membership {
	case event.MembershipJoin, event.MembershipInvite, event.MembershipKnock:
		err := s.DB.View(ctx, func(tx *store.Tx) error {
			name, avatar, err := tx.Profile(user)
			if name != "" {
				content["displayname"] = name
			}
			if avatar != "" {
				content["avatar_url"] = avatar
			}
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return json.Marshal(content)
}

func reasonOf(reason string) map[string]any {
	if reason == "" {
		return nil
	}
	return map[string]any{"reason": reason}
}
