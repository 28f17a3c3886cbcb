package irc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Strict channels: nobody reads what is said there without being seen there. Each line carries whom of us its server showed in
// the channel when it was said, as the connection saw it that delivers it (messageItem.present). The lane asks the homeserver who
// is in the room, right before it sends the line, and leaves it out for ever unless all of them were there and are. The other way,
// a message carries who was in the room when it was said, and the sender's connection sends it only if it sees them all in
// the channel then. What is not known counts as absent: after a start, while a connection is away, and over a netsplit.
//
// A moment remains between the homeserver's answer and the sending of the line, in which somebody can join; Matrix has no
// way to close it.

const (
	// strictState is the type of the state event that shows whether anything passes.
	strictState = "causeway.bridge.strict"
	// strictKey begins the keys under which is stored what was chosen with `!irc strict`.
	strictKey = "irc-strict/"
	// maxStrictPauses is how many pauses changes are collected at most.
	maxStrictPauses = 6
	// maxMissing bounds the people that are named.
	maxMissing = 20
)

// strictChoices are the channels that were made strict with a command, and those whose rooms show that they are.
type strictChoices struct {
	mu     sync.Mutex // guards what follows
	chosen map[networkid.PortalID]bool
	shown  map[networkid.PortalID]bool
}

// load reads what is stored.
func (s *strictChoices) load(ctx context.Context, db *database.Database) error {
	chosen, err := strictPortals(ctx, db, strictKey)
	if err != nil {
		return err
	}
	shown, err := strictPortals(ctx, db, strictShownKey)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chosen, s.shown = chosen, shown
	return nil
}

// strictPortals are the channels that are stored under keys of one kind.
func strictPortals(ctx context.Context, db *database.Database, prefix string) (map[networkid.PortalID]bool, error) {
	rows, err := db.Query(ctx, `SELECT key FROM kv_store WHERE bridge_id=$1 AND key LIKE $2`, db.BridgeID, prefix+"%")
	if err != nil {
		return nil, fmt.Errorf("read which channels are strict: %w", err)
	}
	defer func() { _ = rows.Close() }()
	portals := map[networkid.PortalID]bool{}
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("read which channels are strict: %w", err)
		}
		portals[networkid.PortalID(strings.TrimPrefix(key, prefix))] = true
	}
	return portals, rows.Err()
}

// choose makes a channel strict, or not.
func (s *strictChoices) choose(ctx context.Context, db *database.Database, portal networkid.PortalID, on bool) {
	s.mu.Lock()
	if s.chosen == nil {
		s.chosen = map[networkid.PortalID]bool{}
	}
	if s.chosen[portal] = true; !on {
		delete(s.chosen, portal)
	}
	s.mu.Unlock() // clients ask for it, and do not wait for the database
	key := database.Key(strictKey + string(portal))
	if on {
		db.KV.Set(ctx, key, "on")
	} else {
		db.KV.Delete(ctx, key)
	}
}

// isStrict reports whether a channel is strict.
func (c *Connector) isStrict(n *network, channel string) bool {
	if !isChannel(channel) {
		return false // conversations are between two
	}
	if n.cfg.Strict.matches(n.ids.fold, channel) {
		return true
	}
	c.strict.mu.Lock()
	defer c.strict.mu.Unlock()
	return c.strict.chosen[n.ids.portal(channel).ID]
}

// live are those of us whose connections are in a channel.
type live struct {
	mu    sync.Mutex // guards users; whoever holds it waits for nothing
	users map[id.UserID]bool
}

func (l *live) set(user id.UserID, there bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == nil {
		l.users = map[id.UserID]bool{}
	}
	if l.users[user] = true; !there {
		delete(l.users, user)
	}
}

func (l *live) all() map[id.UserID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.users)
}

// present are those of us whom a client sees in a strict channel, itself among them, or nil.
// Of the past it is not known.
func (c *client) present(ms *membership) map[id.UserID]bool {
	if c.replay != nil || !ms.listed || ms.state != joined || !c.net.conn.isStrict(c.net, ms.name) {
		return nil
	}
	there := map[id.UserID]bool{c.user: true}
	for o := range ms.names.all() {
		if o.puppet != nil {
			there[o.puppet.user] = true
		}
	}
	return there
}

// absent are those of a list who are not in a set, sorted.
func absent(people []id.UserID, there ...map[id.UserID]bool) []id.UserID {
	var list []id.UserID
	for _, user := range people {
		if slices.ContainsFunc(there, func(set map[id.UserID]bool) bool { return !set[user] }) {
			list = append(list, user)
		}
	}
	slices.Sort(list)
	return list
}

