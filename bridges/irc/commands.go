package irc

import (
	"strings"
	"time"

	"github.com/ergochat/irc-go/ircfmt"
	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
)

type message = ircmsg.Message

// incoming is what a server may say. Handlers run in the client's goroutine; a line with fewer parameters than
// the row says is dropped before.
var incoming = map[string]struct {
	params int
	handle func(c *client, m message)
}{
	"AUTHENTICATE": {1, (*client).onAuthenticate},

	"ACCOUNT": {1, (*client).onAccount},
	"CAP":     {3, (*client).onCap},
	"CHGHOST": {2, (*client).onChghost},
	"PING":    {1, (*client).onPing},
	"PONG":    {1, (*client).onPong},
	"ERROR":   {1, (*client).onError},
	"JOIN":    {1, (*client).onJoin},
	"PART":    {1, (*client).onPart},
	"QUIT":    {0, (*client).onQuit},
	"NICK":    {1, (*client).onNick},
	"KICK":    {2, (*client).onKick},
	"AWAY":    {0, (*client).onAway},
	"INVITE":  {2, (*client).onInvite},
	"RENAME":  {2, (*client).onRename},
	"MODE":    {2, (*client).onMode},
	"TOPIC":   {2, (*client).onTopic},
	"PRIVMSG": {2, (*client).onMessage},
	"NOTICE":  {2, (*client).onMessage},
	"TAGMSG":  {1, (*client).onTagMsg},
	"REDACT":  {2, (*client).onRedact},
	"BATCH":   {1, (*client).onBatch},
	"WALLOPS": {1, (*client).onWallops},
	"FAIL":    {3, (*client).onFail},

	"001": {1, (*client).onWelcome},      // RPL_WELCOME
	"005": {2, (*client).onISupport},     // RPL_ISUPPORT
	"301": {3, (*client).onAwayReply},    // RPL_AWAY
	"311": {4, (*client).onWhoisUser},    // RPL_WHOISUSER
	"318": {2, (*client).onEndOfWhois},   // RPL_ENDOFWHOIS
	"330": {3, (*client).onWhoisAccount}, // RPL_WHOISACCOUNT
	"372": {2, (*client).onMOTD},         // RPL_MOTD
	"315": {2, (*client).onEndOfWho},     // RPL_ENDOFWHO
	"324": {3, (*client).onModeIs},       // RPL_CHANNELMODEIS
	"352": {7, (*client).onWho},          // RPL_WHOREPLY
	"348": {2, (*client).onListEntry},    // RPL_EXCEPTLIST
	"349": {2, (*client).onListEnd},      // RPL_ENDOFEXCEPTLIST
	"367": {2, (*client).onListEntry},    // RPL_BANLIST
	"368": {2, (*client).onListEnd},      // RPL_ENDOFBANLIST
	"728": {3, (*client).onListEntry},    // RPL_QUIETLIST
	"729": {3, (*client).onListEnd},      // RPL_ENDOFQUIETLIST
	"331": {2, (*client).onNoTopic},      // RPL_NOTOPIC
	"332": {3, (*client).onCurrentTopic}, // RPL_TOPIC
	"333": {4, (*client).onTopicWho},     // RPL_TOPICWHOTIME
	"353": {4, (*client).onNames},        // RPL_NAMREPLY
	"354": {5, (*client).onWhoX},         // RPL_WHOSPCRPL
	"366": {2, (*client).onEndOfNames},   // RPL_ENDOFNAMES
	"376": {0, (*client).onReady},        // RPL_ENDOFMOTD
	"396": {2, (*client).onHost},         // RPL_HOSTHIDDEN
	"422": {0, (*client).onReady},        // ERR_NOMOTD

	"730": {2, (*client).onMonitorOnline},  // RPL_MONONLINE
	"731": {2, (*client).onMonitorOffline}, // RPL_MONOFFLINE
	"734": {3, (*client).onMonitorFull},    // ERR_MONLISTFULL

	"900": {3, (*client).onLoggedIn},    // RPL_LOGGEDIN
	"901": {0, (*client).onLoggedOut},   // RPL_LOGGEDOUT
	"902": {0, (*client).onSASLFail},    // ERR_NICKLOCKED
	"903": {0, (*client).onSASLSuccess}, // RPL_SASLSUCCESS
	"904": {0, (*client).onSASLFail},    // ERR_SASLFAIL
	"905": {0, (*client).onSASLFail},    // ERR_SASLTOOLONG
	"906": {0, (*client).onSASLFail},    // ERR_SASLABORTED
	"907": {0, (*client).onSASLAlready}, // ERR_SASLALREADY
	"908": {2, (*client).onSASLMechs},   // RPL_SASLMECHS

	"431": {0, (*client).onBadNick},     // ERR_NONICKNAMEGIVEN
	"432": {0, (*client).onBadNick},     // ERR_ERRONEUSNICKNAME
	"433": {0, (*client).onBadNick},     // ERR_NICKNAMEINUSE
	"436": {0, (*client).onBadNick},     // ERR_NICKCOLLISION
	"437": {2, (*client).onUnavailable}, // ERR_UNAVAILRESOURCE, a nick or a channel

	"463": {0, (*client).onBanned},  // ERR_NOPERMFORHOST
	"464": {0, (*client).onRefused}, // ERR_PASSWDMISMATCH
	"465": {0, (*client).onBanned},  // ERR_YOUREBANNEDCREEP

	"401": {3, (*client).onSendError}, // ERR_NOSUCHNICK
	"404": {3, (*client).onSendError}, // ERR_CANNOTSENDTOCHAN
	"443": {4, (*client).onSendError}, // ERR_USERONCHANNEL
	"460": {2, (*client).onModeError}, // a mode that may not be changed, on some
	"461": {3, (*client).onModeError}, // ERR_NEEDMOREPARAMS
	"467": {3, (*client).onModeError}, // ERR_KEYSET
	"472": {3, (*client).onModeError}, // ERR_UNKNOWNMODE
	"478": {3, (*client).onModeError}, // ERR_BANLISTFULL
	"481": {2, (*client).onModeError}, // ERR_NOPRIVILEGES
	"484": {2, (*client).onModeError}, // ERR_RESTRICTED, or a protected user
	"485": {2, (*client).onModeError}, // ERR_UNIQOPPRIVSNEEDED
	"499": {3, (*client).onModeError}, // only an owner may
	"696": {3, (*client).onModeError}, // ERR_INVALIDMODEPARAM
	"974": {3, (*client).onModeError}, // a mode that may not be changed
	"408": {3, (*client).onSendError}, // no colours on this channel, and others
	"441": {4, (*client).onSendError}, // ERR_USERNOTINCHANNEL
	"442": {3, (*client).onSendError}, // ERR_NOTONCHANNEL
	"482": {3, (*client).onSendError}, // ERR_CHANOPRIVSNEEDED

	"403": {3, (*client).onJoinError}, // ERR_NOSUCHCHANNEL
	"405": {3, (*client).onJoinError}, // ERR_TOOMANYCHANNELS
	"470": {3, (*client).onJoinError}, // forwarded to another channel
	"471": {3, (*client).onJoinError}, // ERR_CHANNELISFULL
	"473": {3, (*client).onJoinError}, // ERR_INVITEONLYCHAN
	"474": {3, (*client).onJoinError}, // ERR_BANNEDFROMCHAN
	"475": {3, (*client).onJoinError}, // ERR_BADCHANNELKEY
	"476": {2, (*client).onJoinError}, // ERR_BADCHANMASK
	"477": {3, (*client).onJoinError}, // a registered nick is needed
	"480": {3, (*client).onJoinError}, // joins are throttled, or TLS only
	"489": {3, (*client).onJoinError}, // TLS only
}

