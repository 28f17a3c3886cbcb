package irc

import (
	"context"
	"errors"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

var (
	_ bridgev2.ReactionHandlingNetworkAPI  = (*account)(nil)
	_ bridgev2.RedactionHandlingNetworkAPI = (*account)(nil)
	_ bridgev2.TypingHandlingNetworkAPI    = (*account)(nil)
	_ bridgev2.AltTargetFindingNetworkAPI  = (*account)(nil)
)

// errSilently are failures of which the sender hears no notice in the room: what has no form on this network.
var (
	errNoReactions  = errors.New("the network has no reactions")
	errNoRedactions = errors.New("the network cannot delete this message")
)

// isSilent reports whether a failure is shown at the event and not said in the room.
func isSilent(err error) bool {
	return errors.Is(err, errNoReactions) || errors.Is(err, errNoRedactions) || errors.Is(err, errTakenBack)
}

// HandleMatrixMessage implements bridgev2.NetworkAPI. It only queues the message, because bridgev2 keeps the room
// locked meanwhile, and lines from IRC need that lock too.
func (a *account) HandleMatrixMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	if err := a.reaches(msg.Portal); err != nil {
		return nil, err
	}
	answered, err := a.inChannel(ctx, msg.Portal, msg.ReplyTo)
	if err != nil {
		return nil, err
	}
	s := a.compose(ctx, msg.Portal, msg.Content, answered)
	err = a.submit(ctx, msg.Portal, msg.Event, s, func(ctx context.Context, err error) {
		if err == nil {
			a.record(ctx, msg, s)
		}
	})
	return &bridgev2.MatrixMessageResponse{Pending: true}, err
}

// HandleMatrixEdit implements bridgev2.EditHandlingNetworkAPI. IRC has no edits; what has changed goes out as people there
// correct themselves. It waits for further edits, and what everybody else says meanwhile does not wait for it, so that an
// edit which waits when the process dies is lost.
func (a *account) HandleMatrixEdit(ctx context.Context, msg *bridgev2.MatrixEdit) error {
	if err := a.reaches(msg.Portal); err != nil {
		return err
	}
	if msg.EditTarget.SenderMXID != msg.Event.Sender { // which changes nothing on Matrix, but bridgev2 passes it on
		return shown(failure("only who has said a message can change it"))
	}
	s := a.compose(ctx, msg.Portal, msg.Content, nil)
	s.final = true
	a.remember(ctx, msg.EditTarget) // to know what has changed
	full, target := plainOf(s.lines), msg.EditTarget.ID
	client, err := a.prepare(ctx, msg.Portal, msg.Event, s, func(ctx context.Context, err error) {
		if err != nil || s.superseded {
			return
		}
		a.net.recent.put(target, said{nick: a.net.nickOf(a.login.UserMXID), lines: full})
		var further []networkid.MessageID
		for _, msgid := range s.msgIDs() {
			further = append(further, idIn(msg.Portal.PortalKey, a.net.idOf(msgid)))
		}
		if err := a.connector.host.AddLines(ctx, target, further); err != nil {
			a.login.Log.Err(err).Stringer("event_id", msg.Event.ID).Msg("record an edit")
		}
	})
	if err != nil {
		return err
	}
	if !client.box.add(editRequest{send: s, target: target}) {
		return notConnected(a.net.name)
	}
	return nil
}

// puppetID is what stands for one of our users as the sender of a reaction. It is no nick of any network.
func puppetID(user id.UserID) networkid.UserID { return networkid.UserID("@/" + user) }

// PreHandleMatrixReaction implements bridgev2.ReactionHandlingNetworkAPI.
func (a *account) PreHandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (bridgev2.MatrixReactionPreResponse, error) {
	key := oneLine(cleanText(msg.Content.RelatesTo.Key))
	if key == "" || len(key) > maxReaction {
		return bridgev2.MatrixReactionPreResponse{}, failure("a reaction has from 1 to %d bytes", maxReaction)
	}
	sender := puppetID(msg.Event.Sender)
	// The table of reactions wants a ghost for its sender.
	if _, err := a.connector.br.GetGhostByID(ctx, sender); err != nil {
		return bridgev2.MatrixReactionPreResponse{}, err
	}
	return bridgev2.MatrixReactionPreResponse{SenderID: sender, EmojiID: networkid.EmojiID(key), Emoji: key}, nil
}

// HandleMatrixReaction implements bridgev2.ReactionHandlingNetworkAPI.
func (a *account) HandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (*database.Reaction, error) {
	key := msg.PreHandleResp.Emoji
	target, err := a.inChannel(ctx, msg.Portal, msg.TargetMessage)
	if err != nil {
		return nil, err
	}
	s := a.react("react", target.ID, key)
	if a.net != nil && a.net.cfg.Content.ReactionText {
		s.lines = []string{a.reactionText(ctx, target, key)}
	}
	return &database.Reaction{}, a.submit(ctx, msg.Portal, msg.Event, s, nil)
}

