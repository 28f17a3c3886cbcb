package irc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

// AwayConfig says who hears when somebody is away.
type AwayConfig struct {
	// HideFromIRC tells nobody on IRC that a person on Matrix is away.
	HideFromIRC bool `yaml:"hide_from_irc,omitempty"`
	// HideFromMatrix tells nobody on Matrix that a person on IRC is away.
	HideFromMatrix bool `yaml:"hide_from_matrix,omitempty"`
	// Delay is how long a person on Matrix must be away before IRC hears of it. Default 5m.
	Delay time.Duration `yaml:"delay,omitempty"`
}

func (a AwayConfig) validate(field string) error {
	if a.Delay < 0 {
		return fmt.Errorf("%s.delay: must not be negative", field)
	}
	return nil
}

const (
	// defaultAwayDelay is AwayConfig.Delay by default: clients come and go with every look at a telephone.
	defaultAwayDelay = 5 * time.Minute
	// defaultAwayWords is what IRC reads of who says nothing about it. AWAY without words means to be back.
	defaultAwayWords = "away"
	// maxAwayBytes bounds the words where the server does not.
	maxAwayBytes = 200
)

var _ bridges.PresenceWatcher = (*Connector)(nil)

// HandlePresence implements bridges.PresenceWatcher.
func (c *Connector) HandlePresence(_ context.Context, user id.UserID, presence *event.PresenceEventContent) {
	request := presenceRequest{away: presence.Presence != event.PresenceOnline, words: oneLine(presence.StatusMessage)}
	for _, n := range c.networks {
		if client := n.running(user); client != nil && !n.cfg.Away.HideFromIRC {
			client.box.add(request)
		}
	}
}

// presenceRequest says whether the user is there.
type presenceRequest struct {
	away  bool
	words string
}

func (r presenceRequest) apply(c *client) {
	if r.away && r.words == "" {
		r.words = defaultAwayWords
	}
	switch {
	case !r.away:
		c.awayWords, c.awayDue = "", time.Time{}
		c.tellAway()
	case c.awayWords == "":
		c.awayWords, c.awayDue = r.words, time.Now().Add(c.net.cfg.Away.Delay)
	case c.awayWords != r.words:
		if c.awayWords = r.words; c.awayDue.IsZero() {
			c.awayDue = time.Now().Add(c.net.cfg.Away.Delay)
		}
	}
}

// awayTick tells IRC when somebody has been away for long enough.
func (c *client) awayTick(now time.Time) {
	if !c.awayDue.IsZero() && !now.Before(c.awayDue) {
		c.awayDue = time.Time{}
		c.tellAway()
	}
	c.hushAway()
}

// hushAway takes back what IRC was told of why the user is away, when they come to a strict channel or one of theirs becomes strict.
func (c *client) hushAway() {
	if c.awayTold != "" && c.awayTold != defaultAwayWords && c.isStrictly() {
		c.tellAway()
	}
}

// tellAway says to the server what it does not know yet. A new connection begins as there.
func (c *client) tellAway() {
	words := c.awayWords
	if words != "" && c.isStrictly() {
		words = defaultAwayWords // who is on a strict channel hears none of theirs
	}
	if c.phase != up || c.goodbye || c.awayTold == words {
		return
	}
	c.awayTold = words
	if words == "" {
		c.command("AWAY")
		return
	}
	limit := maxAwayBytes
	if c.isupport.awayLen > 0 {
		limit = min(limit, c.isupport.awayLen)
	}
	c.queue = append(c.queue, entry{line: "AWAY :" + c.charset().cut(words, limit)})
}

// onAway is somebody on a channel of ours who goes away or comes back. IRCv3, "away-notify".
func (c *client) onAway(m message) {
	nick := m.Nick()
	if c.isMe(nick) || !validNick(nick) || c.net.cfg.Away.HideFromMatrix || c.net.puppet(nick, m.Source) != nil {
		return
	}
	state := presence{nick: nick, is: event.PresenceOnline}
	if len(m.Params) > 0 && m.Params[0] != "" {
		state.is, state.words = event.PresenceUnavailable, plainText(m.Params[0])
	}
	c.net.presences.set(c.net, state)
}

const (
	// presencePause is how long a change must hold before Matrix hears of it, and presenceEvery the least time between
	// two, of whomever: after a netjoin they are many.
	presencePause = 5 * time.Second
	presenceEvery = 100 * time.Millisecond
	// maxPresences bounds the people who are remembered.
	maxPresences = 20000
)