// strictly fails a message that some of those who are in the room could read without being on the channel.
func (c *client) strictly(s *send, ms *membership) error {
	if s.people == nil {
		return nil
	}
	there := c.present(ms)
	missing := absent(s.people, there)
	if there != nil && len(missing) == 0 {
		return nil
	}
	ms.ch.lane.lookStrict()
	if there == nil {
		return failure("%s is strict, and it is not known yet who is there", ms.name)
	}
	return failure("%s is strict, and nothing is sent while somebody here is not on it: %s", ms.name, named(missing))
}

// named are names of users, as many as fit.
func named(users []id.UserID) string {
	var names []string
	for _, user := range users[:min(len(users), maxMissing)] {
		names = append(names, user.String())
	}
	if left := len(users) - len(names); left > 0 {
		return strings.Join(names, ", ") + fmt.Sprintf(" and %d others", left)
	}
	return strings.Join(names, ", ")
}

// peopleOf gives a message who is in the room of a strict channel.
func (a *account) peopleOf(ctx context.Context, portal *bridgev2.Portal, s *send) error {
	if err := a.connector.readersOf(ctx, a.net, portal.Name, portal.MXID, s); err != nil {
		return shown(err)
	}
	return nil
}

// readersOf is peopleOf for a channel of a room.
func (c *Connector) readersOf(ctx context.Context, n *network, channel string, room id.RoomID, s *send) error {
	if !c.isStrict(n, channel) || slices.Contains(wordless, s.verb) {
		return nil
	}
	people, err := c.host.Audience(ctx, room)
	if err != nil {
		return failure("%s is strict, and it cannot be seen who is in this room", channel)
	}
	s.people = append([]id.UserID{}, people...) // never nil
	return nil
}

// strictView is what a lane knows of the strictness of its channel, and has told of it. The lane's goroutine owns it.
type strictView struct {
	unseen      []id.UserID // who was not there when a line was said
	first, last time.Time   // of the changes that are not told
	told        string      // who was missing then
	shown       bool        // the room has been told anything
	topic       string      // of the channel, as far as it is known, which its room does not keep
	topicSaid   bool        // the room has been told
}

// saw is that somebody is seen in the channel again.
func (v *strictView) saw(user id.UserID) {
	if i := slices.Index(v.unseen, user); i >= 0 {
		v.unseen = slices.Delete(slices.Clone(v.unseen), i, i+1)
		v.changed(time.Now())
	}
}

func (v *strictView) changed(now time.Time) {
	if v.first.IsZero() {
		v.first = now
	}
	v.last = now
}

// due is when the room is to be told, or zero.
func (v *strictView) due(pause time.Duration) time.Time {
	if v.first.IsZero() {
		return time.Time{}
	}
	at := v.last.Add(pause)
	if latest := v.first.Add(maxStrictPauses * pause); latest.Before(at) {
		return latest
	}
	return at
}

// due is when the lane has something to do by itself.
func (l *lane) due(now time.Time) time.Time {
	if l.strictNews.Swap(false) {
		l.strict.changed(now)
	}
	at := l.scene.due(now)
	if strict := l.strict.due(l.net.cfg.Strict.Pause); !strict.IsZero() && strict.Before(at) {
		return strict
	}
	return at
}

// strictItem wakes a lane.
type strictItem struct{}

func (strictItem) stateful() {}

func (strictItem) deliver(context.Context, *lane, *bridgev2.Portal) error { return nil }

// lookStrict has a lane look who is missing, because somebody has come or gone, in the room or on the channel. It never waits.
func (l *lane) lookStrict() {
	l.strictNews.Store(true)
	l.offer(strictItem{}) // where the lane is busy, it looks without
}

// holdsBack reports whether a line is not for the room, because somebody there was not on the channel when it was said, or is
// not now. An error is that this cannot be known; then the line waits.
func (l *lane) holdsBack(ctx context.Context, portal *bridgev2.Portal, present map[id.UserID]bool) (bool, error) {
	if !l.net.conn.isStrict(l.net, l.called()) {
		return false, nil
	}
	people, err := l.net.conn.host.Audience(ctx, portal.MXID)
	if err != nil {
		return true, err
	}
	missing := absent(people, present, l.channel().live.all())
	if !slices.Equal(missing, l.strict.unseen) {
		l.strict.unseen = missing
		l.strict.changed(time.Now())
	}
	return len(missing) > 0, nil
}

