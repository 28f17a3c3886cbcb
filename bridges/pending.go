package bridges

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// PendingChanger is implemented by a network that can still change what it has taken and not yet sent.
type PendingChanger interface {
	// ChangePending applies an edit or a redaction to the message of the same sender that it is about, which the network
	// holds (Host.Defer), and reports whether it has done so: then the event is handled. If not, it is handled as any other
	// once the message is finished, because bridgev2 knows no message before that.
	ChangePending(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, target id.EventID) bool
}

// concerns returns the event that an event is about: that it edits, answers, reacts to or redacts, or "".
func concerns(evt *event.Event) id.EventID {
	if evt.Type == event.EventRedaction {
		if evt.Redacts != "" {
			return evt.Redacts
		}
		target, _ := evt.Content.Raw["redacts"].(string)
		return id.EventID(target)
	}
	relation, _ := evt.Content.Raw["m.relates_to"].(map[string]any)
	if answered, ok := relation["m.in_reply_to"].(map[string]any); ok {
		target, _ := answered["event_id"].(string)
		return id.EventID(target)
	}
	target, _ := relation["event_id"].(string)
	return id.EventID(target)
}

// isChange reports whether an event changes the one that it is about.
func isChange(evt *event.Event) bool {
	if evt.Type == event.EventRedaction {
		return true
	}
	relation, _ := evt.Content.Raw["m.relates_to"].(map[string]any)
	return evt.Type == event.EventMessage && relation["rel_type"] == string(event.RelReplace)
}

// changePending offers a change to the network while the message is still with it, and reports whether that was all.
func (b *Bridge) changePending(ctx context.Context, t *ticket) bool {
	changer, ok := b.opts.Network.(PendingChanger)
	if !ok || !isChange(t.evt) {
		return false
	}
	if _, out := b.policies.excluded(t.evt.Sender); out {
		return false
	}
	portal, err := b.v2.GetPortalByMXID(ctx, t.evt.RoomID)
	if err != nil || portal == nil {
		return false
	}
	return changer.ChangePending(ctx, portal, t.evt, t.about)
}
