package bridges

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// PresenceWatcher is implemented by a network that tells others whether people on Matrix are there.
type PresenceWatcher interface {
	// HandlePresence is called for each m.presence event about a person, one after the other. It must not wait. Some
	// may be lost or come twice.
	HandlePresence(ctx context.Context, user id.UserID, presence *event.PresenceEventContent)
}

// watchPresence gives presence to a network that wants it.
func (b *Bridge) watchPresence() {
	watcher, ok := b.opts.Network.(PresenceWatcher)
	if !ok {
		return
	}
	b.conn.EventProcessor.On(event.EphemeralEventPresence, func(ctx context.Context, evt *event.Event) {
		content, ok := evt.Content.Parsed.(*event.PresenceEventContent)
		if !ok || evt.Sender == b.conn.Bot.UserID || b.v2.IsGhostMXID(evt.Sender) {
			return
		}
		watcher.HandlePresence(ctx, evt.Sender, content)
	})
}

// SetPresence says of a ghost whether its person is there, with their own words about it.
func (h *Host) SetPresence(ctx context.Context, user networkid.UserID, presence event.Presence, words string) error {
	ghost := h.b.conn.AS.Intent(h.b.conn.FormatGhostMXID(user))
	if err := ghost.EnsureRegistered(ctx); err != nil {
		return fmt.Errorf("register %s: %w", ghost.UserID, err)
	}
	if err := ghost.SetPresence(ctx, mautrix.ReqPresence{Presence: presence, StatusMsg: words}); err != nil {
		return fmt.Errorf("set the presence of %s: %w", ghost.UserID, err)
	}
	return nil
}
