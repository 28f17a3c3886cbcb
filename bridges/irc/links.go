package irc

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

const (
	// linkRetry is the pause after which what failed about a link is tried again.
	linkRetry = 10 * time.Second
	// ghostPause is the time between two ghosts that leave a room which is bridged to other channels still.
	ghostPause = 200 * time.Millisecond
)

// links are the rooms that people have connected with channels (plumbed), and who is asked for that. A room's first channel is
// bridgev2's portal of it. Of a further one the portal has no room: its lane delivers to the portal of the first
// (Connector.portalOf), and what is said in the room is carried to it by further.go.
//
// The rows are in the database. What is to be done about them is done by one goroutine (run), again after a restart.
type links struct {
	conn    *Connector
	wake    chan struct{} // of size 1
	done    chan struct{} // closed when run has ended
	started bool

	asking sync.Mutex // held while it is decided whether a request may be made

	mu       sync.Mutex // guards what follows
	byPortal map[networkid.PortalID]bridges.Link
	// further are the channels of rooms whose portal is another's.
	further map[id.RoomID][]networkid.PortalID
	open    map[string]*question // by the hash of their codes
}

func newLinks(c *Connector) *links {
	return &links{
		conn: c, wake: make(chan struct{}, 1), done: make(chan struct{}), byPortal: map[networkid.PortalID]bridges.Link{},
		further: map[id.RoomID][]networkid.PortalID{}, open: map[string]*question{},
	}
}

// start reads what is stored, has the bot enter the channels in which it is needed, and begins.
func (ls *links) start(ctx, running context.Context) error {
	list, err := ls.conn.host.Links(ctx)
	if err != nil {
		return err
	}
	for _, link := range list {
		ls.put(link)
		if link.State == bridges.LinkStanding {
			if err := ls.place(ctx, link); err != nil {
				return err
			}
		}
	}
	requests, err := ls.conn.host.Requests(ctx, time.Now().Add(-requestsFor).UnixMilli())
	if err != nil {
		return err
	}
	for _, r := range requests {
		n, channel := ls.conn.channelOf(ctx, r.Portal)
		if r.Outcome != "" || n == nil {
			continue
		}
		ls.reopen(&question{Request: r, net: n, channel: channel})
		if err := n.botJoin(channel); err != nil {
			return err
		}
	}
	ls.started = true
	go ls.run(running)
	return nil
}

// channelOf is the network of a portal and its channel as it is written, or nil when the network is configured no longer.
func (c *Connector) channelOf(ctx context.Context, portal networkid.PortalID) (*network, string) {
	name, channel, _ := splitID(string(portal))
	n := c.networks[name]
	if n == nil {
		return nil, ""
	}
	if p, err := c.existing(ctx, networkid.PortalKey{ID: portal}); err == nil && p != nil && p.Name != "" {
		channel = p.Name
	}
	return n, channel
}

// place finds out whether a standing link is of a further channel, and has bots where they are needed.
func (ls *links) place(ctx context.Context, link bridges.Link) error {
	first, err := ls.conn.br.GetPortalByMXID(ctx, link.Room)
	if err != nil {
		return fmt.Errorf("portal of %s: %w", link.Room, err)
	}
	ls.mu.Lock()
	ls.displace(link)
	if first != nil && first.ID != link.Portal {
		ls.further[link.Room] = append(ls.further[link.Room], link.Portal)
	}
	ls.mu.Unlock()
	return ls.placeBots(ctx, link.Room)
}

// displace takes a link out of further; the caller holds mu.
func (ls *links) displace(link bridges.Link) {
	rest := slices.DeleteFunc(slices.Clone(ls.further[link.Room]), func(p networkid.PortalID) bool { return p == link.Portal })
	if ls.further[link.Room] = rest; len(rest) == 0 {
		delete(ls.further, link.Room)
	}
}

// placeBots has the bot in all channels of a room.
func (ls *links) placeBots(ctx context.Context, room id.RoomID) error {
	places, err := ls.conn.placesOf(ctx, room)
	for _, p := range places {
		if err := p.net.botJoin(p.channel); err != nil {
			return err
		}
	}
	return err
}

// of returns the link of a channel.
func (ls *links) of(portal networkid.PortalID) (bridges.Link, bool) {
	if ls == nil {
		return bridges.Link{}, false
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	link, ok := ls.byPortal[portal]
	return link, ok
}

// inRoom are the links of a room, as they were made.
func (ls *links) inRoom(room id.RoomID) []bridges.Link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var list []bridges.Link
	for _, link := range ls.byPortal {
		if link.Room == room {
			list = append(list, link)
		}
	}
	slices.SortFunc(list, func(a, b bridges.Link) int { return int(a.SinceTS - b.SinceTS) })
	return list
}

// all are all links, as they were made.
func (ls *links) all() []bridges.Link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	list := slices.Collect(maps.Values(ls.byPortal))
	slices.SortFunc(list, func(a, b bridges.Link) int { return cmp.Compare(a.SinceTS, b.SinceTS) })
	return list
}