// reactionText is a reaction in words.
func (a *account) reactionText(ctx context.Context, target *database.Message, key string) string {
	nick := a.repliedNick(ctx, target)
	if was, ok := a.remember(ctx, target); ok && len(was.lines) > 0 && nick != "" {
		return "reacts with " + key + " to <" + nick + "> " + quoted(was.lines)
	}
	return strings.TrimSpace("reacts with " + key + " to " + nick)
}

// HandleMatrixReactionRemove implements bridgev2.ReactionHandlingNetworkAPI.
func (a *account) HandleMatrixReactionRemove(ctx context.Context, msg *bridgev2.MatrixReactionRemove) error {
	if msg.TargetReaction.SenderMXID != a.login.UserMXID {
		return errNoReactions // nobody takes back what somebody else has said
	}
	target := msg.TargetReaction.MessageID
	if a.connector.Taps(msg.Portal.MXID) {
		message, err := a.connector.br.DB.Message.GetFirstPartByID(ctx, msg.Portal.Receiver, target)
		if err == nil && message != nil {
			message, err = a.inChannel(ctx, msg.Portal, message)
		}
		if err != nil {
			return err
		}
		if message != nil {
			target = message.ID
		}
	}
	return a.submit(ctx, msg.Portal, msg.Event, a.react("unreact", target, string(msg.TargetReaction.EmojiID)), nil)
}

// react is a reaction, or that it is taken back. IRCv3, "+draft/react". Where there is no tag for it, it is said in its lines as
// an action, if it has any.
func (a *account) react(tag string, target networkid.MessageID, key string) *send {
	s := &send{verb: "TAGMSG"}
	s.build = func(c *client, m *membership) ([]entry, error) {
		s.reply = c.net.msgIDOf(target)
		tags := c.replyTags(s)
		if len(tags) > 0 && c.mayTag("draft/"+tag) && s.speaker == nil {
			return []entry{{line: withTags("TAGMSG "+m.name, append(tags, "+draft/"+tag, key)...)}}, nil
		}
		var entries []entry
		for _, line := range s.lines {
			said := send{verb: "PRIVMSG", action: true, key: s.key, speaker: s.speaker}
			for _, piece := range c.compose(&said, m.name, line) {
				entries = append(entries, entry{line: piece})
			}
		}
		if len(entries) == 0 {
			return nil, errNoReactions
		}
		return entries, nil
	}
	return s
}

// HandleMatrixMessageRemove implements bridgev2.RedactionHandlingNetworkAPI. All lines of the message are taken back.
func (a *account) HandleMatrixMessageRemove(ctx context.Context, msg *bridgev2.MatrixMessageRemove) error {
	if err := a.reaches(msg.Portal); err != nil {
		return err
	}
	target := msg.TargetMessage.ID
	lines, err := a.connector.host.Lines(ctx, target)
	if err != nil {
		return err
	}
	a.net.recent.forget(target)
	s := &send{verb: "REDACT"}
	reason := a.wordsFor(msg.Portal, cleanText(msg.Content.Reason))
	s.build = func(c *client, m *membership) ([]entry, error) {
		entries := c.redactions(m, reason, append([]networkid.MessageID{target}, lines...)...)
		if len(entries) == 0 && c.net.cfg.Content.RedactionText {
			said := send{verb: "PRIVMSG", action: true, key: s.key, speaker: s.speaker}
			return []entry{{line: c.compose(&said, m.name, "has deleted a message")[0]}}, nil
		}
		if len(entries) == 0 {
			return nil, errNoRedactions
		}
		return entries, nil
	}
	return a.submit(ctx, msg.Portal, msg.Event, s, func(ctx context.Context, err error) {
		if err == nil {
			err = a.connector.host.ForgetLines(ctx, target)
		}
		if err != nil && !isSilent(err) {
			a.login.Log.Debug().Err(err).Stringer("event_id", msg.Event.ID).Msg("delete a message")
		}
	})
}

// HandleMatrixTyping implements bridgev2.TypingHandlingNetworkAPI.
func (a *account) HandleMatrixTyping(ctx context.Context, msg *bridgev2.MatrixTyping) error {
	name, _ := target(msg.Portal)
	if client := a.client(); client != nil && a.connector.speaksIn(a.net, msg.Portal, a.login.UserMXID) == client &&
		a.net.cfg.Content.sendsTyping() && msg.Type == bridgev2.TypingTypeText {
		client.box.add(typingRequest{channel: name, on: msg.IsTyping})
	}
	if msg.Type == bridgev2.TypingTypeText {
		return a.typeElsewhere(ctx, msg)
	}
	return nil
}

// FindAltTargetMessage implements bridgev2.AltTargetFindingNetworkAPI: a further line of a message leads to the message.
func (a *account) FindAltTargetMessage(ctx context.Context, line networkid.MessageID, _ bridgev2.RemoteEventWithTargetMessage) ([]networkid.MessageID, error) {
	message, err := a.connector.host.LineOf(ctx, line)
	if err != nil || message == "" {
		return nil, err
	}
	return []networkid.MessageID{message}, nil
}
