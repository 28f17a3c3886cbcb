package room

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// authoriserKey is where a member event says whose server vouches that the conditions of a restricted room are met.
const authoriserKey = "join_authorised_via_users_server"

const typeRoomMembership = "m.room_membership"

// maxJoinTries bounds how often another user is looked for to authorise a join, when the one who was found lost the power to.
const maxJoinTries = 3

// voucher is what lets a user into a restricted room.
type voucher struct {
	authoriser id.UserID // a user of this server who may invite to the room
	condition  int64     // the room that the user must be in
}

// Authoriser returns the user of this server by whom a user's join of a restricted room is authorised, "" when the join needs nobody's
// word: the room is not restricted, the user is invited or in it, or banned, which is for the authorisation rules to say.
//
// Errors: 403 M_FORBIDDEN when the user meets no condition, 400 M_UNABLE_TO_AUTHORISE_JOIN when this server cannot tell, and 400
// M_UNABLE_TO_GRANT_JOIN when nobody of this server may invite. Server-Server API, "Restricted rooms".
func (s *Service) Authoriser(ctx context.Context, roomID id.RoomID, user id.UserID) (id.UserID, error) {
	v, err := s.voucher(ctx, roomID, user)
	if err != nil || v == nil {
		return "", err
	}
	return v.authoriser, nil
}

// voucher finds what lets a user into a restricted room; nil when that is not needed.
func (s *Service) voucher(ctx context.Context, roomID id.RoomID, user id.UserID) (v *voucher, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Room(roomID)
		if errors.Is(err, store.ErrNotFound) {
			return notIn(roomID)
		}
		if err != nil {
			return err
		}
		m, err := tx.Membership(r.NID, user)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		switch m.Membership {
		case event.MembershipJoin, event.MembershipInvite, event.MembershipBan:
			return nil
		}
		rules, err := tx.CurrentStateEvent(r.NID, event.TypeJoinRules, "")
		if errors.Is(err, store.ErrNotFound) || err == nil && !isRestricted(r.Version, rules.JoinRule()) {
			return nil
		}
		if err != nil {
			return err
		}
		v = new(voucher)
		if v.condition, err = s.metCondition(tx, roomID, rules.Allow(), user); err != nil {
			return err
		}
		v.authoriser, err = s.findAuthoriser(tx, r)
		return err
	})
	return v, err
}

func isRestricted(v *event.RoomVersion, rule string) bool {
	return v.Restricted && rule == event.JoinRuleRestricted || v.KnockRestricted && rule == event.JoinRuleKnockRestricted
}

// metCondition returns the room whose members are let in and that the user is in.
func (s *Service) metCondition(tx *store.Tx, roomID id.RoomID, allow []event.AllowRule, user id.UserID) (int64, error) {
	// Where its own users are, this server knows. Of others it knows those who are in rooms that it is in, too.
	own := event.ServerOf(user) == s.ServerName
	known := true
	for _, rule := range allow {
		if rule.Type != typeRoomMembership {
			continue
		}
		nid, err := tx.RoomNID(rule.RoomID)
		if err != nil {
			return 0, err
		}
		if nid == 0 {
			known = known && own
			continue
		}
		m, err := tx.Membership(nid, user)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		here := own
		if !own {
			member, err := tx.FindMember(nid, s.isOwn)
			if err != nil {
				return 0, err
			}
			here = member != ""
		}
		if here && m.Membership == event.MembershipJoin {
			return nid, nil
		}
		known = known && here
	}
	if !known {
		return 0, matrixError(400, "M_UNABLE_TO_AUTHORISE_JOIN", "This server cannot tell whether %s may join %s", user, roomID)
	}
	return 0, matrixError(403, "M_FORBIDDEN", "You are not in any of the rooms whose members may join %s", roomID)
}

func (s *Service) isOwn(user id.UserID) bool { return event.ServerOf(user) == s.ServerName }

