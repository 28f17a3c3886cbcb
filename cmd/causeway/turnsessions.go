package main

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

// What credentials are for: a device of a user (its ID follows), or a part in a call of the SFU (the identity follows).
const (
	deviceSession = "d"
	callSession   = "c"
)

// turnSessions is asked whether those go on whom credentials were made for.
type turnSessions struct {
	devices interface {
		MayCall(ctx context.Context, user id.UserID, device id.DeviceID) (bool, error)
	}
	calls interface{ Seated(identity string) bool }
}

// attend ties the homeserver's end, and that of calls, before anything is served.
func (t *turnPart) attend(devices interface {
	MayCall(ctx context.Context, user id.UserID, device id.DeviceID) (bool, error)
}, calls *calls) {
	if t == nil {
		return
	}
	t.sessions.devices = devices
	if calls != nil {
		t.sessions.calls = calls.focus
	}
}

// sessionWithin bounds how long it may take to look a session up.
const sessionWithin = 5 * time.Second

// isActive is turn.Config.Active: whether a session goes on. When that cannot be seen, it does: calls outlast a database that is away for a moment.
func (t *turnPart) isActive(user, session string) bool {
	s := t.sessions
	if identity, ok := strings.CutPrefix(session, callSession); ok {
		return s.calls != nil && s.calls.Seated(identity)
	}
	if s.devices == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionWithin)
	defer cancel()
	device := strings.TrimPrefix(session, deviceSession)
	may, err := s.devices.MayCall(ctx, id.UserID(user), id.DeviceID(device))
	if err != nil {
		t.log.Warn().Err(err).Str("user_id", user).Msg("Whether a session goes on cannot be seen")
		return true
	}
	return may
}
