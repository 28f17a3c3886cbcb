package bridges

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// LoginEnder is implemented by a network that can tell others why somebody leaves it.
type LoginEnder interface {
	// EndLogin ends a login for now, as its Disconnect does. Connect begins it again.
	EndLogin(ctx context.Context, login *bridgev2.UserLogin, reason string)
}

// policyState is the error of logins that policy lists have ended.
const policyState status.BridgeStateErrorCode = "causeway-policy"

// Excluded reports whether policy lists keep a user out of the bridge. Handlers are not called for what they do; it is for what a network
// does by itself.
func (h *Host) Excluded(user id.UserID) bool {
	_, is := h.b.policies.excluded(user)
	return is
}

// startLogins is bridgev2's StartLogins without those who are kept out.
func (b *Bridge) startLogins(ctx context.Context) error {
	if b.policies.on() {
		b.policies.refresh(ctx)
	}
	users, err := b.v2.GetUsersToStart(ctx)
	if err != nil {
		return err
	}
	users = slices.DeleteFunc(users, func(user *bridgev2.User) bool {
		_, out := b.policies.excluded(user.MXID)
		return out // enforce tells, and ends what was taken over from the process before
	})
	b.v2.StartLoginsForUsers(ctx, users)
	return nil
}

// tellEnded makes known that a login has ended.
func tellEnded(login *bridgev2.UserLogin, reason string) {
	login.BridgeState.Send(status.BridgeState{StateEvent: status.StateBadCredentials, Error: policyState, Message: excludedText(reason)})
}

// enforce ends what the rules do not allow, and begins again what they allow again.
func (p *policies) enforce(ctx context.Context) error {
	users, err := p.b.v2.DB.UserLogin.GetAllUserIDsWithLogins(ctx)
	if err != nil {
		return fmt.Errorf("list the users: %w", err)
	}
	for _, user := range users {
		if err := p.enforceOn(ctx, user); err != nil {
			return err
		}
	}
	portals, err := p.b.v2.GetAllPortalsWithMXID(ctx)
	if err != nil {
		return fmt.Errorf("list the rooms: %w", err)
	}
	for _, portal := range portals {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if reason, banned := p.bansRoom(ctx, portal.MXID); banned {
			if err := p.b.Unbridge(ctx, portal.MXID, roomText(reason)); err != nil {
				return err
			}
			continue
		}
		members, err := p.b.conn.StateStore.GetRoomMembers(ctx, portal.MXID, event.MembershipJoin, event.MembershipInvite)
		if err != nil {
			return fmt.Errorf("list the members of %s: %w", portal.MXID, err)
		}
		for user := range members {
			if reason, out := p.excluded(user); out {
				p.turnAway(ctx, portal, user, reason)
			}
		}
	}
	return nil
}

// leftText is what others on the network read.
func leftText(reason string) string {
	if reason == "" {
		return "banned by a policy list"
	}
	return "banned by a policy list: " + reason
}

// roomText is why a room is bridged no longer.
func roomText(reason string) string {
	if reason == "" {
		return "a policy list bans it"
	}
	return "a policy list bans it (" + reason + ")"
}

// enforceOn ends the logins of a user, or begins them again.
func (p *policies) enforceOn(ctx context.Context, userID id.UserID) error {
	reason, out := p.excluded(userID)
	if out == p.ended[userID] {
		return nil
	}
	user, err := p.b.v2.GetUserByMXID(ctx, userID)
	if err != nil {
		return fmt.Errorf("load user %s: %w", userID, err)
	}
	ender, tells := p.b.opts.Network.(LoginEnder)
	for _, login := range user.GetUserLogins() {
		switch {
		case !out:
			login.Client.Connect(login.Log.WithContext(p.b.v2.BackgroundCtx))
			continue
		case tells:
			ender.EndLogin(ctx, login, leftText(reason))
		default:
			login.Client.Disconnect()
		}
		tellEnded(login, reason)
	}
	if p.ended[userID] = out; !out {
		delete(p.ended, userID)
	}
	p.b.log.Info().Stringer("user_id", userID).Bool("excluded", out).Msg("the policy lists have changed for somebody")
	return nil
}

