package irc

import (
	"time"

	"maunium.net/go/mautrix/event"
)

// onAwayReply is RPL_AWAY: me, nick, why. The user is told once for each reason.
func (c *client) onAwayReply(m message) {
	ms := c.directOf(m.Params[1])
	c.noteAnswer(m.Params[1], func(a *answerOf) { a.away = plainText(last(m)) })
	if ms == nil {
		return
	}
	why := plainText(last(m))
	if c.has("extended-monitor") && c.isThere(ms) && !c.net.cfg.Away.HideFromMatrix { // or nobody would tell when they are back
		c.net.presences.set(c.net, presence{nick: ms.name, is: event.PresenceUnavailable, words: why})
	}
	if t := ms.direct; !t.told || t.away != why {
		t.told, t.away = true, why
		ms.ch.lane.put(noticeItem{text: m.Params[1] + " is away: " + why, to: c.user})
	}
}

// noSuchNick is ERR_NOSUCHNICK about the partner of a conversation, and reports whether there is one. What was sent fails.
func (c *client) noSuchNick(m message) bool {
	nick := m.Params[1]
	c.noteAnswer(nick, func(a *answerOf) { a.gone = true })
	ms := c.directOf(nick)
	if ms == nil {
		return false
	}
	ms.direct.sure, ms.direct.userHost = time.Time{}, ""
	c.rejectedAs(textVerbs, ms.key, "nobody on "+c.net.name+" is called "+nick+" at the moment")
	return true
}

// textVerbs are the commands that say something to somebody.
var textVerbs = []string{"PRIVMSG", "NOTICE", "TAGMSG", "REDACT"}

// answerOf is what WHOIS says of a nick.
type answerOf struct {
	nick, userHost, account, away string
	gone                          bool
}

// maxWhois bounds the questions who somebody is that wait for an answer.
const maxWhois = 32

// whoisRequest asks who a nick is. answer, which has room for one, hears it, or is closed when there is no connection.
type whoisRequest struct {
	nick   string
	answer chan answerOf
}

func (r whoisRequest) apply(c *client) {
	if c.phase != up || c.goodbye || len(c.asked) >= maxWhois {
		close(r.answer)
		return
	}
	if c.asked == nil {
		c.asked = map[string]*asked{}
	}
	key := c.net.ids.fold.Fold(r.nick)
	a := c.asked[key]
	if a == nil {
		a = &asked{answer: answerOf{nick: r.nick}}
		c.asked[key] = a
		c.command("WHOIS", r.nick)
	}
	a.waiting = append(a.waiting, r.answer)
}

// asked is a WHOIS that is not answered yet.
type asked struct {
	answer  answerOf
	waiting []chan answerOf
}

func (c *client) noteAnswer(nick string, note func(a *answerOf)) {
	if a := c.asked[c.net.ids.fold.Fold(nick)]; a != nil {
		note(&a.answer)
	}
}

// onWhoisUser is RPL_WHOISUSER: me, nick, user, host.
func (c *client) onWhoisUser(m message) {
	c.noteAnswer(m.Params[1], func(a *answerOf) { a.nick, a.userHost = m.Params[1], m.Params[2]+"@"+m.Params[3] })
}

// onWhoisAccount is RPL_WHOISACCOUNT: me, nick, account.
func (c *client) onWhoisAccount(m message) {
	account := accountOf(m.Params[2])
	c.noteAnswer(m.Params[1], func(a *answerOf) { a.account = account })
	ms := c.directOf(m.Params[1])
	if ms != nil && ms.direct.account != "" && ms.direct.account == c.net.ids.fold.Fold(account) {
		ms.direct.sure, ms.direct.doubt = time.Now(), ""
		c.partnerIs(ms)
	}
}

// onEndOfWhois is RPL_ENDOFWHOIS: me, nick.
func (c *client) onEndOfWhois(m message) {
	key := c.net.ids.fold.Fold(m.Params[1])
	a := c.asked[key]
	if a == nil {
		return
	}
	delete(c.asked, key)
	for _, waiting := range a.waiting {
		waiting <- a.answer
	}
}

// unasked gives up all questions, because the connection has ended.
func (c *client) unasked() {
	for _, a := range c.asked {
		for _, waiting := range a.waiting {
			close(waiting)
		}
	}
	c.asked = nil
}