func (c *client) handle(m message) {
	c.pinged = time.Time{} // any line is a sign of life
	c.keeping.begin(m)
	c.nameLine(&m)
	if !c.inHistory(m) && !c.isStray(m) {
		c.dispatch(m)
	}
	c.heard()
	if len(c.urgent)+len(c.queue) > maxOutgoing {
		c.lost(errTalkative)
	}
}

// dispatch handles a line that is no part of a history, or one that is and is handled as if it were said now.
func (c *client) dispatch(m message) {
	if c.collect(m) {
		return
	}
	line, answers := c.answerTo(m)
	if answers && c.answered(m, line) {
		return
	}
	c.watchColours(m)
	if row, ok := incoming[m.Command]; ok && len(m.Params) >= row.params {
		row.handle(c, m)
	} else if !ok {
		c.unheard(m)
	}
	if answers {
		c.carriedOut(m, line)
	}
}

func last(m message) string {
	if len(m.Params) == 0 {
		return ""
	}
	return m.Params[len(m.Params)-1]
}

// onPing answers, unless the server asks and asks and does not read the answers.
func (c *client) onPing(m message) {
	if len(c.urgent) < maxUrgent && !c.keeping.held {
		c.urgent = append(c.urgent, "PONG :"+withoutLineEnds(last(m)))
	}
}

