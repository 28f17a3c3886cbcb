package irc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ergochat/irc-go/ircmsg"
)

// labels are the lines of ours that a server will answer by name. IRCv3, "labeled-response": each answer carries the
// label of its line, so that an error is of exactly that line, and an echo tells what identity it has got.
type labels map[string]labelled

type labelled struct {
	send *send
	line int
}

// receipts is what servers have said about the lines of a send.
type receipts struct {
	texts    []string // of the lines, as an echo without label shows them
	ids      []string // identities of the lines, where known
	labels   []string
	answered int // lines with an answer
	echoed   int // lines whose echo came without a label
}

// msgIDs are the identities that the lines have got, in order.
func (s *send) msgIDs() []string {
	list := slices.Clone(s.found)
	for _, id := range s.ids {
		if id != "" {
			list = append(list, id)
		}
	}
	return list
}

// wantsLabels is whether labels are of use: an answer of several lines comes as a batch.
func (c *client) wantsLabels() bool {
	_, batch := c.caps.offered["batch"]
	return batch
}

// label gives the lines of a send their labels.
func (c *client) label(s *send, entries []entry) {
	s.receipts = receipts{ids: make([]string, len(entries))}
	for i := range entries {
		e := &entries[i]
		e.send = s
		s.texts = append(s.texts, e.text)
		if !c.has("labeled-response") {
			continue
		}
		c.labelCount++
		name := "cw" + strconv.FormatUint(c.labelCount, 36)
		if c.labels == nil {
			c.labels = labels{}
		}
		c.labels[name] = labelled{s, i}
		s.labels = append(s.labels, name)
		e.line = withTags(e.line, "label", name)
	}
}

// forget drops the labels of a send.
func (l labels) forget(s *send) {
	for _, name := range s.labels {
		delete(l, name)
	}
}

// withTags puts tags before a line that may have some.
func withTags(line string, pairs ...string) string {
	var tags []string
	for i := 0; i+1 < len(pairs); i += 2 {
		tag := pairs[i]
		if pairs[i+1] != "" {
			tag += "=" + ircmsg.EscapeTagValue(pairs[i+1])
		}
		tags = append(tags, tag)
	}
	if len(tags) == 0 {
		return line
	}
	if rest, ok := strings.CutPrefix(line, "@"); ok {
		return "@" + strings.Join(tags, ";") + ";" + rest
	}
	return "@" + strings.Join(tags, ";") + " " + line
}

// labelOf is the label of a line, its own or that of the batch it is in.
func (c *client) labelOf(m message) string {
	if _, label := m.GetTag("label"); label != "" {
		return label
	}
	_, ref := m.GetTag("batch")
	return c.batches.label(ref)
}

// answerTo is the line of ours that a line of the server answers.
func (c *client) answerTo(m message) (labelled, bool) {
	if m.Command == "BATCH" {
		return labelled{}, false
	}
	l, ok := c.labels[c.labelOf(m)]
	return l, ok
}

// answered takes the answer to a line of ours, and reports whether that is all there is to it.
func (c *client) answered(m message, l labelled) bool {
	switch {
	case isError(m):
		l.send.failed++
		l.send.err = failure("%s says: %s", c.net.name, last(m))
		if l.send.total > 1 {
			l.send.err = failure("%s says of line %d of %d: %s", c.net.name, l.line+1, l.send.total, last(m))
		}
		c.noteRefusal(l.send.key, m)
		c.settle(m, l)
		return true
	case m.Command == "ACK", m.Command == "PRIVMSG", m.Command == "NOTICE", m.Command == "TAGMSG":
		c.settle(m, l)
		return true
	}
	return false // a change of state, which concerns everybody; see carriedOut
}

// carriedOut settles a line whose answer was a change of state or a piece of information, when that has been taken note of:
// whoever waits for it looks at the state. What comes in a batch is all there at its end.
func (c *client) carriedOut(m message, l labelled) {
	_, label := m.GetTag("label")
	if _, open := c.labels[label]; open {
		c.settle(m, l)
	}
}

// isError reports whether a line is a server's no.
func isError(m message) bool {
	return m.Command == "FAIL" || len(m.Command) == 3 && (m.Command[0] == '4' || m.Command[0] == '5')
}

// settle notes that a line is answered, and finishes the messages of which all lines are.
func (c *client) settle(m message, l labelled) {
	if id := msgID(m); id != "" {
		l.send.ids[l.line] = id
	}
	delete(c.labels, l.send.labels[l.line])
	l.send.answered++
	for len(c.unacked) > 0 && c.unacked[0].answered == c.unacked[0].total && c.unacked[0].written == c.unacked[0].total {
		c.finish()
	}
}

// echo takes a line of our own that comes back without a label: the first of that text that is on its way to the target.
// IRCv3, "echo-message". It reports whether there is one.
func (c *client) echo(m message) bool {
	key, text := c.net.ids.fold.Fold(m.Params[0]), stripCodes(last(m))
	for _, s := range c.unacked {
		if s.key != key || s.verb != m.Command {
			continue
		}
		for i := s.echoed; i < len(s.texts) && i < s.written; i++ {
			if stripCodes(s.texts[i]) == text {
				s.ids[i], s.echoed = msgID(m), i+1
				return true
			}
		}
	}
	return false
}
