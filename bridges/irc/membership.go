package irc

import (
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

// memberState is how far a client has got with a channel.
type memberState int

const (
	wanted  memberState = iota // to be joined when the connection is up
	joining                    // JOIN is sent
	joined
	refused // the server said no; a message tries again, if its sender may stay
	parting // PART is sent
)

// rejoinAfter is how long a refusal stands before a message tries to join again.
const rejoinAfter = 10 * time.Second

// membership is a client's place in one channel.
type membership struct {
	name       string // as written
	key        string // folded
	ch         *channel
	state      memberState
	again      bool  // join again after parting
	mine       bool  // it is for a room of the user's own
	direct     *talk // of a conversation
	noRelayMsg bool  // the channel takes no RELAYMSG of ours

	pass  string    // the channel's key, if we know one; never shown or logged
	mercy time.Time // until when an invitation may come after a refusal

	refusal   string
	refusedAt time.Time
	waiting   []*send // until it is joined, and may be sent

	// enteredAt is when we joined, by the server's clock. The others are about the history of the channel: questions, the first
	// of which is asked; whether our mask is being noted, or lines of ours looked for; and those lines with since when.
	enteredAt            time.Time
	histories            []*history
	unready, reconciling bool
	own                  []ownLine
	ownSince             time.Time

	// names is who is in the channel as this client sees it, by folded nick. We are in it too, as others see us, so that it is what
	// they have; what counts of us is told elsewhere.
	names *roster
	rank  string // our own
	named bool   // names is complete
	// listed is that the server has told all names.
	listed bool
	topic  *topicItem // what was said of the topic before the names

	flags      []byte // modes of the channel that are set, without lists and ranks
	modesKnown bool   // flags are complete
	// lists are the entries of the channel's lists by mode, as far as we have heard; listing is what has come of an
	// answer that has not ended.
	lists, listing map[byte][]string
	// noColours is that the channel takes none (mode +c).
	noColours bool
	typing    typing
	// askedWho is when the list of accounts was asked for, while the room waits for it.
	askedWho time.Time
}

// occupant is somebody in a channel. Whether it is one of our own connections is decided when it comes and stays
// so through changes of nick, because that is the order in which this client sees things.
type occupant struct {
	nick     string
	puppet   *client
	rank     string // modes of rank, the highest first
	userHost string // user@host, if known
	account  string // what they are logged in to, if known
}

// joinRequest wants a channel.
type joinRequest struct {
	channel string
	key     string // of the channel, if it has one that the user knows
	mine    bool   // for a room of the user's own
	direct  bool   // a conversation, and nick whom it is with as far as we know
	nick    string
	// fresh tells that a person has just entered the room, and is not only found in it after a start.
	fresh bool
}

func (r joinRequest) apply(c *client) {
	key := c.net.ids.fold.Fold(r.channel)
	m, ok := c.channels[key]
	switch {
	case c.goodbye:
		return
	case !ok:
		m = c.newMembership(r, key)
		c.channels[key] = m
	case m.mine != r.mine:
		c.elsewhere(r, m)
		return
	case m.state == parting:
		m.again = true
		return
	case m.state == refused:
		m.state = wanted
	}
	if r.key != "" {
		m.pass = r.key
	}
	if c.phase == up {
		c.join(m)
	}
	if r.fresh {
		c.resting, c.place.wanted = false, true
	}
	c.connect(time.Now())
}

// join sends JOIN if that is to be done.
func (c *client) join(m *membership) {
	if m.direct != nil {
		c.openDirect(m)
		return
	}
	if m.state == wanted && c.mayJoin() {
		c.hushAway() // before they see it
		m.state, m.mercy = joining, time.Time{}
		if m.pass != "" {
			c.command("JOIN", m.name, m.pass)
			return
		}
		c.command("JOIN", m.name)
	}
}

// partRequest wants a channel no more.
type partRequest struct {
	channel, reason string
	mine            bool // the channel is that of a room of the user's own
}

func (r partRequest) apply(c *client) {
	m, ok := c.channels[c.net.ids.fold.Fold(r.channel)]
	if !ok || c.goodbye || m.mine != r.mine {
		return
	}
	for _, s := range m.waiting {
		s.done(failure("you have left the channel"))
	}
	m.waiting, m.again = nil, false
	switch m.state {
	case joined, joining:
		if m.direct != nil {
			m.ch.part(c)
			c.forget(m)
			return
		}
		m.state = parting
		c.command("PART", m.name, oneLine(r.reason))
	case wanted, refused:
		c.forget(m)
	}
}

// logoutRequest wants none of the channels any more, and forgets the login.
type logoutRequest struct{}

func (logoutRequest) apply(c *client) {
	c.identity, c.login.account = identity{}, ""
	for _, m := range c.channels {
		partRequest{channel: m.name, reason: "logged out", mine: m.mine}.apply(c)
	}
}

// forget drops a channel, and the connection with the last one.
func (c *client) forget(m *membership) {
	delete(c.channels, m.key)
	if m.direct != nil {
		c.unwatch(m.direct.watched)
	}
	if len(c.channels) > 0 {
		return
	}
	switch c.phase {
	case pausing:
		c.phase = offline
	case registering, up:
		c.quitEmpty()
	}
}

// quitEmpty ends a connection that no channel needs, without counting that as a failure.
func (c *client) quitEmpty() {
	c.leaving = true
	c.command("QUIT", "left all rooms")
}

// resyncRequest asks a client that has begun to lead for its view of who is in a channel.
type resyncRequest struct{ channel string }

func (r resyncRequest) apply(c *client) {
	if m, ok := c.channels[c.net.ids.fold.Fold(r.channel)]; ok && m.state == joined && m.ch.leads(c) {
		c.putList(m)
		c.inspect(m)
	}
}

// list is everybody in the channel who is not one of us.
func (m *membership) list(c *client) namesItem {
	list := namesItem{stands: m.stands(c)}
	for o := range m.names.all() {
		if o.puppet == nil {
			list.nicks = append(list.nicks, o.nick)
			if o.account != "" && c.tracksAccounts() {
				list.account(o.nick, o.account)
			}
		}
	}
	return list
}

// enteredChannel is our own JOIN.
func (c *client) enteredChannel(m *membership) {
	m.state = joined
	m.begin()
	if m.ch.enter(c, c.tellsPast() && m.direct == nil) {
		c.catchUp(m)
	}
	c.sendWaiting(m)
}

// begin makes the view of a channel empty, before the server tells who is there and how it is set.
func (m *membership) begin() {
	m.names, m.rank, m.flags, m.modesKnown = newRoster(), "", nil, false
	m.lists, m.listing = nil, nil
	m.named, m.listed, m.topic = false, false, nil
	m.noColours, m.typing, m.askedWho = false, typing{}, time.Time{}
}

// leftChannel is our own PART, or the end of what was joined by somebody else's hand.
func (c *client) leftChannel(m *membership) {
	m.ch.part(c)
	m.ch.put(modesItem{stands: []stand{{user: c.user, gone: true}}})
	m.names, m.rank = nil, ""
	if m.again {
		m.again, m.state = false, wanted
		c.join(m)
		return
	}
	c.forget(m)
}

// refusedChannel is the server's no to JOIN. Who may not read the channel on IRC does not read it on Matrix either: they
// are removed from the room, whose event then takes the membership away; a refusal that will pass lets them stay.
func (c *client) refusedChannel(m *membership, text string, passes bool) {
	if m.state == parting {
		c.leftChannel(m)
		return
	}
	now := time.Now()
	m.state, m.refusal, m.refusedAt = refused, text, now
	err := failure("you could not join %s on %s: %s", m.name, c.net.name, text)
	if c.isBot() {
		c.botRefused(m, text)
		passes = true
	} else if len(m.waiting) == 0 {
		m.ch.lane.put(noticeItem{text: "You could not join " + m.name + " on " + c.net.name + ": " + text, to: c.user})
	}
	for _, s := range m.waiting {
		s.done(err)
	}
	m.waiting = nil
	if !passes {
		m.ch.lane.put(kickItem{user: c.user, reason: err.Error()})
	}
}

// occupantOf looks up who a nick in a channel is.
func (c *client) occupantOf(m *membership, nick string, source string) occupant {
	if c.replay != nil {
		return occupant{nick: nick} // lines of ours are recognised before
	}
	if o, ok := m.names.get(c.net.ids.fold.Fold(nick)); ok {
		return o
	}
	return occupant{nick: nick, puppet: c.puppetOn(m, nick, source)}
}

// sight is what a line looks like to the feed: its key is its identity, or, where the network gives none, its full content.
func sight(m ircmsg.Message, it item) sighting[*client, item] {
	if id := msgID(m); id != "" && !isMade(id) && (m.Command == "PRIVMSG" || m.Command == "NOTICE") {
		return sighting[*client, item]{key: "\x00" + id, item: it}
	}
	key := m.Command + "\x00" + m.Source
	for _, p := range m.Params {
		key += "\x00" + p
	}
	return sighting[*client, item]{key: key, item: it}
}

// cameOrWent makes a sighting of somebody's coming (or going). For one of us it is a mark, and who comes has no rank: that
// is said in the stream, because what the channel gives them comes there too.
func cameOrWent(m ircmsg.Message, o occupant, came bool, it item) sighting[*client, item] {
	s := sight(m, it)
	if o.puppet != nil {
		if came {
			s.anchors, s.shown = &o.puppet, true
			s.item = modesItem{stands: []stand{o.stand()}}
		} else {
			s.loosens = &o.puppet
		}
	}
	return s
}
