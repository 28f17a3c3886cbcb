package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Identities is the identity service that the server works with.
type Identities interface {
	// Find returns the user whose an address is known to be, "" for nobody. server is the service that a client named, and token that of
	// by at it. Errors are Matrix errors.
	Find(ctx context.Context, server, token string, by id.UserID, medium, address string) (id.UserID, error)
	// Store has the service keep an invitation until somebody shows to have the address, and write to it. Errors are Matrix errors.
	Store(ctx context.Context, token string, in Invitation) (StoredInvitation, error)
}

// AddressInvite names somebody by an address (Client-Server API, Invite3pid).
type AddressInvite struct {
	Server  string `json:"id_server"`
	Token   string `json:"id_access_token"`
	Medium  string `json:"medium"`
	Address string `json:"address"`
}

// Invitation is what an identity service is told of an invitation.
type Invitation struct {
	Medium, Address string
	Sender          id.UserID
	SenderName      string
	Room            *Summary
}

// StoredInvitation is by what an invitation is redeemed.
type StoredInvitation struct {
	Token       string
	DisplayName string
	Keys        []InvitationKey // at least one
}

// InvitationKey is a key that signs for who redeems an invitation.
type InvitationKey struct {
	PublicKey   string `json:"public_key"`
	ValidityURL string `json:"key_validity_url,omitempty"`
}

// maxAddressInvites bounds the people that a room is made with who are invited by their addresses.
const maxAddressInvites = 20

func (in *AddressInvite) check() error {
	for _, field := range []struct{ name, value string }{
		{"id_server", in.Server}, {"id_access_token", in.Token}, {"medium", in.Medium}, {"address", in.Address},
	} {
		if field.value == "" {
			return matrixError(400, "M_MISSING_PARAM", "Missing %s", field.name)
		}
	}
	return nil
}

// InviteByAddress invites whoever has an address: a user, where the identity service knows one, and else whoever shows to have it one day
// (Client-Server API, "Third-party Invites"). Errors: M_MISSING_PARAM, M_FORBIDDEN, M_THREEPID_DENIED, those of Invite, and those of the
// identity service.
func (s *Service) InviteByAddress(ctx context.Context, by By, roomID id.RoomID, in AddressInvite, reason string) error {
	if s.Identities == nil {
		return ErrNoThirdParty
	}
	if err := in.check(); err != nil {
		return err
	}
	// Nobody is written to, and nobody looked up, on behalf of one who may not invite.
	if err := s.mayInvite(ctx, roomID, by.User); err != nil {
		return err
	}
	user, err := s.Identities.Find(ctx, in.Server, in.Token, by.User, in.Medium, in.Address)
	if err != nil {
		return err
	}
	if user != "" {
		return s.Invite(ctx, by, roomID, user, reason)
	}
	invitation := Invitation{Medium: in.Medium, Address: in.Address, Sender: by.User}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		o, err := s.outline(tx, roomID, by.User)
		if err != nil {
			return err
		}
		invitation.Room = &o.Summary
		invitation.SenderName, _, err = tx.Profile(by.User)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("describe %s for an invitation: %w", roomID, err)
	}
	stored, err := s.Identities.Store(ctx, in.Token, invitation)
	if err != nil {
		return err
	}
	content, err := json.Marshal(map[string]any{
		"display_name": stored.DisplayName, "public_keys": stored.Keys,
		"public_key": stored.Keys[0].PublicKey, "key_validity_url": stored.Keys[0].ValidityURL,
	})
	if err != nil {
		return err
	}
	_, err = s.SendState(ctx, by, roomID, event.TypeThirdPartyInvite, stored.Token, content)
	return err
}

// mayInvite returns 403 M_FORBIDDEN unless a user is in a room and has the power to invite. The authorisation rules ask again.
func (s *Service) mayInvite(ctx context.Context, roomID id.RoomID, user id.UserID) error {
	now, err := s.membership(ctx, roomID, user)
	if err != nil {
		return err
	}
	if now != event.MembershipJoin {
		return notIn(roomID)
	}
	state := make(eventauth.StateMap)
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		clear(state)
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		for _, eventType := range []string{event.TypeCreate, event.TypePowerLevels} {
			e, err := tx.CurrentStateEvent(nid, eventType, "")
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			state[eventauth.StateKey{Type: eventType}] = e.PDU
		}
		return nil
	})
	if err == nil && eventauth.UserLevel(state, user) < eventauth.InviteLevel(state) {
		err = matrixError(403, "M_FORBIDDEN", "Your power level does not suffice to invite")
	}
	return err
}

