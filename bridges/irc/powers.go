package irc

import (
	"context"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

var _ bridgev2.PowerLevelHandlingNetworkAPI = (*account)(nil)

// wish is what somebody on Matrix wants a level to be on IRC.
type wish struct {
	nick  string
	level int
	// quiet tells that they may not speak any more, and free that they may again.
	quiet, free bool
}

// HandleMatrixPowerLevels implements bridgev2.PowerLevelHandlingNetworkAPI: levels become ranks, and rules modes, if
// the channel lets whoever changed them. What it refuses is taken back in the room.
func (a *account) HandleMatrixPowerLevels(ctx context.Context, msg *bridgev2.MatrixPowerLevelChange) (bool, error) {
	if kindOf(msg.Portal.PortalKey) > bouncer {
		return true, nil
	}
	wishes := a.wishes(msg, msg.Portal, func(id.UserID) bool { return true })
	flags := map[byte]bool{}
	if change := msg.EventsDefault; change != nil && (change.NewLevel > 0) != (change.OrigLevel > 0) {
		flags['m'] = change.NewLevel > 0
	}
	if change := msg.Events[event.StateTopic.Type]; change != nil && (change.NewLevel > 0) != (change.OrigLevel > 0) {
		flags['t'] = change.NewLevel > 0
	}
	if err := a.ranksElsewhere(ctx, msg); err != nil {
		return true, err
	}
	return true, a.grant(ctx, msg.Portal, msg.Event, wishes, flags)
}

// grant makes ranks and flags of a channel what somebody wants them to be.
func (a *account) grant(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, wishes []wish, flags map[byte]bool) error {
	if len(wishes) == 0 && len(flags) == 0 {
		return nil
	}
	return a.setModes(ctx, portal, evt, modeWish{
		failed: "The power levels were not changed", flags: len(flags) > 0,
		ask:   func(c *client, m *membership) []string { return c.askForQuiets(m, wishes) },
		want:  func(c *client, m *membership) []change { return c.changesFor(m, wishes, flags) },
		check: func(c *client) error { return c.quietsFail(wishes) },
	})
}

// wishes are what the levels of some users are to be in a channel.
func (a *account) wishes(msg *bridgev2.MatrixPowerLevelChange, portal *bridgev2.Portal, fits func(user id.UserID) bool) (wishes []wish) {
	for _, user := range slices.Sorted(maps.Keys(msg.Users)) {
		if !fits(user) {
			continue
		}
		for _, nick := range a.nicksOf(portal, user) {
			change := msg.Users[user]
			wishes = append(wishes, wish{
				nick: nick, level: change.NewLevel,
				quiet: change.NewLevel < 0 && change.OrigLevel >= 0, free: change.NewLevel >= 0 && change.OrigLevel < 0,
			})
		}
	}
	return wishes
}

// nicksOf are the nicks in a channel of a ghost of this network, or of one of us.
func (a *account) nicksOf(portal *bridgev2.Portal, user id.UserID) []string {
	ghost, ours := a.connector.br.Matrix.ParseGhostMXID(user)
	if !ours {
		if nick := a.net.nickOf(user); nick != "" {
			return []string{nick}
		}
		return nil
	}
	if network, _, _ := splitID(string(ghost)); network == a.net.name {
		return a.channelOf(portal).lane.nicksOf(ghost)
	}
	return nil
}

// modeWish is what somebody on Matrix wants of a channel's modes. Its functions are called in the client's goroutine,
// where the channel's state is known.
type modeWish struct {
	failed string // begins the notice
	flags  bool   // it is about modes that the channel has or has not
	undo   item   // for the room, where it is not done; or nil
	ask    func(c *client, m *membership) []string
	want   func(c *client, m *membership) []change
	check  func(c *client) error // what cannot be done at all
}

// setModes changes modes of a channel as its sender. When the server refuses them, or has ignored them, the room is told why and shows again what holds.
func (a *account) setModes(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, w modeWish) error {
	var c *client
	s := &send{verb: "MODE"}
	s.ask = func(client *client, m *membership) (lines []string) {
		if w.ask != nil {
			lines = w.ask(client, m)
		}
		if w.flags && !m.modesKnown { // of all of us, the one whose view counts has asked
			lines = append(lines, "MODE "+m.name)
		}
		return lines
	}
	s.plan = func(client *client, m *membership) (lines []string) {
		c = client
		for _, line := range client.isupport.modeLines(w.want(client, m)) {
			lines = append(lines, "MODE "+m.name+" "+line)
		}
		return lines
	}
	return a.submit(ctx, portal, evt, s, func(_ context.Context, err error) {
		if m := c.membershipOf(s.channel); err == nil && m != nil && len(w.want(c, m)) > 0 {
			err = failure("%s ignored it", a.net.name)
		}
		if err == nil && c != nil && w.check != nil {
			err = w.check(c)
		}
		if err != nil {
			ch := a.laneOf(s).channel()
			ch.lane.put(noticeItem{text: w.failed + " on IRC: " + err.Error(), to: a.login.UserMXID})
			if w.undo != nil {
				ch.lane.put(w.undo)
			}
			ch.restate()
		}
	})
}

// membershipOf is the client's place in a channel, or nil while it is not in it.
func (c *client) membershipOf(channel string) *membership {
	if c == nil {
		return nil
	}
	if m := c.channels[c.net.ids.fold.Fold(channel)]; m != nil && m.state == joined {
		return m
	}
	return nil
}

// changesFor are the modes that make ranks and flags as somebody wants them.
func (c *client) changesFor(m *membership, wishes []wish, flags map[byte]bool) []change {
	var list []change
	for _, w := range wishes {
		rank, there := m.rankOf(c, w.nick)
		if there {
			list = append(list, c.rankChanges(w.nick, rank, w.level)...)
		}
		list = append(list, c.quietChanges(m, w)...)
	}
	for _, mode := range slices.Sorted(maps.Keys(flags)) {
		if strings.IndexByte(c.isupport.flags, mode) >= 0 && slices.Contains(m.flags, mode) != flags[mode] {
			list = append(list, change{on: flags[mode], mode: mode})
		}
	}
	return list
}

// rankOf is the rank of a nick in a channel.
func (m *membership) rankOf(c *client, nick string) (rank string, there bool) {
	if c.isMe(nick) {
		return m.rank, true
	}
	o, there := m.names.get(c.net.ids.fold.Fold(nick))
	return o.rank, there
}

// rankChanges give somebody the rank of a level: higher ones go, lower ones may stay.
func (c *client) rankChanges(nick, rank string, level int) []change {
	modes := c.net.cfg.Modes
	want := modes.rankFor(level, c.isupport.ranks)
	var list []change
	if want != "" && !strings.Contains(rank, want) {
		list = append(list, change{on: true, mode: want[0], arg: nick})
	}
	for i := range len(rank) {
		if has := rank[i : i+1]; want == "" || modes.Levels[has] > modes.Levels[want] {
			list = append(list, change{mode: rank[i], arg: nick})
		}
	}
	return list
}

// askForQuiets asks for what quietChanges needs to know.
func (c *client) askForQuiets(m *membership, wishes []wish) (lines []string) {
	asked := false
	for _, w := range wishes {
		ch, can := c.isupport.quietFor("", !w.free)
		if !can || !w.quiet && !w.free {
			continue
		}
		lines = append(lines, c.lookUp(m, w.nick)...)
		if w.free && !asked {
			lines, asked = append(lines, "MODE "+m.name+" "+string(ch.mode)), true
		}
	}
	return lines
}

// quietsFail returns an error when somebody is to be quiet and the network knows no such thing.
func (c *client) quietsFail(wishes []wish) error {
	_, can := c.isupport.quietFor("", true)
	if !can && slices.ContainsFunc(wishes, func(w wish) bool { return w.quiet }) {
		return failure("%s cannot forbid somebody to speak", c.net.name)
	}
	return nil
}

// quietChanges forbid somebody to speak, or take away all that does so to them alone.
func (c *client) quietChanges(m *membership, w wish) []change {
	masks := c.banMasks(m, w.nick)
	var list []change
	for _, mask := range masks {
		_, byAccount, _ := c.isupport.extban(mask)
		ch, can := c.isupport.quietFor(mask, !w.free)
		if !can || byAccount != "" && ch.mode != 'q' {
			continue // no ban of a kind within another
		}
		at := slices.IndexFunc(m.lists[ch.mode], func(entry string) bool { return c.isupport.sameEntry(ch.mode, entry, ch.arg) })
		switch {
		case w.free && at >= 0:
			ch.arg = m.lists[ch.mode][at] // as it is written there
			list = append(list, ch)
		case w.quiet && at >= 0:
			return nil
		case w.quiet && len(list) == 0:
			list = append(list, ch)
		}
	}
	return list
}

// restate asks the leader of a channel to show its modes and ranks in the room again.
func (ch *channel) restate() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.feed.lead != nil {
		ch.feed.lead.member.box.add(restateRequest{channel: ch.lane.called()})
	}
}

// restateRequest asks a leader for the state of a channel.
type restateRequest struct{ channel string }

func (r restateRequest) apply(c *client) {
	m := c.membershipOf(r.channel)
	if m == nil || !m.ch.leads(c) {
		return
	}
	m.ch.put(c.stateOf(m))
}

// stateOf is all that a client knows of a channel's modes.
func (c *client) stateOf(m *membership) modesItem {
	item := modesItem{stands: m.stands(c), complete: true}
	if m.modesKnown {
		now := m.settings(c)
		item.settings = &now
	}
	return item
}