// showStrict tells the room whether anything passes, if that has changed since.
func (l *lane) showStrict(ctx context.Context, portal *bridgev2.Portal, now time.Time) error {
	at := l.strict.due(l.net.cfg.Strict.Pause)
	if at.IsZero() || now.Before(at) {
		return nil
	}
	l.strict.first = time.Time{}
	host, channel := l.net.conn.host, l.called()
	if !l.net.conn.isStrict(l.net, channel) {
		return nil
	}
	people, err := host.Audience(ctx, portal.MXID)
	if err != nil {
		l.strict.changed(now)
		return err
	}
	missing := absent(people, l.channel().live.all())
	for _, user := range l.strict.unseen {
		if slices.Contains(people, user) && !slices.Contains(missing, user) {
			missing = append(missing, user)
		}
	}
	slices.Sort(missing)
	words := named(missing)
	if l.strict.shown && l.strict.told == words {
		return l.tellHeldTopic(ctx, portal, len(missing) == 0)
	}
	wasClosed := l.strict.told != ""
	l.strict.told, l.strict.shown = words, true
	content := map[string]any{"network": l.net.name, "channel": channel, "open": len(missing) == 0, "missing": append([]id.UserID{}, missing[:min(len(missing), maxMissing)]...)}
	if err := host.SetState(ctx, portal.MXID, strictState, "", content); err != nil && !isFinal(err) {
		return err
	}
	l.net.conn.strict.shows(ctx, l.net.conn.br.DB, l.net.ids.portal(channel).ID, true)
	switch {
	case len(missing) > 0:
		return host.Notify(ctx, portal.MXID, "Nothing passes between this room and "+channel+" on "+l.net.name+
			", because not everybody here is on the channel: "+words, missing[:min(len(missing), maxMissing)]...)
	case wasClosed:
		return host.Notify(ctx, portal.MXID, "Everybody here is on "+channel+" on "+l.net.name+": what is said passes again."+l.strict.topicNow())
	}
	return l.tellHeldTopic(ctx, portal, true)
}

// strictChanged has the lane of a channel look who is missing, if it is strict.
func (n *network) strictChanged(channel string) {
	if n.conn.isStrict(n, channel) {
		n.channel(channel).lane.lookStrict()
	}
}

// tooOpen says why the room of a strict channel cannot be as it is, or "".
func (c *Connector) tooOpen(ctx context.Context, room id.RoomID) (string, error) {
	visibility, err := c.host.HistoryVisibility(ctx, room)
	if err != nil {
		return "", err
	}
	if visibility != event.HistoryVisibilityJoined {
		return "who joins this room can read what was said before; its history has to be for members only, from when they joined", nil
	}
	return "", nil
}

// cmdStrict makes the channel of a room strict, or tells whether it is.
func (c *Connector) cmdStrict(ce *commands.Event) {
	places, err := c.placesOf(ce.Ctx, ce.RoomID)
	if err != nil || len(places) == 0 {
		ce.Reply("This is not the room of a channel.")
		return
	}
	p := places[0]
	strict := c.isStrict(p.net, p.channel)
	switch {
	case len(ce.Args) == 0 && strict:
		ce.Reply("`%s` on %s is strict: nothing passes while somebody here is not on it.", p.channel, p.net.name)
		return
	case len(ce.Args) == 0:
		ce.Reply("`%s` on %s is not strict.", p.channel, p.net.name)
		return
	case len(ce.Args) != 1 || ce.Args[0] != "on" && ce.Args[0] != "off":
		ce.Reply("Usage: `$cmdprefix strict on` or `$cmdprefix strict off`")
		return
	}
	if !c.decider(ce) {
		return
	}
	if ce.Args[0] == "off" {
		if c.strict.choose(ce.Ctx, c.br.DB, p.portal.ID, false); c.isStrict(p.net, p.channel) {
			ce.Reply("`%s` is strict by the configuration, and stays so.", p.channel)
			return
		}
		p.net.channel(p.channel).lane.insist(strictEnd{})
		p.net.channel(p.channel).askTopic()
		ce.Reply("`%s` is not strict any more.", p.channel)
		return
	}
	why, err := c.tooOpen(ce.Ctx, ce.RoomID)
	switch {
	case len(places) > 1:
		ce.Reply("This room has several channels, so others read what is said in each.")
		return
	case err != nil:
		ce.Log.Err(err).Msg("look who may read the history of a room")
		ce.Reply("It did not work; try again later.")
		return
	case why != "":
		ce.Reply("That would be of no use: %s.", why)
		return
	}
	c.strict.choose(ce.Ctx, c.br.DB, p.portal.ID, true)
	p.net.channel(p.channel).lane.put(topicItem{restored: true}) // what the room shows goes
	p.net.channel(p.channel).askTopic()
	p.net.strictChanged(p.channel)
	ce.Reply("`%s` is strict from now on: nothing passes while somebody here is not on it.", p.channel)
}

// strictSeen is strictChanged for who holds the channel.
func (n *network) strictSeen(ch *channel) {
	if n.conn.isStrict(n, ch.lane.called()) {
		ch.lane.lookStrict()
	}
}

// isStrictly reports whether a client is in a strict channel, for which its connection stays.
func (c *client) isStrictly() bool {
	for _, m := range c.channels {
		if c.net.conn.isStrict(c.net, m.name) {
			return true
		}
	}
	return false
}