func (c *client) onPong(m message) {
	if last(m) == c.keeping.before {
		c.keeping.before = ""
	}
	c.confirmed(last(m))
	c.played(last(m))
}

func (c *client) onError(m message) { c.refuse(last(m)) }

func (c *client) onBanned(m message) {
	c.refuse(last(m))
	c.banned = true
}

func (c *client) onRefused(m message) { c.refuse(last(m)) }

// onWelcome tells the nick that the server gave us, which need not be the one we asked for.
func (c *client) onWelcome(m message) {
	c.caps.listing, c.caps.closed = false, true // a server that knows no capabilities has said nothing about them
	c.nick = m.Params[0]
	c.showNick(c.nick)
}

// onReady ends the registration. 376 also answers a MOTD that an operator sends later.
func (c *client) onReady(message) {
	c.endMOTD()
	if c.phase != registering {
		return
	}
	now := time.Now()
	c.tracking.Store(c.tracksAccounts())
	c.phase, c.upSince, c.downSince, c.banned, c.lastErr = up, now, time.Time{}, false, ""
	if c.nick != c.wantedNick() {
		c.nextNick = now.Add(regainEvery)
	}
	c.history.Store(c.tellsPast())
	c.log.Info().Str("nick", c.nick).Msg("connected")
	c.confirmNow()
	c.tellState(status.BridgeState{StateEvent: status.StateConnected})
	if c.awayDue.IsZero() {
		c.tellAway()
	}
	if len(c.channels) == 0 {
		c.quitEmpty()
		return
	}
	if !c.afterWelcome() {
		c.joinAll()
	}
}

// onBadNick tries another nick while registering; later it is the answer to regaining, which tries again anyway.
func (c *client) onBadNick(m message) {
	if c.phase != registering {
		return
	}
	wanted := c.fullNick()
	if m.Command == "432" && c.nickLen > shortNick && len(wanted) > shortNick {
		c.nickLen = shortNick
	} else {
		c.nickTries++
	}
	if c.nickTries > maxNickTries {
		c.lost(failure("%s takes none of the nicks for %s (%s)", c.net.name, wanted, last(m)))
		return
	}
	c.nick = nickVariant(wanted, c.nickTries, c.nickLen)
	c.first("NICK", c.nick)
}

func (c *client) onUnavailable(m message) {
	if isChannel(m.Params[1]) {
		c.onJoinError(m)
	} else {
		c.onBadNick(m)
	}
}

func (c *client) onJoinError(m message) {
	key := c.net.ids.fold.Fold(m.Params[1])
	ms, ok := c.channels[key]
	switch {
	case ok && m.Command == "473" && c.begMercy(ms, last(m)):
	case ok && m.Command == "475" && ms.state == joining:
		c.refusedChannel(ms, last(m)+c.net.keyHint(ms.name), false)
	case ok && (ms.state == joining || ms.state == parting):
		c.refusedChannel(ms, last(m), passes(m))
	case ok:
		c.rejected(key, last(m))
	}
}

// passes reports whether a refusal is about the state the server is in, and not about who may enter the channel.
func passes(m message) bool {
	return m.Command == "437" || isThrottled(last(m))
}

// onSendError is about a channel, which is the first or, with a nick before it, the second parameter.
func (c *client) onSendError(m message) {
	for _, p := range m.Params[1 : len(m.Params)-1] {
		if !isChannel(p) {
			continue
		}
		key := c.net.ids.fold.Fold(p)
		if ms := c.channels[key]; m.Command == "442" && ms != nil && ms.state == parting {
			c.leftChannel(ms)
			return
		}
		c.noteRefusal(key, m)
		if m.Command == "404" || !c.rejectedAs(stateVerbs, key, last(m)) {
			c.rejected(key, last(m))
		}
		return
	}
	if m.Command == "401" && c.noSuchNick(m) {
		return
	}
	// 401 names only the nick: of the message that is the first to be answered.
	if len(c.unacked) > 0 {
		c.rejected(c.unacked[0].key, last(m))
	}
}