// isFurther reports whether a channel is a further one of a room.
func (ls *links) isFurther(portal networkid.PortalID) bool {
	if ls == nil {
		return false
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.Contains(ls.further[ls.byPortal[portal].Room], portal)
}

// furtherOf are the further channels of a room.
func (ls *links) furtherOf(room id.RoomID) []networkid.PortalID {
	if ls == nil {
		return nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.Clone(ls.further[room])
}

func (ls *links) put(link bridges.Link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.byPortal[link.Portal] = link
}

// forget drops a link from memory and database.
func (ls *links) forget(ctx context.Context, link bridges.Link) error {
	if err := ls.conn.host.RemoveLink(ctx, link.Portal); err != nil {
		return err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.displace(link)
	delete(ls.byPortal, link.Portal)
	return nil
}

// ring wakes run; it looks for itself.
func (ls *links) ring() {
	select {
	case ls.wake <- struct{}{}:
	default:
	}
}

// questionOf is the open question of a network with a code, or nil.
func (ls *links) questionOf(n *network, hash string) *question {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	q := ls.open[hash]
	if q == nil || q.net != n || time.Now().UnixMilli() >= q.ExpiresTS {
		return nil
	}
	return q
}

// questionFor is the open question whether a room may be connected with a channel, or nil.
func (ls *links) questionFor(portal networkid.PortalID, room id.RoomID) *question {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, q := range ls.open {
		if q.Portal == portal && q.Room == room {
			return q
		}
	}
	return nil
}

// close ends that a question can be answered, and reports false when somebody was quicker.
func (ls *links) close(q *question) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	_, open := ls.open[q.Code]
	delete(ls.open, q.Code)
	return open
}

func (ls *links) reopen(q *question) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open[q.Code] = q
}

// abandon ends a question that nobody can answer.
func (ls *links) abandon(q *question, why string) { ls.abandonAs(q, outcomeNobody, why) }

// abandonAs ends a question to which there is no answer.
func (ls *links) abandonAs(q *question, outcome, why string) {
	if !ls.close(q) {
		return
	}
	ls.conn.later(func(ctx context.Context) {
		if _, _, err := ls.conn.host.EndRequest(ctx, q.Code, outcome, nil); err != nil {
			q.net.log.Err(err).Msg("end a request")
		}
		q.say(ls.conn, why)
		ls.leaveIdle(q.net, q.channel)
	})
}

// leaveIdle has the bot leave a channel in which it is needed no more.
func (ls *links) leaveIdle(n *network, channel string) {
	portal := n.ids.portal(channel).ID
	ls.mu.Lock()
	link, needed := ls.byPortal[portal]
	needed = needed && link.State != bridges.LinkEnding
	for _, q := range ls.open {
		needed = needed || q.Portal == portal
	}
	ls.mu.Unlock()
	if needed || ls.isFirstOfSeveral(portal) {
		return
	}
	n.botPart(channel, "not needed here any more")
}

// isFirstOfSeveral reports whether a channel is that of a room's portal, and the room has others.
func (ls *links) isFirstOfSeveral(portal networkid.PortalID) bool {
	ls.mu.Lock()
	rooms := slices.Collect(maps.Keys(ls.further))
	ls.mu.Unlock()
	return slices.ContainsFunc(rooms, func(room id.RoomID) bool {
		p, err := ls.conn.br.GetPortalByMXID(ls.conn.ctx, room)
		return err == nil && p != nil && p.ID == portal
	})
}

// run does what is to be done about links until ctx ends.
func (ls *links) run(ctx context.Context) {
	defer close(ls.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ls.wake:
		case <-timer.C:
		}
		next := ls.expire(time.Now())
		ls.mu.Lock()
		list := slices.Collect(maps.Values(ls.byPortal))
		ls.mu.Unlock()
		for _, link := range list {
			var err error
			switch link.State {
			case bridges.LinkMaking:
				err = ls.make(ctx, link)
			case bridges.LinkEnding:
				err = ls.withdraw(ctx, link)
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				next = min(next, linkRetry)
				ls.conn.br.Log.Err(err).Str("portal_id", string(link.Portal)).Stringer("room_id", link.Room).Msg("follow a link, will try again")
			}
		}
		timer.Reset(next)
	}
}

// expire ends the questions that nobody has answered, and returns when to look again.
func (ls *links) expire(now time.Time) time.Duration {
	next := time.Hour
	ls.mu.Lock()
	list := slices.Collect(maps.Values(ls.open))
	ls.mu.Unlock()
	for _, q := range list {
		if left := time.UnixMilli(q.ExpiresTS).Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		ls.abandon(q, "Nobody has answered on "+q.net.name+" whether this room may be connected with "+q.channel+".")
	}
	return next
}

// portalOf is the portal to which the lane of a channel delivers: the channel's own, or that of the room's first channel.
func (c *Connector) portalOf(ctx context.Context, n *network, channel string) (*bridgev2.Portal, error) {
	key := n.ids.portal(channel)
	link, linked := c.links.of(key.ID)
	switch {
	case !linked:
		return c.existing(ctx, key)
	case link.State != bridges.LinkStanding:
		return nil, nil
	}
	return c.br.GetPortalByMXID(ctx, link.Room)
}

// mayLink reports whether somebody may decide to which channels a room is bridged: a member with the level that the room asks for
// m.bridge, and at least that of moderators, as the homeserver has it at this moment.
func (c *Connector) mayLink(ctx context.Context, room id.RoomID, user id.UserID) (bool, error) {
	_, may, err := c.standing(ctx, room, user)
	return may, err
}

// standing is whether somebody is in a room, and whether they may decide about its channels. Of a room without the bot it is not known.
func (c *Connector) standing(ctx context.Context, room id.RoomID, user id.UserID) (isIn, may bool, err error) {
	if there, err := c.host.IsIn(ctx, room); err != nil || !there {
		return false, false, err
	}
	levels, err := c.host.PowerLevels(ctx, room)
	if err != nil {
		return false, false, err
	}
	people, err := c.host.People(ctx, room)
	if err != nil {
		return false, false, err
	}
	isIn = slices.Contains(people, user)
	return isIn, isIn && levels.GetUserLevel(user) >= max(levels.GetEventLevel(event.StateBridge), minLinkLevel), nil
}

// minLinkLevel is the least level of who may decide to which channels a room is bridged.
const minLinkLevel = 50
