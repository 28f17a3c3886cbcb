package push

import (
	"causeway/homeserver/event"
)

// matches tells of a default rule whether an event is as it wants: for nobody, for everybody, or by what its personal condition says.
type matches int

const (
	nobody matches = iota
	everybody
	some
)

// bench judges one event by the rules of one person after the other.
type bench struct {
	*facts
	book *book
	// defaults are the default rules, by their places in the book, with the event put to what they have in common for everybody.
	defaults [ranks][]matches
	left     int // of maxEventSteps
}

func newBench(f *facts, b *book) (*bench, error) {
	j := &bench{facts: f, book: b, left: maxEventSteps}
	f.steps = maxSteps
	for at, tests := range b.tests {
		all := make([]matches, len(tests))
		for i, rule := range tests {
			if rule.legacy && f.mentions() {
				continue
			}
			yes, err := f.all(rule.shared, nil)
			switch {
			case err != nil:
				return nil, err
			case yes && rule.personal != nil:
				all[i] = some
			case yes:
				all[i] = everybody
			}
		}
		j.defaults[at] = all
	}
	return j, nil
}

// all tells whether all of the conditions hold.
func (f *facts) all(tests []test, p *person) (bool, error) {
	for _, t := range tests {
		if f.steps <= 0 {
			return false, nil
		}
		if yes, err := t(f, p); err != nil || !yes {
			return false, err
		}
	}
	return f.steps > 0, nil
}

// judge returns what a person's rules make of the event; c is nil for one who has changed none. The kinds of rules, in their order, are
// those of Client-Server API, Push Rules; the default rules come after the user's own, but for the master rule.
func (j *bench) judge(p *person, c *compiled) (verdict, error) {
	allowed := min(maxSteps, j.left)
	j.steps = allowed
	defer func() { j.left -= allowed - j.steps }()
	if c == nil {
		return j.judgePlain(p)
	}
	if c.ignored[j.event.Sender] {
		return verdict{}, nil
	}
	if master := c.defaults[rankOverride][0]; master.on {
		return master.verdict, nil
	}
	for at := range ranks {
		var (
			v     verdict
			found bool
		)
		switch at {
		case rankRoom:
			v, found = c.rooms[j.event.RoomID]
		case rankSender:
			v, found = c.senders[j.event.Sender]
		default:
			var err error
			if v, found, err = j.judgeKind(p, at, c); err != nil {
				return v, err
			}
		}
		if found {
			return v, nil
		}
	}
	return verdict{}, nil
}

func (j *bench) judgeKind(p *person, at rank, c *compiled) (verdict, bool, error) {
	for i := range c.own[at] {
		rule := &c.own[at][i]
		if yes, err := j.all(rule.tests, p); err != nil || yes {
			return rule.verdict, yes, err
		}
	}
	for i := range c.defaults[at] {
		rule := &c.defaults[at][i]
		if !rule.on {
			continue
		}
		if yes, err := j.byDefault(at, i, p); err != nil || yes {
			return rule.verdict, yes, err
		}
	}
	return verdict{}, false, nil
}

// judgePlain judges for a person who has the default rules; nil is one whom no personal condition is about.
func (j *bench) judgePlain(p *person) (verdict, error) {
	for at := range ranks {
		for i := range j.book.tests[at] {
			rule := &j.book.tests[at][i]
			if !rule.plain.on {
				continue
			}
			if yes, err := j.byDefault(at, i, p); err != nil || yes {
				return rule.plain.verdict, err
			}
		}
	}
	return verdict{}, nil
}

// byDefault tells whether a default rule matches.
func (j *bench) byDefault(at rank, i int, p *person) (bool, error) {
	switch j.defaults[at][i] {
	case everybody:
		return true, nil
	case some:
		if t := &j.book.tests[at][i]; p != nil || t.others {
			return t.personal(j.facts, p)
		}
	}
	return false, nil
}

// concerned returns those people in the room whom a personal condition of a default rule may be about. The others with the default rules
// are all of one outcome.
func (j *bench) concerned() (map[int64]bool, error) {
	found := make(map[int64]bool)
	people := j.roster.people
	if j.event.StateKey != nil {
		if at, is := people.at(*j.event.StateKey); is {
			found[people.list[at].nid] = true
		}
	}
	for user := range j.mentioned() {
		if at, is := people.at(user); is {
			found[people.list[at].nid] = true
		}
	}
	if j.book.threads {
		thread, err := j.thread()
		if err != nil {
			return nil, err
		}
		for nid := range thread.followers {
			found[nid] = true
		}
	}
	return found, j.guess(found)
}

// guess adds those whom the legacy rules find in the text.
func (j *bench) guess(found map[int64]bool) error {
	for at, tests := range j.book.tests {
		for i, rule := range tests {
			if !rule.legacy || j.defaults[at][i] != some {
				continue
			}
			if err := j.roster.learnNames(j.tx, j.event.RoomNID); err != nil {
				return err
			}
			for k := range j.roster.people.list {
				p := &j.roster.people.list[k]
				j.steps = maxSteps
				yes, err := rule.personal(j.facts, p)
				if err != nil {
					return err
				}
				if yes {
					found[p.nid] = true
				}
			}
		}
	}
	return nil
}

var mentionedPath = newPath(`content.m\.mentions.user_ids`)

// mentioned returns the users whom the event says that it mentions.
func (f *facts) mentioned() map[string]bool {
	if f.users == nil {
		f.users = make(map[string]bool)
		if list := f.value(mentionedPath); len(list) > 0 && list[0] == '[' {
			for user := range event.Elements(list) {
				if text, is := event.Text(user); is {
					f.users[text] = true
				}
			}
		}
	}
	return f.users
}
