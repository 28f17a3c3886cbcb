package irc

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// historyPage is how many lines are asked for at once, where the network allows that many.
	historyPage = 100
	// historyTimeout is how long a server may take for one page.
	historyTimeout = 20 * time.Second
	// historyBatch is the kind of the batch that an answer is.
	historyBatch = "chathistory"
	// maxInnerBatches bounds the batches that are open in an answer.
	maxInnerBatches = 64
)

// historySupport is what a connection knows about CHATHISTORY. IRCv3, "chathistory", ISUPPORT tokens.
type historySupport struct {
	limit int  // lines that may be asked for at once; 0 is no limit
	times bool // only times serve as references
}

// learn takes a token of RPL_ISUPPORT.
func (h *historySupport) learn(token string) {
	if value, ok := strings.CutPrefix(token, "CHATHISTORY="); ok {
		h.limit, _ = strconv.Atoi(value)
	}
	if value, ok := strings.CutPrefix(token, "MSGREFTYPES="); ok {
		h.times = !strings.Contains(","+value+",", ",msgid,")
	}
}

func (h historySupport) page() int {
	if h.limit > 0 && h.limit < historyPage {
		return h.limit
	}
	return historyPage
}

// wantsHistory is whether the network offers what the history of a channel rests on: an answer that can be told from what is
// said now, with identities and times.
func (c *client) wantsHistory() bool {
	for _, name := range []string{"batch", "message-tags", "server-time", "draft/chathistory"} {
		if _, ok := c.caps.offered[name]; !ok {
			return false
		}
	}
	return true
}

func (c *client) hasHistory() bool {
	return c.has("draft/chathistory") && c.has("batch") && c.has("message-tags") && c.has("server-time")
}

// history is a question for what was said in a channel after some point, which is asked page by page.
type history struct {
	m *membership
	// after is the line after which to begin, and since its time, for servers that do not know the line.
	after string
	since time.Time
	max   int // lines, beyond which it ends

	took   func(h *history)            // after each page
	enough func(h *history) bool       // whether further pages are not wanted
	done   func(h *history, end pages) // once, after the last one; not when the connection breaks

	root     string            // the batch of the page, once it has begun
	inner    map[string]string // kinds of the batches in it, "" for those that came before
	deadline time.Time         // from when the question is written
	timed    bool              // the question is by time
	token    string            // of the PING behind a question to ZNC
	sameTime sameTime          // of its answer
	lines    int               // new lines of the page
	total    int
	ids      map[string]bool
	lastAt   time.Time
	items    []item    // what people see of the page
	own      []ownLine // what we said ourselves
}

// pages is how a question ends.
type pages int

const (
	complete  pages = iota
	truncated       // there is more than wanted
	unknown         // the server does not answer it
)

// askHistory sends the question for the first page, after what was asked about the channel before.
func (c *client) askHistory(h *history) {
	h.ids = map[string]bool{}
	h.m.histories = append(h.m.histories, h)
	if len(h.m.histories) == 1 {
		c.askPage(h)
	}
}

// askPage sends the question. A reference by time begins a moment earlier, since several lines may be of one time; what comes
// again is not counted.
func (c *client) askPage(h *history) {
	ref := "msgid=" + h.after
	if h.timed = h.after == "" || c.historySupport.times; h.timed {
		ref = "timestamp=" + h.since.Add(-time.Millisecond).UTC().Format(serverTime)
	}
	h.lines, h.items, h.root, h.inner = 0, nil, "", map[string]string{}
	h.deadline = time.Time{}
	c.histories = append(c.histories, h)
	if c.hasPlayback() {
		c.askPlay(h)
		return
	}
	line := c.commandLine("CHATHISTORY", "AFTER", h.m.name, ref, strconv.Itoa(c.historySupport.page()))
	c.queue = append(c.queue, entry{line: line, asks: h})
}

// endHistory ends a question and asks the next about the channel.
func (c *client) endHistory(h *history, end pages) {
	h.m.histories = h.m.histories[1:]
	h.done(h, end)
	if len(h.m.histories) > 0 {
		c.askPage(h.m.histories[0])
	}
}

// closeHistory takes a question off those that are open.
func (c *client) closeHistory(h *history) {
	c.histories = slices.DeleteFunc(c.histories, func(open *history) bool { return open == h })
}

