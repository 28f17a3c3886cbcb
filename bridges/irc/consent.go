package irc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

const (
	// consentFor is how long an operator has to answer.
	consentFor = time.Hour
	// maxAsked is how many operators are asked when none is named.
	maxAsked = 3
	// codeLetters of base 32 are what an answer repeats: 60 bits.
	codeLetters = 12
)

// How requests end.
const (
	outcomeAllowed   = "allowed"
	outcomeRefused   = "refused"
	outcomeNobody    = "nobody" // could be asked, or has answered
	outcomeWithdrawn = "withdrawn"
)

// question is a request whose answer is awaited. What it is about does not change; the code itself is known only to who
// is asked, and to the process until it has been asked.
type question struct {
	bridges.Request
	net     *network
	channel string
	code    string // "" after a restart
}

// newCode returns a code and its hash, which is what is stored.
func newCode() (code, hash string) {
	code = strings.ToLower(rand.Text()[:codeLetters])
	return code, hashCode(code)
}

func hashCode(code string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(code)))
	return hex.EncodeToString(sum[:])
}

// say tells the room of the request something.
func (q *question) say(c *Connector, text string) { c.say(q.Room, text, q.AskedBy) }

// askRequest has the bot ask operators, when it sees who they are.
type askRequest struct{ q *question }

func (r askRequest) apply(c *client) {
	joinRequest{channel: r.q.channel}.apply(c)
	key := c.net.ids.fold.Fold(r.q.channel)
	c.bot.asking[key] = append(c.bot.asking[key], r.q)
	if ms := c.membershipOf(r.q.channel); ms != nil && ms.listed {
		c.askOperators(ms)
	}
}

// askOperators asks what waits for the list of who is in a channel.
func (c *client) askOperators(ms *membership) {
	if !c.isBot() {
		return
	}
	waiting := c.bot.asking[ms.key]
	delete(c.bot.asking, ms.key)
	for _, q := range waiting {
		if c.net.conn.links.questionOf(c.net, q.Code) == nil {
			continue // it was taken back
		}
		whom := c.whomToAsk(ms, q)
		for _, nick := range whom {
			c.tellNick(nick, q.AskedBy.String()+" asks to connect "+ms.name+" with the Matrix room "+q.Room.String()+
				": what is said in one will be shown in the other, and the people of the room enter the channel.")
			c.tellNick(nick, "To allow it: /msg "+c.nick+" yes "+q.code+" - To refuse: /msg "+c.nick+" no "+q.code+
				" - It holds for an hour, once, and only from an operator of "+ms.name+".")
		}
		switch {
		case len(whom) > 0:
			q.say(c.net.conn, "Asked "+strings.Join(whom, ", ")+" on "+c.net.name+" whether this room may be connected with "+ms.name+
				". They have an hour to answer.")
		case q.Whom != "":
			c.net.conn.links.abandon(q, q.Whom+" is no operator of "+ms.name+" on "+c.net.name+", so it is not for them to allow this.")
		default:
			c.net.conn.links.abandon(q, "Nobody on "+ms.name+" is an operator of it at the moment, so nobody can allow this.")
		}
	}
}

// whomToAsk is who is named, or else the operators that are there, but for connections of ours.
func (c *client) whomToAsk(ms *membership, q *question) []string {
	if q.Whom != "" {
		if o, is := c.operatorOf(ms.name, q.Whom); is {
			return []string{o.nick}
		}
		return nil
	}
	var nicks []string
	for o := range ms.names.all() {
		if o.puppet == nil && c.isupport.isOperator(o.rank) && c.net.ids.fold.Fold(o.nick) != c.net.ids.fold.Fold("ChanServ") {
			nicks = append(nicks, o.nick)
		}
	}
	slices.Sort(nicks)
	return nicks[:min(len(nicks), maxAsked)]
}

// heardAnswer is an answer to a question. Only that of somebody counts who is an operator at this moment, as the bot's own
// connection sees the channel: not who has been one, nor who has their nick.
func (c *client) heardAnswer(m message, code string, allowed bool) {
	links, nick := c.net.conn.links, m.Nick()
	q := links.questionOf(c.net, hashCode(code))
	if q == nil {
		c.tellNick(nick, "There is no question with that code: it has been answered, or has expired.")
		return
	}
	o, is := c.operatorOf(q.channel, nick)
	if !is {
		c.tellNick(nick, "I take that only from operators of "+q.channel+", and do not see that you are one.")
		return
	}
	// From here on it cannot be answered again.
	if !links.close(q) {
		return
	}
	who := c.witness(m, o)
	c.net.conn.later(func(ctx context.Context) { links.answered(ctx, q, nick, who, allowed) })
}