// Redemption is an invitation by an address that somebody has signed for a user.
type Redemption struct {
	Sender id.UserID       // of the invitation
	User   id.UserID       // who has it now
	Token  string          // of the invitation
	Signed json.RawMessage // {mxid, sender, token, signatures}
}

// Redeem makes of an invitation by an address one of a user (Client-Server API, "Third-party Invites"). It does nothing for a user who is
// invited, or in the room. Errors: 403 M_FORBIDDEN when the room has no such invitation, or its keys have not signed; M_INVITE_BLOCKED.
func (s *Service) Redeem(ctx context.Context, roomID id.RoomID, in Redemption) error {
	if in.Sender.Homeserver() != s.ServerName {
		return matrixError(403, "M_FORBIDDEN", "%s is a user of another server, and this one does not federate yet", in.Sender)
	}
	now, err := s.membership(ctx, roomID, in.User)
	if err != nil || now == event.MembershipJoin || now == event.MembershipInvite {
		return err
	}
	var name string
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		issued, err := tx.CurrentStateEvent(nid, event.TypeThirdPartyInvite, in.Token)
		if errors.Is(err, store.ErrNotFound) {
			return matrixError(403, "M_FORBIDDEN", "%s has no such invitation", roomID)
		}
		if err == nil {
			name = issued.ContentString("display_name")
		}
		return err
	})
	if err != nil {
		return err
	}
	content, err := s.memberContent(ctx, in.User, event.MembershipInvite,
		map[string]any{"third_party_invite": map[string]any{"display_name": name, "signed": in.Signed}})
	if err != nil {
		return err
	}
	stateKey := string(in.User)
	_, err = s.send(ctx, roomID, draft{
		Type: event.TypeMember, StateKey: &stateKey, Sender: in.Sender, Content: content, TS: s.Now().UnixMilli(), Redeems: true,
	}, nil)
	return err
}

// JoinSigned is Join for somebody who brings an invitation by an address that is signed for them: third_party_signed.
func (s *Service) JoinSigned(ctx context.Context, by By, roomIDOrAlias string, signed json.RawMessage, extra map[string]any) (id.RoomID, error) {
	var claims struct {
		Sender id.UserID `json:"sender"`
		MXID   id.UserID `json:"mxid"`
		Token  string    `json:"token"`
	}
	if err := json.Unmarshal(signed, &claims); err != nil || claims.Sender == "" || claims.Token == "" {
		return "", matrixError(400, "M_BAD_JSON", "third_party_signed must have mxid, sender, token and signatures")
	}
	if claims.MXID != by.User {
		return "", matrixError(403, "M_FORBIDDEN", "The invitation is signed for another user")
	}
	roomID, now, err := s.findRoom(ctx, by, roomIDOrAlias)
	if err != nil || now == event.MembershipJoin {
		return roomID, err
	}
	if err := s.Redeem(ctx, roomID, Redemption{Sender: claims.Sender, User: by.User, Token: claims.Token, Signed: signed}); err != nil {
		return "", err
	}
	return s.Join(ctx, by, string(roomID), extra)
}

// checkAddresses refuses people who cannot be invited by their addresses, before there is a room.
func (s *Service) checkAddresses(ctx context.Context, by By, all []AddressInvite) error {
	switch {
	case len(all) == 0:
		return nil
	case s.Identities == nil:
		return ErrNoThirdParty
	case len(all) > maxAddressInvites:
		return matrixError(400, "M_LIMIT_EXCEEDED", "invite_3pid has more than %d entries", maxAddressInvites)
	}
	for _, in := range all {
		if err := in.check(); err != nil {
			return err
		}
		if _, err := s.Identities.Find(ctx, in.Server, in.Token, by.User, in.Medium, in.Address); err != nil {
			return err
		}
	}
	return nil
}

// inviteAddresses invites people to a room that was made with them. The room is there: what goes wrong now does not undo it.
func (s *Service) inviteAddresses(ctx context.Context, by By, roomID id.RoomID, all []AddressInvite) {
	for _, in := range all {
		err := s.InviteByAddress(ctx, by, roomID, in, "")
		var refused mautrix.RespError
		if errors.As(err, &refused) {
			zerolog.Ctx(ctx).Info().Str("errcode", refused.ErrCode).Stringer("room_id", roomID).Msg("An invitation by an address was refused")
		} else if err != nil {
			zerolog.Ctx(ctx).Error().Err(err).Stringer("room_id", roomID).Msg("An invitation by an address was lost")
		}
	}
}