// presence is whether somebody on IRC is there.
type presence struct {
	nick  string
	is    event.Presence
	words string
	// ghost is set when somebody goes away. It stays the one that comes back or is gone: then the channels may have
	// forgotten whose the nick was.
	ghost networkid.UserID
	// partner is somebody of whom a server tells when they come and go, so that it is shown that they are there, too. Their ghost is
	// known.
	partner bool
}

// presences passes the presence of people on IRC on. Each of our connections sees the same, and the first one counts.
// Its goroutine begins with the first of them.
type presences struct {
	mu    sync.Mutex // guards what follows
	shown map[string]presence
	since map[string]time.Time // when it was last said of a partner
	due   map[string]presenceDue
	bell  chan struct{}
	done  chan struct{}
}

type presenceDue struct {
	presence
	at time.Time
}

// set takes a presence.
func (p *presences) set(n *network, state presence) {
	key := n.ids.fold.Fold(state.nick)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown == nil && state.is != event.PresenceUnavailable && !state.partner {
		return
	}
	if p.shown == nil {
		p.shown, p.since, p.due = map[string]presence{}, map[string]time.Time{}, map[string]presenceDue{}
		p.bell, p.done = make(chan struct{}, 1), make(chan struct{})
		go p.run(n)
	}
	before, known := p.shown[key]
	if known && before.partner && !state.partner {
		state.partner, state.ghost = true, before.ghost
	}
	if !state.partner {
		if state.ghost = before.ghost; !known && state.is == event.PresenceUnavailable {
			state.ghost = n.ghostOf(state.nick)
		}
	}
	if waiting, ok := p.due[key]; ok && waiting.presence == state {
		return // another connection has said so
	}
	if known && before == state || !known && !state.partner && state.is != event.PresenceUnavailable || len(p.due) >= maxPresences {
		delete(p.due, key)
		return
	}
	p.due[key] = presenceDue{state, time.Now().Add(presencePause)}
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// quit is set for somebody who is gone.
func (p *presences) quit(n *network, nick string) {
	p.set(n, presence{nick: nick, is: event.PresenceOffline})
}

// again says once more that a partner is there, if that was not done a moment ago for another connection.
func (p *presences) again(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state, known := p.shown[key]
	if _, waits := p.due[key]; !known || waits || !state.partner || time.Since(p.since[key]) < presenceAgain/2 {
		return
	}
	p.due[key] = presenceDue{state, time.Now()}
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// wait waits for the goroutine to end after the network's context has.
func (p *presences) wait() {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	if done != nil {
		<-done
	}
}

// next takes what is due, or returns when that will be.
func (p *presences) next(now time.Time) (key string, state presence, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at = now.Add(time.Hour)
	for k, d := range p.due {
		if d.at.Before(at) {
			key, state, at = k, d.presence, d.at
		}
	}
	if at.After(now) {
		return "", presence{}, at
	}
	delete(p.due, key)
	delete(p.since, key)
	switch {
	case state.is == event.PresenceOffline, state.is == event.PresenceOnline && !state.partner, len(p.shown) >= maxPresences:
		delete(p.shown, key)
	case state.partner:
		p.since[key] = now
		fallthrough
	default:
		p.shown[key] = state
	}
	return key, state, now.Add(presenceEvery)
}

func (p *presences) run(n *network) {
	defer close(p.done)
	ctx := n.log.WithContext(n.conn.ctx)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		key, state, at := p.next(time.Now())
		if key != "" {
			n.showPresence(ctx, state)
		}
		timer.Reset(time.Until(at))
		if key != "" {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case <-timer.C:
		case <-p.bell:
		case <-ctx.Done():
			return
		}
	}
}

// showPresence sets the presence of a ghost, if there is one. What fails is not tried again: the next change is.
func (n *network) showPresence(ctx context.Context, state presence) {
	ghost, err := n.conn.br.GetExistingGhostByID(ctx, state.ghost)
	if err == nil && ghost != nil && state.words != "" {
		var strict bool
		if strict, err = n.isInStrict(ctx, ghost.ID); strict {
			state.words = ""
		}
	}
	if err == nil && ghost != nil {
		err = n.conn.host.SetPresence(ctx, ghost.ID, state.is, state.words)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Warn().Err(err).Msg("show who is away")
	}
}
