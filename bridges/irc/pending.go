package irc

import (
	"context"
	"slices"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

var _ bridges.PendingChanger = (*Connector)(nil)

// errTakenBack is what happens to a message that is deleted before it was sent. Nobody has to be told.
var errTakenBack = failure("deleted before it was sent")

// ChangePending implements bridges.PendingChanger: a message of which nothing has been written is changed where it waits.
func (c *Connector) ChangePending(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, target id.EventID) bool {
	network, _, _ := splitID(string(portal.ID))
	n := c.networks[network]
	if n == nil || evt.Type != event.EventRedaction && c.isStrict(n, portal.Name) {
		return false // who is in the room may have changed
	}
	login := c.br.GetCachedUserLoginByID(loginID(network, evt.Sender))
	client := c.speaksIn(n, portal, evt.Sender)
	if login == nil || client == nil {
		return false
	}
	change := changeRequest{target: target, by: evt.Sender, done: make(chan bool, 1)}
	if evt.Type != event.EventRedaction {
		content := evt.Content.AsMessage().NewContent
		if content == nil {
			return false
		}
		change.text = login.Client.(*account).compose(ctx, portal, content, nil)
	}
	if !client.box.add(change) {
		return false
	}
	select {
	case done := <-change.done:
		if done {
			result := bridgev2.MessageStatus{Status: event.MessageStatusSuccess}
			c.br.Matrix.SendMessageStatus(ctx, &result, bridgev2.StatusEventInfoFromEvent(evt))
		}
		return done
	case <-client.ended:
	case <-ctx.Done():
	}
	return false
}

// changeRequest puts another text in place of that of a message which waits, or takes it back when there is none.
type changeRequest struct {
	target id.EventID
	by     id.UserID // who changes it; the relay's connection has what others say too
	text   *send
	done   chan bool // of size 1
}

func (r changeRequest) apply(c *client) {
	r.done <- !c.goodbye && (c.changeWaiting(r) || c.changeQueued(r))
}

// isOf reports whether a message is the one, of the same sender, and nothing of it has been written.
func (r changeRequest) isOf(s *send) bool {
	return s.event == r.target && s.written == 0 && s.build == nil && (s.speaker == nil || s.speaker.user == r.by)
}

// change puts the new text in place of the old one; what the message answers stays.
func (r changeRequest) change(s *send) {
	s.verb, s.action, s.lines = r.text.verb, r.text.action, r.text.lines
}

// changeWaiting is about a message that waits for a connection or a JOIN.
func (c *client) changeWaiting(r changeRequest) bool {
	for _, m := range c.channels {
		i := slices.IndexFunc(m.waiting, r.isOf)
		if i < 0 {
			continue
		}
		s := m.waiting[i]
		if r.text != nil {
			r.change(s)
			return true
		}
		m.waiting = slices.Delete(m.waiting, i, i+1)
		s.done(errTakenBack)
		return true
	}
	return false
}

// changeQueued is about a message whose turn has not come.
func (c *client) changeQueued(r changeRequest) bool {
	i := slices.IndexFunc(c.unacked, r.isOf)
	if i < 0 {
		return false
	}
	s := c.unacked[i]
	isOurs := func(e entry) bool { return e.send == s }
	at := slices.IndexFunc(c.queue, isOurs)
	if at < 0 {
		return false
	}
	var entries []entry
	if r.text != nil {
		r.change(s)
		var err error
		if entries, err = c.entriesOf(s, c.channels[s.key]); err != nil {
			return false
		}
	}
	c.labels.forget(s)
	c.queue = slices.DeleteFunc(c.queue, isOurs)
	if len(entries) == 0 {
		c.unacked = slices.Delete(c.unacked, i, i+1)
		s.done(errTakenBack)
		return true
	}
	s.total = len(entries)
	c.label(s, entries)
	c.queue = slices.Insert(c.queue, at, entries...)
	return true
}
