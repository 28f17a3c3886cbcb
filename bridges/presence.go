package bridges

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
)

// SetPresence says of a ghost whether its person is there, with their own words about it.
func (h *Host) SetPresence(ctx context.Context, user networkid.UserID, presence event.Presence, words string) error {
	ghost := h.b.conn.ghosts.intent(h.b.conn.FormatGhostMXID(user))
	if err := ghost.SetPresence(ctx, mautrix.ReqPresence{Presence: presence, StatusMsg: words}); err != nil {
		return fmt.Errorf("set the presence of %s: %w", ghost.UserID, err)
	}
	return nil
}
