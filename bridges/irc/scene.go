package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// levelsPause is how long changes of rank are collected, counted from the last one, and maxLevelsPause from the
	// first: a network that comes together again gives a rank back to everybody, and one event is enough.
	levelsPause    = 500 * time.Millisecond
	maxLevelsPause = 5 * time.Second
	// maxLevels bounds the users who have a level of their own; beyond it only operators get one. An event
	// has room for 65536 bytes.
	maxLevels = 400
)

// settings are the modes of a channel that its room shows.
type settings struct {
	moderated   bool // +m
	inviteOnly  bool // +i
	keyed       bool // +k
	topicLocked bool // +t
	secret      bool // +s or +p
}

// scene is what a lane knows of the state of its channel, and what of that the room does not show yet. The lane's
// goroutine owns it.
type scene struct {
	levels   map[id.UserID]int // what is to be set
	ranked   map[string]int    // levels by folded nick, of ghosts who have a rank
	settings settings
	known    bool                 // settings are
	unset    bool                 // settings are not applied yet
	complete bool                 // who has no rank here has none on IRC
	people   map[id.UserID]person // of us in the channel
	quieted  map[id.UserID]bool   // of people
	silenced map[id.UserID]bool   // of people, on a further channel, who have been told so
	// The lists of the channel by kind of entry, those of which all is known, and the bans that were lifted. They are
	// unread until they have been compared with people.
	lists     map[byte][]string
	listKnown map[byte]bool
	lifted    []string
	unread    bool
	recheck   bool // bans of the room may have ended

	firstChange, lastChange time.Time // firstChange is zero when there is nothing to do
	splits                  splits
}

// changed notes that there is something to apply.
func (s *scene) changed(now time.Time) {
	if s.firstChange.IsZero() {
		s.firstChange = now
	}
	s.lastChange = now
}

// setLevel notes the level of a user.
func (s *scene) setLevel(user id.UserID, level int) {
	if s.levels == nil {
		s.levels = map[id.UserID]int{}
	}
	s.levels[user] = level
	s.changed(time.Now())
}

// due is when the lane has something to do by itself.
func (s *scene) due(now time.Time) time.Time {
	at := now.Add(time.Hour)
	if !s.firstChange.IsZero() {
		at = s.lastChange.Add(levelsPause)
		if latest := s.firstChange.Add(maxLevelsPause); latest.Before(at) {
			at = latest
		}
	}
	if next := s.splits.due(); !next.IsZero() && next.Before(at) {
		at = next
	}
	return at
}

// stand is the rank of somebody: a ghost's nick, or one of us.
type stand struct {
	nick string
	user id.UserID
	rank string
	// Of one of us: nick!user@host and account as others see them, empty while unknown, whether they are gone, and whether
	// only this is told and the rank stays as it is.
	mask, account  string
	gone, unranked bool
}

// stateful marks items that change a scene or come in crowds with what does; all others are delivered after what the
// scene holds, if that decides whether they may be.
type stateful interface{ stateful() }

func (joinItem) stateful()  {}
func (leaveItem) stateful() {}
func (nickItem) stateful()  {}
func (namesItem) stateful() {}
func (modesItem) stateful() {}
func (dueItem) stateful()   {}

// setStand takes note of a rank.
func (l *lane) setStand(s stand) {
	if l.net.isBot(s.user) {
		return // what it is in the room is not the channel's to say
	}
	if s.unranked {
		s.rank = l.scene.people[s.user].rank
	}
	level := l.net.cfg.Modes.level(s.rank)
	if s.user != "" {
		l.setPerson(s)
		if s.rank == "" && l.scene.quieted[s.user] {
			level = quietLevel
		}
		l.scene.setLevel(s.user, level)
		return
	}
	key := l.net.ids.fold.Fold(s.nick)
	if _, ranked := l.scene.ranked[key]; s.rank == "" && !ranked {
		return
	}
	if l.scene.ranked == nil {
		l.scene.ranked = map[string]int{}
	}
	if l.scene.ranked[key] = level; s.rank == "" {
		delete(l.scene.ranked, key)
	}
	l.showLevel(l.ghostID(s.nick))
}

// levelOf is the level of a ghost, the highest of its nicks', and false if none of them has a rank.
func (l *lane) levelOf(ghost networkid.UserID) (level int, ranked bool) {
	level = normalLevel
	for _, nick := range l.nicksOf(ghost) {
		if its, has := l.scene.ranked[l.net.ids.fold.Fold(nick)]; has && l.ghostID(nick) == ghost {
			level, ranked = max(level, its), true
		}
	}
	return level, ranked
}

