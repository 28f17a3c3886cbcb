package homeserver

import (
	"context"
	"time"

	"maunium.net/go/mautrix/id"
)

// OpenIDUser returns whose an OpenID token of this server is. Errors: 401 M_UNKNOWN_TOKEN.
func (s *Server) OpenIDUser(ctx context.Context, token string) (id.UserID, error) {
	return s.Accounts.OpenIDUser(ctx, token)
}

// RoomNames returns what rooms of this server are called: see room.Service.Names.
func (s *Server) RoomNames(ctx context.Context, rooms []id.RoomID) (map[id.RoomID]string, error) {
	return s.rooms.Names(ctx, rooms)
}

// CallAccess returns what a user of this server may do in the calls of a room from a device ("" for none): whether they may be in them at
// all, and whether they may say so, and send sound and picture, by the state event of older clients and by the sticky event of newer ones.
func (s *Server) CallAccess(ctx context.Context, room id.RoomID, user id.UserID, device id.DeviceID) (joined, byState, bySticky bool, err error) {
	usable, mute, err := s.Accounts.InCall(ctx, user, device)
	if err != nil || !usable {
		return false, false, false, err
	}
	joined, byState, bySticky, err = s.rooms.CallAccess(ctx, room, user)
	return joined, byState && !mute, bySticky && !mute, err
}

// MayCall returns whether a user of this server may use their account, and a device of theirs ("" for none), and so take part in calls.
func (s *Server) MayCall(ctx context.Context, user id.UserID, device id.DeviceID) (bool, error) {
	usable, _, err := s.Accounts.InCall(ctx, user, device)
	return usable, err
}

// DelayedEvent returns of which room a delayed event of a user is, and after what time it is sent. Errors: 404 M_NOT_FOUND.
func (s *Server) DelayedEvent(ctx context.Context, user id.UserID, delayID string) (room id.RoomID, after time.Duration, err error) {
	d, err := s.rooms.DelayedEvent(ctx, user, delayID)
	if err != nil {
		return "", 0, err
	}
	return d.RoomID, time.Duration(d.DelayMS) * time.Millisecond, nil
}

// RestartDelayed has a delayed event of a user wait for its delay once more. Errors of this, SendDelayed and CancelDelayed: as those of the
// endpoints of MSC4140.
func (s *Server) RestartDelayed(ctx context.Context, user id.UserID, delayID string) error {
	return s.rooms.RestartDelayed(ctx, delayID, user)
}

// SendDelayed sends a delayed event of a user now.
func (s *Server) SendDelayed(ctx context.Context, user id.UserID, delayID string) error {
	return s.rooms.SendDelayed(ctx, delayID, user)
}

// CancelDelayed has a delayed event of a user never be sent.
func (s *Server) CancelDelayed(ctx context.Context, user id.UserID, delayID string) error {
	return s.rooms.CancelDelayed(ctx, delayID, user)
}
