package irc

import (
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// editMark begins a line that stands for an earlier one.
	editMark = "* "
	// maxSubstitution is how much of a line s/old/new/ may be about.
	maxSubstitution = 60
	// maxEditWaits is how many windows an edit waits at most while further ones come.
	maxEditWaits = 5
	// maxEdits is the number of messages of which edits wait.
	maxEdits = 50
)

// pendingEdits are the edits that wait for further ones of the same message.
type pendingEdits []*pendingEdit

type pendingEdit struct {
	send       *send
	key        string // of the channel
	target     networkid.MessageID
	begun, due time.Time
}

// editRequest is an edit; its send has all lines of the new text.
type editRequest struct {
	send   *send
	target networkid.MessageID
}

// apply lets the edit wait. One that waits already is finished by it.
func (r editRequest) apply(c *client) {
	now, window := time.Now(), c.net.cfg.Content.EditWindow
	e := &pendingEdit{send: r.send, key: c.net.ids.fold.Fold(r.send.channel), target: r.target, begun: now, due: now.Add(window)}
	if i := slices.IndexFunc(c.edits, func(x *pendingEdit) bool { return x.target == r.target }); i >= 0 {
		e.begun = c.edits[i].begun
		if last := e.begun.Add(maxEditWaits * window); e.due.After(last) {
			e.due = last
		}
		c.edits[i].send.superseded = true
		c.edits[i].send.done(nil)
		c.edits = slices.Delete(c.edits, i, i+1)
	}
	c.edits = append(c.edits, e)
	if c.goodbye || len(c.edits) > maxEdits {
		c.sendEdits(func(*pendingEdit) bool { return true })
	}
}

// sendEdits sends those of the edits that have waited enough.
func (c *client) sendEdits(ready func(e *pendingEdit) bool) {
	var now []*pendingEdit
	c.edits = slices.DeleteFunc(c.edits, func(e *pendingEdit) bool {
		if ready(e) {
			now = append(now, e)
			return true
		}
		return false
	})
	for _, e := range now {
		before, known := c.net.recent.get(e.target)
		if e.send.lines = editLines(before.lines, e.send.lines, known); len(e.send.lines) == 0 {
			e.send.done(nil)
			continue
		}
		e.send.queue(c)
	}
}

// editLines says on IRC what has changed between two texts: the first without codes, the second with them. When the first is
// not known, it is the whole of the second.
func editLines(before, after []string, known bool) []string {
	plain := make([]string, len(after))
	for i, line := range after {
		plain[i] = stripCodes(line)
	}
	from, to := 0, len(after)
	if known {
		if slices.Equal(before, plain) {
			return nil // only the looks
		}
		if len(before) == 1 && len(plain) == 1 {
			if short := substitution(before[0], plain[0]); short != "" {
				return []string{short}
			}
		}
		for from < min(len(before), len(plain)) && before[from] == plain[from] {
			from++
		}
		for n := len(before); to > from && n > from && before[n-1] == plain[to-1]; n-- {
			to--
		}
		if from == to { // lines were only taken out
			from, to = 0, len(after)
		}
	}
	var lines []string
	for _, line := range after[from:to] {
		if strings.TrimSpace(stripCodes(line)) == "" {
			continue
		}
		if known || len(lines) == 0 {
			line = editMark + line
		}
		lines = append(lines, line)
	}
	return lines
}

// substitution is s/old/new/ for a change of one place, in whole words, or "" when that would be long, or not clear.
func substitution(before, after string) string {
	old, now := strings.Split(before, " "), strings.Split(after, " ")
	from := 0
	for from < min(len(old), len(now)) && old[from] == now[from] {
		from++
	}
	to := 0
	for to < min(len(old), len(now))-from && old[len(old)-1-to] == now[len(now)-1-to] {
		to++
	}
	if from == len(old)-to { // words were only put in: the one before or after says where
		switch {
		case from > 0:
			from--
		case to > 0:
			to--
		}
	}
	out, in := strings.Join(old[from:len(old)-to], " "), strings.Join(now[from:len(now)-to], " ")
	short := "s/" + out + "/" + in + "/"
	if strings.TrimSpace(out) == "" || len(short) > maxSubstitution || len(short) >= len(editMark+after) ||
		strings.ContainsAny(out+in, "/\\") || strings.Count(before, out) != 1 {
		return ""
	}
	return short
}
