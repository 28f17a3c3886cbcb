package bridges

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
)

// JoinRuleWatcher is implemented by a network whose chats say themselves who may come. bridgev2 does not look at join rules.
type JoinRuleWatcher interface {
	// HandleJoinRule is called for each m.room.join_rules event of a person (no ghost, not the bot) in a room of this bridge, in the
	// room's order. It can be held by Host.Defer. An error is only logged.
	HandleJoinRule(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error
}

// watchJoinRules shows the network's JoinRuleWatcher what it is to see.
func (b *Bridge) watchJoinRules() {
	watcher, ok := b.opts.Network.(JoinRuleWatcher)
	if !ok {
		return
	}
	b.conn.EventProcessor.On(event.StateJoinRules, func(ctx context.Context, evt *event.Event) {
		if evt.GetStateKey() != "" || evt.Sender == b.conn.Bot.UserID || b.v2.IsGhostMXID(evt.Sender) {
			return
		}
		portal, err := b.v2.GetPortalByMXID(ctx, evt.RoomID)
		if err == nil && portal != nil {
			err = watcher.HandleJoinRule(ctx, portal, evt)
		}
		if err != nil {
			b.log.Err(err).Stringer("room_id", evt.RoomID).Stringer("event_id", evt.ID).Msg("follow a join rule")
		}
	})
}