// dropHistory forgets all questions, because the connection has ended.
func (c *client) dropHistory() {
	c.histories = nil
	for _, m := range c.channels {
		m.histories, m.unready, m.reconciling, m.ownSince = nil, false, false, time.Time{}
	}
}

// expireHistory ends the questions that the server has not answered.
func (c *client) expireHistory(now time.Time) {
	for _, h := range slices.Clone(c.histories) {
		if h.deadline.IsZero() || now.Before(h.deadline) {
			continue
		}
		if c.keeping.held && len(h.m.ch.lane.items) > 0 {
			h.deadline = now.Add(historyTimeout) // the holder reads on when the room has taken what it was told
			continue
		}
		c.log.Warn().Str("channel", h.m.name).Msg("the server does not answer a question for the history")
		c.strayFrom(h)
		c.closeHistory(h)
		c.endHistory(h, unknown)
	}
}

// inHistory takes what belongs to the answer to a question: BATCH +ref chathistory channel, the lines in it and in batches in
// it, the end of it, and FAIL.
func (c *client) inHistory(m message) bool {
	switch {
	case len(c.histories) == 0:
		return false
	case m.Command == "FAIL":
		return c.onHistoryFail(m)
	case m.Command == "BATCH" && len(m.Params) > 0 && len(m.Params[0]) > 1:
		return c.onHistoryBatch(m, m.Params[0][1:])
	}
	_, ref := m.GetTag("batch")
	h := c.historyWith(ref)
	if h == nil {
		return false
	}
	c.replayLine(h, m)
	return true
}

// historyWith is the question to whose answer a batch belongs.
func (c *client) historyWith(ref string) *history {
	for _, h := range c.histories {
		if _, inner := h.inner[ref]; ref != "" && (h.root == ref || inner) {
			return h
		}
	}
	return nil
}

func (c *client) onHistoryBatch(m message, ref string) bool {
	_, outer := m.GetTag("batch")
	begins := m.Params[0][0] == '+'
	h := c.historyWith(outer)
	if !begins {
		h = c.historyWith(ref)
	}
	switch {
	case h == nil && begins:
		return c.beginPage(m, ref)
	case h == nil:
		return false
	case !begins && ref == h.root && h.token != "":
		h.root = ""
		return true
	case !begins && ref == h.root:
		c.endPage(h)
		return true
	case begins && (len(h.inner) >= maxInnerBatches || len(m.Params) < 2):
		return true
	case begins:
		h.inner[ref] = m.Params[1]
		if whole[m.Params[1]] != nil && !c.countLine(h, m) {
			h.inner[ref] = ""
		}
	}
	if h.inner[ref] != "" {
		c.replaying(h, func() { c.dispatch(m) })
	}
	if !begins {
		delete(h.inner, ref)
	}
	return true
}

// beginPage is the beginning of an answer.
func (c *client) beginPage(m message, ref string) bool {
	if len(m.Params) < 3 || m.Params[1] != c.pastBatch() || c.keeping.before != "" {
		return false
	}
	key := c.net.ids.fold.Fold(m.Params[2])
	for _, h := range c.histories {
		if h.m.key == key && h.root == "" {
			h.root = ref
			return true
		}
	}
	return false
}

// endPage goes on with the next page. The answers are complete when there is nothing new, or enough.
func (c *client) endPage(h *history) {
	c.closeHistory(h)
	h.total += h.lines
	h.took(h)
	switch {
	case h.lines == 0, h.enough(h):
		c.endHistory(h, complete)
	case h.total >= h.max:
		c.endHistory(h, truncated)
	default:
		c.askPage(h)
	}
}

// onHistoryFail is the answer to a question that the server cannot take. It may not know the line any more; then the time
// serves.
func (c *client) onHistoryFail(m message) bool {
	if len(m.Params) < 2 || m.Params[0] != "CHATHISTORY" {
		return false
	}
	if c.keeping.before != "" {
		return true
	}
	h := c.histories[0]
	for _, open := range c.histories {
		for _, p := range m.Params[2:] {
			if c.net.ids.fold.Fold(p) == open.m.key {
				h = open
			}
		}
	}
	c.closeHistory(h)
	if !h.timed && !h.since.IsZero() {
		h.after = ""
		c.askPage(h)
		return true
	}
	c.log.Warn().Str("channel", h.m.name).Str("code", m.Params[1]).Msg("the server does not tell the history")
	c.endHistory(h, unknown)
	return true
}
