package irc

import (
	"context"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"
)

// The answers to a question for a list begin with the first entry, or with the end of an empty one. By numeric: which list
// it is and how many parameters are before the entry, or how it ends.
var (
	listEntries = map[string]struct{ mode, at int }{
		"367": {'b', 2}, "348": {'e', 2}, "728": {'q', 3},
	}
	listEnds = map[string]int{"368": 'b', "349": 'e', "729": 'q'}
)

// onListEntry is RPL_BANLIST, RPL_EXCEPTLIST or RPL_QUIETLIST.
func (c *client) onListEntry(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[1])]
	row := listEntries[m.Command]
	if !ok || ms.names == nil || len(m.Params) <= row.at {
		return
	}
	mode := c.listMode(byte(row.mode))
	if ms.listing == nil {
		ms.listing = map[byte][]string{}
	}
	if len(ms.listing[mode]) < maxEntries {
		ms.listing[mode] = append(ms.listing[mode], m.Params[row.at])
	}
}

// onListEnd is the end of a list; the leader's counts.
func (c *client) onListEnd(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[1])]
	if !ok || ms.names == nil {
		return
	}
	mode := c.listMode(byte(listEnds[m.Command]))
	if ms.lists == nil {
		ms.lists = map[byte][]string{}
	}
	ms.lists[mode] = ms.listing[mode]
	delete(ms.listing, mode)
	if ms.state == joined && ms.ch.leads(c) {
		ms.ch.put(modesItem{lists: c.wholeList(ms, mode), whole: c.isupport.listKinds(mode)})
	}
}

// listMode is the mode of a list on this server.
func (c *client) listMode(mode byte) byte {
	if mode == 'e' && c.isupport.excepts != 0 {
		return c.isupport.excepts
	}
	return mode
}

// listKinds are the kinds of entries that a mode's list is the whole of. Where quiets have no list of their own, they are among the
// bans.
func (s *isupport) listKinds(mode byte) []byte {
	switch {
	case mode == 'b' && strings.IndexByte(s.lists, 'q') < 0:
		return []byte{banEntry, quietEntry}
	case mode == 'b':
		return []byte{banEntry}
	case mode == 'q':
		return []byte{quietEntry}
	}
	return []byte{exceptEntry}
}

// wholeList are the entries of a list that we understand.
func (c *client) wholeList(ms *membership, mode byte) []listChange {
	var list []listChange
	for _, text := range ms.lists[mode] {
		if kind, who, ok := c.isupport.entryOf(mode, text); ok {
			list = append(list, listChange{kind: kind, on: true, who: who})
		}
	}
	return list
}

// setList takes note of a change of a list, and returns what it means.
func (c *client) setList(ms *membership, ch change) (listChange, bool) {
	if ms.lists == nil {
		ms.lists = map[byte][]string{}
	}
	list := slices.DeleteFunc(ms.lists[ch.mode], func(text string) bool { return text == ch.arg })
	if ch.on && len(list) < maxEntries {
		list = append(list, ch.arg)
	}
	ms.lists[ch.mode] = list
	kind, who, ok := c.isupport.entryOf(ch.mode, ch.arg)
	return listChange{kind: kind, on: ch.on, who: who}, ok
}

// listChange is an entry that is in a list, or is not any more.
type listChange struct {
	kind byte
	on   bool
	who  string
}

// setLists takes note of entries; whole are the kinds of which these are all.
func (l *lane) setLists(changes []listChange, whole []byte) {
	s := &l.scene
	if s.lists == nil {
		s.lists, s.listKnown = map[byte][]string{}, map[byte]bool{}
	}
	for _, kind := range whole {
		s.lists[kind], s.listKnown[kind] = nil, true
		s.recheck = s.recheck || kind == banEntry
	}
	for _, ch := range changes {
		list := slices.DeleteFunc(s.lists[ch.kind], func(who string) bool { return who == ch.who })
		if ch.on && len(list) < maxEntries {
			list = append(list, ch.who)
		}
		if !ch.on && ch.kind == banEntry && len(s.lifted) < maxEntries {
			s.lifted, s.recheck = append(s.lifted, ch.who), true
		}
		s.lists[ch.kind] = list
	}
	s.unread = true
	s.changed(time.Now())
}

// applyQuiets sets the levels of those of us who may not speak, and of those who may again.
func (l *lane) applyQuiets() {
	for user, p := range l.scene.people {
		quiet := len(l.net.cfg.Casemapping.fitting(l.scene.lists[quietEntry], p)) > 0 && !l.excepted(p)
		if quiet == l.scene.quieted[user] {
			continue
		}
		if l.scene.quieted == nil {
			l.scene.quieted = map[id.UserID]bool{}
		}
		if l.scene.quieted[user] = true; !quiet {
			delete(l.scene.quieted, user)
		}
		l.setStand(stand{user: user, rank: p.rank})
	}
}

func (l *lane) excepted(p person) bool {
	return len(l.net.cfg.Casemapping.fitting(l.scene.lists[exceptEntry], p)) > 0
}

// applyBans bans those of us from the room who are banned from the channel, and lets those in again whose ban is lifted.
// Who has a rank is not, because a channel does not throw them out either.
func (l *lane) applyBans(ctx context.Context, portal *bridgev2.Portal) error {
	host, fold := l.net.conn.host, l.net.cfg.Casemapping
	for user, p := range l.scene.people {
		by := fold.fitting(l.scene.lists[banEntry], p)
		if len(by) == 0 || p.rank != "" || l.excepted(p) {
			continue
		}
		member, err := l.net.conn.br.Matrix.GetMemberInfo(ctx, portal.MXID, user)
		if err != nil {
			return err
		}
		if delete(l.scene.people, user); member == nil || member.Membership != "join" {
			continue
		}
		if err := host.Ban(ctx, portal.MXID, user, "banned on IRC", strings.Join(by, markSeparator)); err != nil && !isFinal(err) {
			return err
		}
	}
	if !l.scene.recheck {
		return nil
	}
	bans, err := host.Bans(ctx, portal.MXID)
	if err != nil {
		return err
	}
	for user, mark := range bans {
		if l.isBanned(mark) {
			continue
		}
		if err := host.Unban(ctx, portal.MXID, user, "unbanned on IRC"); err != nil && !isFinal(err) {
			return err
		}
	}
	l.scene.lifted = nil
	return nil
}

// markSeparator is between the entries in the mark of a ban; it is in no mask.
const markSeparator = ","

// isBanned reports whether one of the entries that somebody was banned by is still there.
func (l *lane) isBanned(mark string) bool {
	for who := range strings.SplitSeq(mark, markSeparator) {
		if slices.Contains(l.scene.lists[banEntry], who) ||
			!l.scene.listKnown[banEntry] && !slices.Contains(l.scene.lifted, who) {
			return true
		}
	}
	return false
}
