package irc

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// maxQuote is how many characters of a message are quoted in a reply.
	maxQuote = 40
	// pasteTimeout bounds the upload of a long text.
	pasteTimeout = 20 * time.Second
	// lookup bounds what is asked of the homeserver about a message: who it mentions, what it answers.
	lookup = 10 * time.Second
)

// replyTo is how the first line of a reply begins.
type replyTo struct {
	tagged string // where the line also refers to what it answers
	plain  string // where it does not
}

// compose makes the lines of a message's content.
func (a *account) compose(ctx context.Context, portal *bridgev2.Portal, content *event.MessageEventContent, answered *database.Message) *send {
	s := &send{verb: "PRIVMSG", action: content.MsgType == event.MsgEmote}
	if content.MsgType == event.MsgNotice {
		s.verb = "NOTICE"
	}
	lines := tidy(a.lines(ctx, portal, content))
	if link := a.paste(ctx, portal, content, lines); link != "" {
		lines = link.after(lines)
	}
	for _, line := range lines {
		s.lines = append(s.lines, writeCodes(line, a.net.cfg.Content.Colours))
	}
	a.answer(ctx, s, answered)
	return s
}

// lines are the lines of a message.
func (a *account) lines(ctx context.Context, portal *bridgev2.Portal, content *event.MessageEventContent) [][]span {
	names := namer{
		user: func(user id.UserID) string { return a.nickOfUser(ctx, user) },
		room: func(alias id.RoomAlias) string {
			if n, channel, err := a.connector.parseAlias(alias); err == nil && n == a.net {
				return channel
			}
			return ""
		},
	}
	what, isMedia := mediaWords[content.MsgType]
	switch {
	case isMedia:
		lines := [][]span{plainSpan(oneLine(fmt.Sprintf("sent %s: %s %s", what, content.GetFileName(), a.address(ctx, content))))}
		if content.GetCaption() == "" {
			return lines
		}
		return append(lines, a.textOf(ctx, portal, content, names)...)
	case content.MsgType == event.MsgLocation:
		return plainLines(content.Body + " " + content.GeoURI)
	}
	return a.textOf(ctx, portal, content, names)
}

// textOf is the text of a message, with its looks if it has any.
func (a *account) textOf(ctx context.Context, portal *bridgev2.Portal, content *event.MessageEventContent, names namer) [][]span {
	if content.Format == event.FormatHTML && content.FormattedBody != "" {
		return readHTML(content.FormattedBody, names)
	}
	nicks := map[string]string{}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	for _, user := range mentioned(content) {
		nick := names.user(user)
		if nick == "" {
			continue
		}
		nicks[string(user)] = nick
		member, err := a.connector.br.Matrix.GetMemberInfo(ctx, portal.MXID, user)
		if err == nil && member != nil && member.Displayname != "" {
			nicks[member.Displayname] = nick
		}
	}
	return plainLines(replaceNames(content.Body, nicks))
}

// nickOfUser is what a Matrix user is called on this network, or "". Somebody of another network, who may be in the same room, is called
// as there.
func (a *account) nickOfUser(ctx context.Context, user id.UserID) string {
	ghost, ok := a.connector.br.Matrix.ParseGhostMXID(user)
	if !ok {
		return a.net.nickOf(user)
	}
	_, nick, _ := splitID(string(ghost))
	if known := a.connector.calledBy(ctx, ghost); known != "" {
		return known
	}
	return strings.TrimPrefix(nick, accountPrefix)
}

// plainLines are the lines of a plain text, the empty ones too.
func plainLines(text string) [][]span {
	var lines [][]span
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		for part := range strings.SplitSeq(line, "\r") {
			lines = append(lines, plainSpan(part))
		}
	}
	return lines
}

func plainSpan(text string) []span { return appendSpan(nil, cleanText(text), style{}) }

// tidy leaves out empty lines at the beginning and the end, and all but one between others.
func tidy(lines [][]span) [][]span {
	var kept [][]span
	for _, line := range lines {
		if strings.TrimSpace(textOf(line)) == "" {
			if len(kept) > 0 && len(kept[len(kept)-1]) > 0 {
				kept = append(kept, nil)
			}
			continue
		}
		kept = append(kept, line)
	}
	if n := len(kept); n > 0 && len(kept[n-1]) == 0 {
		kept = kept[:n-1]
	}
	return kept
}

// answer makes a message a reply.
func (a *account) answer(ctx context.Context, s *send, answered *database.Message) {
	if answered == nil {
		return
	}
	s.reply = a.net.msgIDOf(answered.ID)
	nick := a.repliedNick(ctx, answered)
	if nick == "" || len(s.lines) == 0 || s.action || a.net.cfg.Content.Replies == wayNone || strings.HasPrefix(stripCodes(s.lines[0]), nick) {
		return
	}
	s.prefix = replyTo{tagged: nick + ": ", plain: nick + ": "}
	was, known := a.remember(ctx, answered)
	if known && len(was.lines) > 0 && a.net.cfg.Content.Replies == replyQuote {
		s.prefix.plain = "<" + nick + "> \"" + quoted(was.lines) + "\": "
	}
}

// remember is the text of a message, from memory or from the homeserver, where it is as it was before any edit.
func (a *account) remember(ctx context.Context, message *database.Message) (said, bool) {
	if was, ok := a.net.recent.get(message.ID); ok {
		return was, true
	}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	portal, err := a.connector.existing(ctx, message.Room)
	if err != nil || portal == nil {
		return said{}, false
	}
	content, err := a.connector.host.Message(ctx, portal.MXID, message.MXID)
	if err != nil || content == nil {
		return said{}, false
	}
	content.RemoveReplyFallback()
	var lines []string
	for _, line := range tidy(a.lines(ctx, portal, content)) {
		lines = append(lines, textOf(line))
	}
	was := said{nick: a.repliedNick(ctx, message), lines: lines}
	a.net.recent.put(message.ID, was)
	return was, true
}