// bansRoom looks for a rule about a room, by its ID and all its aliases.
func (p *policies) bansRoom(ctx context.Context, room id.RoomID) (reason string, banned bool) {
	rules := p.current()
	if reason, banned = rules.room(string(room)); banned || !rules.aboutAliases {
		return reason, banned
	}
	known, err := p.b.conn.Bot.GetAliases(ctx, room)
	if err != nil {
		p.b.log.Err(err).Stringer("room_id", room).Msg("list the aliases of a room")
		return "", false
	}
	for _, alias := range known.Aliases {
		if reason, banned = rules.room(string(alias)); banned {
			return reason, true
		}
	}
	return "", false
}

// turnAway removes somebody who is kept out from a room of the bridge. In a room that is others' they stay, unheard, and in one of their
// own there is nobody to be kept from.
func (p *policies) turnAway(ctx context.Context, portal *bridgev2.Portal, user id.UserID, reason string) {
	if portal.Receiver != "" || portal.RoomType == database.RoomTypeDM || portal.RoomType == database.RoomTypeSpace {
		return
	}
	creation, err := p.b.conn.GetStateEvent(ctx, portal.MXID, event.StateCreate, "")
	if err == nil && creation != nil && creation.Sender == p.b.conn.Bot.UserID {
		err = (&Host{b: p.b}).Kick(ctx, portal.MXID, user, "You cannot be here: "+excludedText(reason))
	}
	if err != nil {
		p.b.log.Err(err).Stringer("room_id", portal.MXID).Stringer("user_id", user).Msg("remove who is banned by a policy list")
	}
}

// refuse reports whether the rules keep an event from the network, and turns away whom it lets in.
func (p *policies) refuse(ctx context.Context, evt *event.Event) bool {
	if !p.on() {
		return false
	}
	_, isBanned := p.current().room(string(evt.RoomID))
	_, senderOut := p.excluded(evt.Sender)
	if evt.Type != event.StateMember || evt.StateKey == nil {
		return isBanned || senderOut
	}
	target, membership := id.UserID(*evt.StateKey), evt.Content.AsMember().Membership
	isGone := membership == event.MembershipLeave || membership == event.MembershipBan
	if target == p.b.conn.Bot.UserID {
		if membership == event.MembershipInvite && (isBanned || senderOut) {
			_, err := p.b.conn.Bot.LeaveRoom(ctx, evt.RoomID)
			if err := unlessGone(err, "refuse an invitation"); err != nil {
				p.b.log.Err(err).Stringer("room_id", evt.RoomID).Msg("refuse what a policy list bans")
			}
		}
		return isBanned && !isGone || senderOut
	}
	reason, targetOut := p.excluded(target)
	switch {
	case isGone && (target == evt.Sender || targetOut):
		return false // ends what there is of them
	case !targetOut || isBanned:
		return isBanned || senderOut
	}
	portal, err := p.b.v2.GetPortalByMXID(ctx, evt.RoomID)
	if err != nil {
		p.b.log.Err(err).Stringer("room_id", evt.RoomID).Msg("load the portal of who is banned by a policy list")
	}
	if portal == nil {
		return true
	}
	p.turnAway(ctx, portal, target, reason)
	return true
}

// strip takes those who are kept out from what is ephemeral, and reports whether nothing is left.
func (p *policies) strip(evt *event.Event) bool {
	if !p.on() {
		return false
	}
	if _, banned := p.current().room(string(evt.RoomID)); banned {
		return true
	}
	out := func(user id.UserID) bool { _, is := p.excluded(user); return is }
	switch evt.Type {
	case event.EphemeralEventPresence:
		return out(evt.Sender)
	case event.EphemeralEventTyping:
		typing := evt.Content.AsTyping()
		typing.UserIDs = slices.DeleteFunc(typing.UserIDs, out)
	case event.EphemeralEventReceipt:
		for _, kinds := range *evt.Content.AsReceipt() {
			for _, users := range kinds {
				for user := range users {
					if out(user) {
						delete(users, user)
					}
				}
			}
		}
	}
	return false
}
