package irc

import "strings"

const (
	// maxBatches bounds the batches that a server may leave open.
	maxBatches = 64
	// maxBatchLines and maxBatchBytes bound what is kept of one; the rest of it is left out.
	maxBatchLines = 512
	maxBatchBytes = 64 << 10
)

// batches are those of the server that have not ended, by reference. IRCv3, "batch".
type batches map[string]*batch

// batch is what belongs together.
type batch struct {
	open   message // its first line
	kind   string
	params []string
	lines  []message // of the kinds that are taken as a whole
	bytes  int
}

// whole are the kinds of batches whose lines are kept until the end, with what is done then.
var whole = map[string]func(c *client, b *batch){
	"draft/multiline": (*client).onMultiline,
}

// onBatch begins or ends a batch.
func (c *client) onBatch(m message) {
	sign, ref := m.Params[0][:min(1, len(m.Params[0]))], strings.TrimLeft(m.Params[0], "+-")
	switch sign {
	case "+":
		if len(m.Params) < 2 || len(c.batches) >= maxBatches {
			return
		}
		if c.batches == nil {
			c.batches = batches{}
		}
		c.batches[ref] = &batch{open: m, kind: m.Params[1], params: m.Params[2:]}
	case "-":
		b := c.batches[ref]
		if b == nil {
			return
		}
		label := c.batches.label(ref)
		delete(c.batches, ref)
		if take := whole[b.kind]; take != nil {
			take(c, b)
		}
		if l, ok := c.labels[label]; ok && b.kind == "labeled-response" {
			c.settle(b.open, l)
		}
	}
}

// collect keeps a line that belongs to a batch that is taken as a whole, and reports whether it is one.
func (c *client) collect(m message) bool {
	_, ref := m.GetTag("batch")
	b := c.batches[ref]
	if b == nil || whole[b.kind] == nil || m.Command == "BATCH" {
		return false
	}
	size := len(last(m))
	if len(b.lines) < maxBatchLines && b.bytes+size <= maxBatchBytes {
		b.lines = append(b.lines, m)
		b.bytes += size
	}
	return true
}

// label is that of a batch or of the one it is in.
func (bs batches) label(ref string) string {
	for range maxBatches {
		b := bs[ref]
		if b == nil {
			return ""
		}
		if _, label := b.open.GetTag("label"); label != "" {
			return label
		}
		_, ref = b.open.GetTag("batch")
	}
	return ""
}