// heardRevocation is an operator's word that a channel is not to be connected any more.
func (c *client) heardRevocation(m message, channel string) {
	links, nick := c.net.conn.links, m.Nick()
	link, linked := links.of(c.net.ids.portal(channel).ID)
	o, is := c.operatorOf(channel, nick)
	switch {
	case !is:
		c.tellNick(nick, "I take that only from operators of "+channel+", and do not see that you are one.")
		return
	case !linked:
		c.tellNick(nick, channel+" is not connected with a room of somebody's own.")
		return
	}
	who := c.witness(m, o)
	c.net.conn.later(func(ctx context.Context) {
		if err := links.end(ctx, link, who+", an operator of "+channel+", has ended it"); err != nil {
			c.net.log.Err(err).Str("channel", channel).Msg("end a link")
			_ = c.net.askBot(tellRequest{nick, "It did not work; try again later."})
			return
		}
		_ = c.net.askBot(tellRequest{nick, channel + " is not connected any more."})
	})
}

// answered does what an operator has said.
func (ls *links) answered(ctx context.Context, q *question, nick, who string, allowed bool) {
	tell := func(text string) { _ = q.net.askBot(tellRequest{nick, text}) }
	if !allowed {
		if _, _, err := ls.conn.host.EndRequest(ctx, q.Code, outcomeRefused, nil); err != nil {
			q.net.log.Err(err).Msg("end a request")
		}
		tell("Thank you. They are told that it is not wanted.")
		q.say(ls.conn, nick+", an operator of "+q.channel+" on "+q.net.name+", does not want this room to be connected with it.")
		ls.leaveIdle(q.net, q.channel)
		return
	}
	link := q.link(who)
	ended, linked, err := ls.conn.host.EndRequest(ctx, q.Code, outcomeAllowed, &link)
	switch {
	case err != nil:
		q.net.log.Err(err).Msg("end a request")
		ls.reopen(q)
		tell("It did not work; try again later.")
	case !ended:
		tell("It has been answered already, or has expired.")
	case !linked:
		tell(q.channel + " is connected with another room already.")
		q.say(ls.conn, q.channel+" has been connected with another room meanwhile.")
	default:
		tell("Thank you. To end it, an operator of " + q.channel + " says to me: unplumb " + q.channel)
		ls.put(link)
		ls.ring()
	}
}

// link is what comes of a request when it is allowed.
func (q *question) link(consent string) bridges.Link {
	return bridges.Link{
		Portal: q.Portal, Room: q.Room, State: bridges.LinkMaking, AskedBy: q.AskedBy, Consent: consent,
		SinceTS: time.Now().UnixMilli(),
	}
}

// Bounds of requests.
const (
	requestsFor = 24 * time.Hour
	// maxOpenByUser and maxOpenOfChannel are how many may wait for an answer at once, and maxByUser, maxOfRoom and maxOfChannel how
	// many are made in requestsFor, refused and expired ones too: each bothers people on IRC.
	maxOpenByUser    = 3
	maxOpenOfChannel = 2
	maxByUser        = 10
	maxOfRoom        = 6
	maxOfChannel     = 6
)

// tooMany says why no further request may be made, or "".
func tooMany(list []bridges.Request, portal networkid.PortalID, room id.RoomID, user id.UserID, now time.Time) string {
	var openByUser, openOfChannel, byUser, ofRoom, ofChannel int
	for _, r := range list {
		open := r.Outcome == "" && r.ExpiresTS > now.UnixMilli()
		if open && r.Portal == portal && r.Room == room {
			return "That has been asked already; wait for the answer."
		}
		if r.AskedBy == user {
			byUser++
			openByUser += count(open)
		}
		if r.Portal == portal {
			ofChannel++
			openOfChannel += count(open)
		}
		ofRoom += count(r.Room == room)
	}
	switch {
	case openByUser >= maxOpenByUser || byUser >= maxByUser:
		return "You have asked for too much lately; try again later."
	case openOfChannel >= maxOpenOfChannel || ofChannel >= maxOfChannel:
		return "The operators of that channel have been asked too often lately; try again later."
	case ofRoom >= maxOfRoom:
		return "Too much has been asked for this room lately; try again later."
	}
	return ""
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