// moveRank shows the levels of the ghost that a nick had, and of the one that it has now.
func (l *lane) moveRank(nick string, before networkid.UserID) {
	if _, ranked := l.scene.ranked[l.net.ids.fold.Fold(nick)]; ranked && before != l.ghostID(nick) {
		l.showLevel(before)
		l.showLevel(l.ghostID(nick))
	}
}

// showLevel has the room show the level of a ghost.
func (l *lane) showLevel(ghost networkid.UserID) {
	level, _ := l.levelOf(ghost)
	if l.net.shows(l.called()) != showAll && level > normalLevel && level < l.net.cfg.Modes.topicLevel() && !l.scene.settings.moderated {
		return // a voice is worth nothing while everybody may speak
	}
	l.scene.setLevel(l.net.conn.br.Matrix.FormatGhostMXID(ghost), level)
}

// setPerson takes note of what is known of one of us.
func (l *lane) setPerson(s stand) {
	before, known := l.scene.people[s.user]
	p := before
	if p.rank = s.rank; s.mask != "" {
		p.mask = s.mask
	}
	if s.account != "" {
		p.account = s.account
	}
	if !s.gone {
		l.strict.saw(s.user)
	}
	switch {
	case s.gone:
		delete(l.scene.people, s.user)
		delete(l.scene.quieted, s.user)
		delete(l.scene.silenced, s.user)
	case !known || p != before:
		if l.scene.people == nil {
			l.scene.people = map[id.UserID]person{}
		}
		l.scene.people[s.user] = p
		l.scene.unread = true
	}
}

// setStands makes the ranks those of a list, which is complete.
func (l *lane) setStands(list []stand) {
	listed := map[string]bool{}
	for _, s := range list {
		l.setStand(s)
		if s.user == "" {
			listed[l.net.ids.fold.Fold(s.nick)] = true
		}
	}
	for key := range l.scene.ranked {
		if _, split := l.scene.splits.away[key]; !listed[key] && !split {
			l.setStand(stand{nick: key})
		}
	}
	l.scene.complete = true // also for levels from before the bridge started
	l.scene.changed(time.Now())
}

// setSettings takes note of the modes of the channel.
func (l *lane) setSettings(s settings) {
	if l.scene.known && l.scene.settings == s {
		return
	}
	if s.moderated && !l.scene.settings.moderated && l.net.shows(l.called()) != showAll {
		go l.channel().restate() // now voices count; in a goroutine, because who holds the channel may wait for us
	}
	l.scene.settings, l.scene.known, l.scene.unset = s, true, true
	l.scene.changed(time.Now())
}

// modesItem is a change of ranks, modes and bans, or the state of them all.
type modesItem struct {
	stands   []stand
	settings *settings // nil when they are unknown or the same
	lists    []listChange
	whole    []byte // kinds of entries of which lists has all
	complete bool   // stands are all that there are, and the room is to show this whatever it showed before
}

func (m modesItem) deliver(_ context.Context, l *lane, _ *bridgev2.Portal) error {
	if m.complete {
		l.setStands(m.stands)
		l.scene.known = false
	}
	for _, s := range m.stands {
		l.setStand(s)
	}
	if m.settings != nil {
		l.setSettings(*m.settings)
	}
	if len(m.lists)+len(m.whole) > 0 {
		l.setLists(m.lists, m.whole)
	}
	return nil
}

// dueItem does what the lane has to do by itself.
type dueItem struct{}

func (dueItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	now := time.Now()
	if err := l.foldSplits(ctx, portal, now); err != nil {
		return err
	}
	if !l.scene.firstChange.IsZero() {
		if err := l.applyScene(ctx, portal); err != nil {
			return err
		}
	}
	return l.showStrict(ctx, portal, now)
}

// beforehand applies the scene before an item whose sender's level could matter.
func (l *lane) beforehand(ctx context.Context, it item, portal *bridgev2.Portal) error {
	if _, ok := it.(stateful); ok || l.scene.firstChange.IsZero() {
		return nil
	}
	if !l.scene.unset && !l.scene.settings.moderated {
		return nil
	}
	return l.applyScene(ctx, portal)
}

// giveUp forgets what could not be applied, so that it is not tried for ever. The next list of names has it all.
func (s *scene) giveUp() {
	s.levels, s.firstChange, s.unset, s.complete, s.unread = nil, time.Time{}, false, false, false
	s.splits.giveUp()
}

