package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"

	"causeway/bridges"
)

var _ bridges.JoinRuleWatcher = (*Connector)(nil)

// openRule and closedRule are what the bridge sets; closedRules are those that a room may have instead of closedRule, because they let
// in nobody whom nobody has asked, or asked for.
const (
	openRule   = event.JoinRulePublic
	closedRule = event.JoinRuleInvite
)

var closedRules = []event.JoinRule{
	event.JoinRuleKnock, event.JoinRuleRestricted, event.JoinRuleKnockRestricted, event.JoinRulePrivate,
}

// HandleJoinRule implements bridges.JoinRuleWatcher: a room that people close, or open, has its channel do so (+i, -i), if that lets
// whoever did it. Otherwise the room has again the rule that the channel has. In rooms that the bridge did not make, the rule is their
// owners'.
func (c *Connector) HandleJoinRule(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error {
	name, _, _ := splitID(string(portal.ID))
	n, known := c.networks[name]
	if !known || kindOf(portal.PortalKey) != shared {
		return nil
	}
	levels, err := c.host.PowerLevels(ctx, portal.MXID)
	if err != nil {
		return err
	}
	if levels.CreateEvent == nil || levels.CreateEvent.Sender != c.br.Bot.GetMXID() {
		return nil
	}
	closes := ruleOf(evt.Content.AsJoinRules()) != openRule
	if before := evt.Unsigned.PrevContent; before != nil && before.ParseRaw(evt.Type) == nil &&
		closes == (ruleOf(before.AsJoinRules()) != openRule) {
		return nil // another way of being closed, which is the room's own affair
	}
	login, err := c.br.GetExistingUserLoginByID(ctx, loginID(n.name, evt.Sender))
	if err != nil {
		return err
	}
	lane := n.channel(portal.Name).lane
	if login == nil {
		lane.put(noticeItem{text: ruleStays + " on IRC: you are not there", to: evt.Sender})
		lane.put(rulesItem{})
		return nil
	}
	if err := login.Client.(*account).setJoinRule(ctx, portal, evt, closes); err != nil {
		lane.put(noticeItem{text: ruleStays + " on IRC: " + err.Error(), to: evt.Sender})
		lane.put(rulesItem{})
	}
	return nil
}

// ruleStays begins what somebody hears who could not change who may come.
const ruleStays = "Who may join was not changed"

// ruleOf is the rule of what may not be one.
func ruleOf(content *event.JoinRulesEventContent) event.JoinRule {
	if content == nil || content.JoinRule == "" {
		return closedRule
	}
	return content.JoinRule
}

// setJoinRule closes the channel of a room for who is not invited, or opens it.
func (a *account) setJoinRule(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, closes bool) error {
	flags := map[byte]bool{'i': closes}
	return a.setModes(ctx, portal, evt, modeWish{
		failed: ruleStays,
		flags:  true,
		want:   func(c *client, m *membership) []change { return c.changesFor(m, nil, flags) },
		check: func(c *client) error {
			m := c.membershipOf(portal.Name)
			if closes || m == nil || !m.settings(c).keyed {
				return nil
			}
			return failure("the channel has a key; `/mode %s -k` on IRC takes it away", m.name)
		},
		undo: rulesItem{},
	})
}

// rulesItem has a room show again what is known of who may join.
type rulesItem struct{}

func (rulesItem) stateful() {}

func (rulesItem) deliver(_ context.Context, l *lane, _ *bridgev2.Portal) error {
	if l.scene.known {
		l.scene.unset = true
		l.scene.changed(time.Now())
	}
	return nil
}