// findAuthoriser returns a user of this server who is in a room and may invite to it: one of the most powerful, or anybody when
// everybody may.
func (s *Service) findAuthoriser(tx *store.Tx, r *store.Room) (id.UserID, error) {
	events, err := tx.StateOfRooms([]int64{r.NID}, []string{event.TypeCreate, event.TypePowerLevels})
	if err != nil {
		return "", err
	}
	state := make(eventauth.StateMap, len(events))
	for _, e := range events {
		state[eventauth.StateKey{Type: e.Type}] = e.PDU
	}
	may := func(user id.UserID) bool {
		return s.isOwn(user) && eventauth.UserLevel(state, user) >= eventauth.InviteLevel(state)
	}
	for _, user := range powerful(state) {
		if !may(user) {
			continue
		}
		m, err := tx.Membership(r.NID, user)
		if err == nil && m.Membership == event.MembershipJoin {
			return user, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	user := id.UserID("")
	if eventauth.Levels(state).UsersDefault >= eventauth.InviteLevel(state) {
		if user, err = tx.FindMember(r.NID, may); err != nil {
			return "", err
		}
	}
	if user == "" {
		return "", matrixError(400, "M_UNABLE_TO_GRANT_JOIN", "Nobody of this server may invite to %s", r.RoomID)
	}
	return user, nil
}

// powerful returns the users to whom a room's state gives a power level by name, and its creators, the most powerful first.
func powerful(state eventauth.StateMap) []id.UserID {
	var users []id.UserID
	if e := state[createKey]; e != nil {
		if create, err := e.Create(); err == nil {
			users = append(users, create.Creator)
			users = append(users, create.AdditionalCreators...)
		}
	}
	for user := range eventauth.Levels(state).Users {
		users = append(users, user)
	}
	level := make(map[id.UserID]int64, len(users))
	for _, user := range users {
		level[user] = eventauth.UserLevel(state, user)
	}
	slices.SortFunc(users, func(a, b id.UserID) int {
		return cmp.Or(cmp.Compare(level[b], level[a]), cmp.Compare(a, b))
	})
	return users
}

// join sends a user's own join. What a restricted room demands is looked at before, and once more in the transaction that stores the
// join: who leaves the other room in between stays out.
func (s *Service) join(ctx context.Context, by By, roomID id.RoomID, content json.RawMessage) (id.EventID, error) {
	stateKey := string(by.User)
	return s.joinBy(ctx, roomID, draft{Type: event.TypeMember, StateKey: &stateKey, Sender: by.User, Content: content, TS: s.ts(by), Guest: by.Guest, Suspended: by.Suspended})
}

// joinBy is join by a draft, whose sender it is who joins.
func (s *Service) joinBy(ctx context.Context, roomID id.RoomID, d draft) (id.EventID, error) {
	if err := s.followIn(ctx, roomID, &d); err != nil {
		return "", err
	}
	content := d.Content
	var (
		last    voucher
		refusal error
	)
	for range maxJoinTries {
		v, err := s.voucher(ctx, roomID, d.Sender)
		switch {
		case err != nil:
			return "", err
		case v == nil:
			return s.send(ctx, roomID, d, nil)
		case *v == last:
			return "", refusal
		}
		if d.Content, err = withAuthoriser(content, v.authoriser); err != nil {
			return "", err
		}
		eventID, err := s.send(ctx, roomID, d, func(tx *store.Tx) error {
			if m, err := tx.Membership(v.condition, d.Sender); err != nil || m.Membership != event.MembershipJoin {
				return errors.Join(err, matrixError(403, "M_FORBIDDEN", "You have left the room whose members may join %s", roomID))
			}
			return nil
		})
		var refused mautrix.RespError
		if !errors.As(err, &refused) || refused.StatusCode != 403 {
			return eventID, err
		}
		last, refusal = *v, err
	}
	return "", refusal
}

// withAuthoriser puts into a join by whom it is authorised.
func withAuthoriser(content json.RawMessage, user id.UserID) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, matrixError(400, "M_BAD_JSON", "The content must be an object")
	}
	raw, err := json.Marshal(user)
	if err != nil {
		return nil, err
	}
	fields[authoriserKey] = raw
	return json.Marshal(fields)
}