// quoted is the beginning of a text.
func quoted(lines []string) string {
	text := strings.TrimSpace(lines[0])
	more := len(lines) > 1
	if utf8.RuneCountInString(text) > maxQuote {
		text, more = strings.TrimSpace(string([]rune(text)[:maxQuote])), true
	}
	if more {
		text += "…"
	}
	return text
}

// withPrefix are the lines of a message, the first with the beginning of a reply.
func (c *client) withPrefix(s *send) []string {
	prefix := s.prefix.plain
	if len(c.replyTags(s)) > 0 {
		prefix = s.prefix.tagged
	}
	if prefix == "" || len(s.lines) == 0 {
		return s.lines
	}
	return append([]string{prefix + s.lines[0]}, s.lines[1:]...)
}

// address is where a file is: for outsiders if there is such an address.
func (a *account) address(ctx context.Context, content *event.MessageEventContent) string {
	if public, ok := a.connector.br.Matrix.(bridgev2.MatrixConnectorWithPublicMedia); ok {
		if url, err := public.GetPublicMediaAddressForEvent(ctx, content); err == nil && url != "" {
			return url
		}
	}
	if content.File != nil {
		return string(content.File.URL)
	}
	return string(content.URL)
}

// addressOfText is where outsiders find a text that was uploaded. Of no text it tells only whether there are such addresses, by one
// that leads nowhere.
func (c *Connector) addressOfText(public bridgev2.MatrixConnectorWithPublicMedia, uri id.ContentURIString) string {
	if uri == "" {
		return public.GetPublicMediaAddress("mxc://example.org/probe")
	}
	address, err := public.GetPublicMediaAddressForEvent(c.ctx, &event.MessageEventContent{
		URL: uri, FileName: pasteName, Info: &event.FileInfo{MimeType: "text/plain"},
	})
	if err != nil {
		c.br.Log.Err(err).Msg("make an address for a long text")
	}
	return address
}

// pasteName is what the file of a long text is called.
const pasteName = "message.txt"

// pasted is the address of a long text.
type pasted string

// after is what is sent in place of a long text: how it begins, and where it is.
func (p pasted) after(lines [][]span) [][]span {
	first := plainSpan(quoted([]string{textOf(lines[0]), ""}))
	return [][]span{append(first, span{text: fmt.Sprintf(" (%d lines: %s)", len(lines), string(p))})}
}

// paste uploads a text that is too long for IRC and returns its address for outsiders, or "" if it is not too long or
// there is no such address.
func (a *account) paste(ctx context.Context, portal *bridgev2.Portal, content *event.MessageEventContent, lines [][]span) pasted {
	limit := a.net.cfg.Content.LongLines
	if code := a.net.cfg.Content.LongCode; code > 0 && strings.Contains(content.FormattedBody, "<pre") && (limit == 0 || code < limit) {
		limit = code
	}
	if limit == 0 || len(lines) < max(limit, 2) || a.connector.publicAddress("") == "" {
		return ""
	}
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(textOf(line) + "\n")
	}
	ctx, cancel := context.WithTimeout(ctx, pasteTimeout)
	defer cancel()
	// Not as for the room, which might be encrypted: outsiders are to read it.
	uri, _, err := a.connector.br.Bot.UploadMedia(ctx, "", []byte(text.String()), pasteName, "text/plain; charset=utf-8")
	if err != nil {
		a.login.Log.Err(err).Stringer("room_id", portal.MXID).Msg("upload a long text, and send its lines")
		return ""
	}
	return pasted(a.connector.publicAddress(uri))
}

// repliedNick is the nick of who said a message, or empty.
func (a *account) repliedNick(ctx context.Context, message *database.Message) string {
	if message.SenderID == "" {
		return a.calledOf(ctx, message)
	}
	return a.connector.calledBy(ctx, message.SenderID)
}

// record enters a message that is on IRC now into bridgev2's table, where replies and edits look for it: under the
// identity of its first line, if the network gave it one, and those of the others beside it. The
// empty sender stands for ourselves; the table wants a ghost for it.
func (a *account) record(ctx context.Context, msg *bridgev2.MatrixMessage, s *send) {
	key := networkid.MessageID("matrix:" + msg.Event.ID)
	var further []networkid.MessageID
	for i, msgid := range s.msgIDs() {
		if i == 0 {
			key = idIn(msg.Portal.PortalKey, a.net.idOf(msgid))
		} else {
			further = append(further, idIn(msg.Portal.PortalKey, a.net.idOf(msgid)))
		}
	}
	a.net.recent.put(key, said{nick: a.net.nickOf(a.login.UserMXID), lines: plainOf(s.lines)})
	_, err := a.connector.br.GetGhostByID(ctx, "")
	if err == nil {
		err = a.connector.br.DB.Message.Insert(ctx, &database.Message{
			ID: key, MXID: msg.Event.ID, Room: msg.Portal.PortalKey,
			SenderMXID: msg.Event.Sender, Timestamp: time.UnixMilli(msg.Event.Timestamp),
		})
	}
	if err == nil {
		err = a.connector.host.AddLines(ctx, key, further)
	}
	if err != nil {
		a.login.Log.Err(err).Stringer("event_id", msg.Event.ID).Msg("record a message")
	}
}

// plainOf are lines without their codes.
func plainOf(lines []string) []string {
	plain := make([]string, len(lines))
	for i, line := range lines {
		plain[i] = stripCodes(line)
	}
	return plain
}