// applyScene brings the room up to date. Of a room that the bridge did not make, the power levels and rules are its
// owners' to set.
func (l *lane) applyScene(ctx context.Context, portal *bridgev2.Portal) error {
	host := l.net.conn.host
	if l.isFurther() {
		if err := l.tellSilenced(ctx, portal); err != nil {
			return err
		}
	}
	if l.owner != "" || l.isFurther() {
		l.scene.giveUp() // the rules of a room of one's own are not the channel's, and another room is its first channel's to set up
		return nil
	}
	levels, err := host.PowerLevels(ctx, portal.MXID)
	if err != nil {
		return err
	}
	if levels.CreateEvent == nil || levels.CreateEvent.Sender != l.net.conn.br.Bot.GetMXID() {
		l.scene.giveUp()
		return nil
	}
	if l.scene.unread {
		l.applyQuiets()
	}
	if l.applyLevels(levels) {
		if err := host.SetPowerLevels(ctx, portal.MXID, levels); err != nil {
			return err
		}
	}
	if l.scene.unset {
		if err := l.applyRules(ctx, portal.MXID); err != nil {
			return err
		}
	}
	if l.scene.unread {
		if err := l.applyBans(ctx, portal); err != nil {
			return err
		}
		l.scene.unread, l.scene.recheck = false, false
	}
	l.scene.levels, l.scene.firstChange, l.scene.unset, l.scene.complete = nil, time.Time{}, false, false
	return nil
}

// applyLevels changes power levels to what the channel's state says, and reports whether anything was.
func (l *lane) applyLevels(levels *event.PowerLevelsEventContent) bool {
	modes, bot := l.net.cfg.Modes, l.net.conn.br.Bot.GetMXID()
	changed := false
	for user, level := range l.scene.levels {
		now := levels.GetUserLevel(user)
		if modes.means(now, level) || now == level || len(levels.Users) >= maxLevels && now == normalLevel && level < modes.Levels["o"] {
			continue
		}
		changed = levels.EnsureUserLevelAs(bot, user, level) || changed
	}
	for user := range levels.Users {
		ghost, ours := l.net.conn.br.Matrix.ParseGhostMXID(user)
		network, _, _ := splitID(string(ghost))
		if !l.scene.complete || !ours || network != l.net.name {
			continue
		}
		if _, ranked := l.levelOf(ghost); !ranked && l.scene.levels[user] == normalLevel {
			changed = levels.EnsureUserLevelAs(bot, user, normalLevel) || changed
		}
	}
	if !l.scene.unset {
		return changed
	}
	speak, topic, invite := normalLevel, normalLevel, normalLevel
	if l.scene.settings.moderated {
		speak = modes.Levels["v"]
	}
	if l.scene.settings.topicLocked {
		topic = modes.topicLevel()
	}
	if l.scene.settings.inviteOnly {
		invite = modes.topicLevel()
	}
	for eventType, level := range map[event.Type]int{
		// An operator of the channel may change its ranks, but not who may read what was said.
		event.StateTopic: topic, event.StatePowerLevels: min(levels.StateDefault(), modes.Levels["o"]), event.StateHistoryVisibility: maxLevel,
	} {
		if now, set := levels.Events[eventType.Type]; !set || now != level {
			if levels.Events == nil {
				levels.Events = map[string]int{}
			}
			levels.Events[eventType.Type], changed = level, true
		}
	}
	if levels.EventsDefault != speak {
		levels.EventsDefault, changed = speak, true
	}
	if levels.Invite() != invite {
		levels.InvitePtr, changed = &invite, true
	}
	return changed
}

// applyRules sets who may join and whether the room is listed.
func (l *lane) applyRules(ctx context.Context, room id.RoomID) error {
	rule, alike := openRule, []event.JoinRule(nil)
	if l.scene.settings.inviteOnly || l.scene.settings.keyed {
		rule, alike = closedRule, closedRules // who tells the bot the key is invited
	}
	if err := l.net.conn.host.SetJoinRule(ctx, room, rule, alike...); err != nil {
		return err
	}
	listed := !l.scene.settings.secret && !l.scene.settings.inviteOnly
	// As the network's own LIST does.
	if err := l.net.conn.host.SetListedOn(ctx, l.net.name, room, listed && !l.net.cfg.Modes.Unlisted); err != nil {
		return err
	}
	if !l.net.cfg.Modes.Publish {
		return nil
	}
	return l.net.conn.host.SetListed(ctx, room, listed)
}
