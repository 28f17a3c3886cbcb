package irc

// isStray reports whether a line is of an answer about the past that nobody waits for: it has come too late, or a process before
// has asked for it, whose successor asks again. It is left out: taken for what happens now, it would move people, and throw
// us out of channels, once more. A network without questions for its history may tell of it as it likes.
func (c *client) isStray(m message) bool {
	_, outer := m.GetTag("batch")
	if outer == "" || !c.tellsPast() {
		return false
	}
	switch b := c.batches[outer]; {
	case b == nil && c.keeping.before == "" || b != nil && b.kind != c.pastBatch():
		return false
	case b == nil && msgID(m) == "" && (m.Command == "PRIVMSG" || m.Command == "NOTICE"):
		return false // a piece of a text of several lines; the process before has had its beginning
	}
	if m.Command == "BATCH" && len(m.Params) > 0 && len(m.Params[0]) > 1 && m.Params[0][0] == '+' {
		c.stray(m.Params[0][1:])
	}
	return true
}

// stray has the lines of a batch left out.
func (c *client) stray(ref string) {
	if c.batches == nil {
		c.batches = batches{}
	}
	if _, open := c.batches[ref]; open || len(c.batches) < maxBatches {
		c.batches[ref] = &batch{kind: c.pastBatch()}
	}
}

// strayFrom has the rest of an answer left out.
func (c *client) strayFrom(h *history) {
	if h.root == "" {
		return
	}
	c.stray(h.root)
	for ref := range h.inner {
		c.stray(ref)
	}
}