// stateVerbs are the commands that change the state of a channel.
var stateVerbs = []string{"MODE", "KICK", "INVITE", "TOPIC"}

// onModeError is about a command that changes something of a channel, which it may not name.
func (c *client) onModeError(m message) {
	for _, p := range m.Params[1 : len(m.Params)-1] {
		if isChannel(p) && c.rejectedAs(stateVerbs, c.net.ids.fold.Fold(p), last(m)) {
			return
		}
	}
	c.rejectedAs(stateVerbs, "", last(m))
}

// observe gives a line to the feed of a channel, if we are in it.
func (c *client) observe(ms *membership, s sighting[*client, item]) {
	switch {
	case c.replay != nil:
		c.replay.items = append(c.replay.items, s.item)
	case ms.state == joined || ms.state == parting:
		ms.ch.observe(c, s)
	}
}

// forSome reports whether a target is only those of a channel who have some rank ("@#channel"). RPL_ISUPPORT,
// STATUSMSG. A server that does not announce the signs has none that could begin the name of a channel of ours.
func (c *client) forSome(target string) bool {
	return len(target) > 1 && strings.Contains(c.isupport.statusMsg, target[:1]) && isChannel(target[1:])
}

// onMessage takes what is said to a whole channel of ours; the room has people without rank in it.
func (c *client) onMessage(m message) {
	if c.isMe(m.Nick()) {
		if !c.echo(m) {
			c.onOwnText(m, []string{m.Params[1]})
		}
		return
	}
	if c.isRelayed(m) {
		c.echo(m)
		return
	}
	if c.onCTCP(m) {
		return
	}
	c.onText(m, []string{m.Params[1]})
}

// onText takes a text of one or, where the network takes them together, several lines.
func (c *client) onText(m message, lines []string) {
	nick, target := m.Nick(), m.Params[0]
	if c.isServiceTalk(m) || c.heardByBot(m) || nick == "" || c.isMe(nick) || c.forSome(target) {
		return
	}
	if c.isMe(target) && !c.hears(m, lines) {
		return
	}
	ms, ok := c.conversation(m)
	if !ok || c.occupantOf(ms, nick, m.Source).puppet != nil || !validNick(nick) {
		return
	}
	c.noteTag(ms, m)
	if c.isReactionInWords(m) {
		c.onTagMsg(m)
		return
	}
	msgType, first, ok := readMessage(m.Command, lines[0])
	lines[0] = first
	if !ok || isBlank(lines) {
		return
	}
	it := messageItem{
		id: c.messageID(m), nick: nick, msgType: msgType, lines: lines, replyTo: c.repliedTo(m), at: c.saidAt(m),
		present: c.present(ms),
	}
	for _, line := range lines {
		it.people = c.namesIn(ms, line, it.people)
	}
	c.observe(ms, sight(m, it))
}

// readMessage returns the type and text of a line, with its codes, and false for what people do not see: CTCP requests but
// ACTION.
func readMessage(command, text string) (event.MessageType, string, bool) {
	ctcp, ok := strings.CutPrefix(text, "\x01")
	if !ok {
		return textType(command), text, true
	}
	action, ok := strings.CutPrefix(strings.TrimSuffix(ctcp, "\x01"), "ACTION ")
	return event.MsgEmote, action, ok && command == "PRIVMSG"
}

// plainText takes formatting and other control characters out.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, ircfmt.Strip(text))
}

func (c *client) onTopic(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[0])]
	if !ok {
		return
	}
	ms.topic = nil // what was said of it before is old
	t := topicItem{topic: plainText(m.Params[1]), live: true, present: c.present(ms)}
	if nick := m.Nick(); nick != "" && strings.Contains(m.Source, "!") && !c.isMe(nick) &&
		c.occupantOf(ms, nick, m.Source).puppet == nil {
		t.nick = nick
	}
	c.observe(ms, sight(m, t))
}
