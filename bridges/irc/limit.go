package irc

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// giveWayAfter is how long somebody must have said nothing before their connection is closed for somebody else's, so that nobody is
	// sent away in the middle of a talk.
	giveWayAfter = 5 * time.Minute
	// placeRetry is how often who waits for a connection asks again whether somebody can go.
	placeRetry = time.Minute
)

// places are the connections that a network allows (ConnectConfig.Max). Who holds one has a connection or makes one; the others wait in
// their order, those who want something before those who are only there. The bridge's own connection has a place always, and counts.
type places struct {
	most int // 0 for any number

	mu      sync.Mutex // guards what follows
	held    map[*client]bool
	waiting []waiter
}

// waiter is who waits for a place. wants tells that they have something to say, or have entered a room.
type waiter struct {
	client *client
	wants  bool
}

// position is where a client waits, -1 if it does not. The caller holds mu.
func (p *places) position(c *client) int {
	return slices.IndexFunc(p.waiting, func(w waiter) bool { return w.client == c })
}

// await lets a client wait, and returns its position. Who wants something meanwhile goes ahead. The caller holds mu.
func (p *places) await(c *client, wants bool) int {
	at := p.position(c)
	if at >= 0 && (p.waiting[at].wants || !wants) {
		return at
	}
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	at = len(p.waiting)
	if first := slices.IndexFunc(p.waiting, func(w waiter) bool { return !w.wants }); wants && first >= 0 {
		at = first
	}
	p.waiting = slices.Insert(p.waiting, at, waiter{c, wants})
	return at
}

// take gives a client a place if there is one for it, and lets it wait if not.
func (p *places) take(c *client, wants bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.await(c, wants)
	if at >= p.most-len(p.held) && !c.isBot() {
		return false
	}
	p.waiting = slices.Delete(p.waiting, at, at+1)
	p.hold(c)
	return true
}

// hold notes that a client has a place. The caller holds mu.
func (p *places) hold(c *client) {
	if p.held == nil {
		p.held = map[*client]bool{}
	}
	p.held[c] = true
}

// keep gives a place to who has a connection already, from the process before.
func (p *places) keep(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold(c)
}

// leave ends that a client has or wants a place, and lets those try for whom there is one now.
func (p *places) leave(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, c)
	if at := p.position(c); at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	for _, w := range p.waiting[:min(len(p.waiting), max(p.most-len(p.held), 0))] {
		w.client.box.add(placeRequest{})
	}
}

// silent are the clients with a place who have said nothing for giveWayAfter, the longest silent first.
func (p *places) silent(now time.Time) []*client {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := map[*client]int64{}
	var list []*client
	for c := range p.held {
		if since[c] = c.silentSince.Load(); since[c] > 0 && now.UnixMilli()-since[c] >= giveWayAfter.Milliseconds() && !c.isBot() {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *client) int { return cmp.Or(cmp.Compare(since[a], since[b]), cmp.Compare(a.user, b.user)) })
	return list
}

// placeRequest tells who waits that there may be a place.
type placeRequest struct{}

func (placeRequest) apply(c *client) {
	if c.phase == pausing && c.place.waits {
		c.nextDial = time.Now()
	}
}

// standing is how a client stands with the places of its network.
type standing struct {
	held, waits bool
	// wanted is that the user has entered a room or said something since they were connected last, and told that they have heard
	// why nothing comes of it.
	wanted, told bool
}

// dialInTurn connects, if the network allows one more, or waits. For who wants to do something, who has said nothing for longest is
// asked to go; those who are only there, after a start, wait until there is a place anyway.
func (c *client) dialInTurn(now time.Time) {
	p, wants := &c.net.places, c.place.wanted || c.waitingLines() > 0
	if p.most == 0 || p.take(c, wants) {
		c.place.held, c.place.waits, c.place.told = p.most > 0, false, false
		c.dial()
		return
	}
	c.place.waits = true
	c.nextDial = now.Add(placeRetry)
	c.lastErr = fmt.Sprintf("all %d connections that there may be are taken; yours comes when somebody goes", p.most)
	if !wants {
		return
	}
	giveWayRequest{rest: p.silent(now)}.pass()
	if !c.place.told {
		c.place.told = true
		c.net.tell(c.user, "You are not connected to "+c.net.name+" yet: "+c.lastErr+".")
	}
}

// settlePlace gives a place back that is not used any more.
func (c *client) settlePlace() {
	p := &c.net.places
	if p.most == 0 {
		return
	}
	busy := c.sess != nil || c.phase == dialling
	switch {
	case busy && !c.place.held:
		c.place.held, c.place.waits = true, false
		p.keep(c)
	case !busy && c.place.held, c.place.waits && c.phase != pausing:
		c.place.held, c.place.waits = false, false
		p.leave(c)
	}
	since := int64(0)
	if c.phase == up {
		since, c.place.wanted = c.idleSince().UnixMilli(), false
	}
	c.silentSince.Store(since)
}

// giveWayRequest asks somebody to go for somebody else, and who cannot passes it on to the next.
type giveWayRequest struct{ rest []*client }

func (r giveWayRequest) pass() {
	if len(r.rest) > 0 {
		r.rest[0].box.add(giveWayRequest{rest: r.rest[1:]})
	}
}

func (r giveWayRequest) apply(c *client) {
	if !c.givesWay(time.Now()) {
		r.pass()
		return
	}
	c.resting, c.leaving = true, true
	c.urgent = append(c.urgent, "QUIT :makes room for others; comes back to speak")
}

// givesWay reports whether a client can go: its user says nothing, nothing is on its way, and others listen to its channels.
func (c *client) givesWay(now time.Time) bool {
	return c.phase == up && !c.goodbye && !c.leaving && !c.isBot() && len(c.unacked)+len(c.queue) == 0 &&
		now.Sub(c.idleSince()) >= giveWayAfter && c.net.mayRest(c, false)
}
