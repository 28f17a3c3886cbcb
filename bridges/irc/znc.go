package irc

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// A ZNC with the module playback keeps what was said on its channels, and tells it again when it is asked: PRIVMSG *playback
// :PLAY #channel, and since when. The answer is a batch, or nothing where nothing was said, so that a PING behind the question tells
// its end. ZNC gives no identities; those that lines get here are made of what they are, so that a line is the same one when it comes again.

const (
	playbackCap = "znc.in/playback"
	// playbackPing begins the tokens of the PINGs.
	playbackPing = "playback-"
	// madePrefix begins an identity that is made here. It is no network's: nobody else knows it.
	madePrefix = " znc "
)

// wantsPlayback is whether the bouncer offers what its playback rests on, and there is no history.
func (c *client) wantsPlayback() bool {
	_, batch := c.caps.offered["batch"]
	_, times := c.caps.offered["server-time"]
	return batch && times && !c.wantsHistory()
}

func (c *client) hasPlayback() bool {
	return c.has(playbackCap) && c.has("batch") && c.has("server-time") && !c.hasHistory()
}

// tellsPast reports whether there is somebody to ask for what was said in our absence.
func (c *client) tellsPast() bool { return c.hasHistory() || c.hasPlayback() }

// pastBatch is the kind of batch in which it is told.
func (c *client) pastBatch() string {
	if c.hasPlayback() {
		return playbackCap
	}
	return historyBatch
}

// askPlay is askPage for ZNC, which tells all at once.
func (c *client) askPlay(h *history) {
	c.playbacks++
	h.token = playbackPing + strconv.FormatUint(c.playbacks, 10)
	// A moment earlier, as several lines may be of one time.
	since := h.since.Add(-time.Millisecond).UnixMilli()
	line := c.commandLine("PRIVMSG", "*playback", "PLAY "+h.m.name+" "+
		strconv.FormatInt(since/1000, 10)+"."+strconv.FormatInt(1000+since%1000, 10)[1:])
	c.queue = append(c.queue, entry{line: line, more: []string{"PING :" + h.token}, asks: h})
}

// passOn delivers what ZNC has told so far when it is much, and nothing of what is too much.
func (c *client) passOn(h *history) {
	if h.token == "" || len(h.items) < historyPage {
		return
	}
	if h.lines <= h.max {
		h.took(h)
	}
	h.items = nil
}

// played ends a question to ZNC.
func (c *client) played(token string) {
	for _, h := range c.histories {
		if h.token == "" || h.token != token {
			continue
		}
		c.closeHistory(h)
		end := complete
		if h.lines > h.max {
			h.items, end = nil, truncated
		}
		h.took(h)
		c.endHistory(h, end)
		return
	}
}

// nameLine gives a line that a ZNC says an identity, unless it has one.
func (c *client) nameLine(m *message) {
	if m.Command != "PRIVMSG" && m.Command != "NOTICE" || len(m.Params) < 2 || !c.hasPlayback() || msgID(*m) != "" {
		return
	}
	_, at := m.GetTag("time")
	if at == "" {
		return
	}
	_, ref := m.GetTag("batch")
	same := &c.sameTime
	if h := c.historyWith(ref); h != nil {
		same = &h.sameTime
	}
	fold := c.net.ids.fold.Fold
	sum := sha256.Sum256([]byte(strings.Join([]string{at, fold(m.Nick()), m.Command, fold(m.Params[0]), m.Params[1]}, "\x00")))
	text := base64.RawURLEncoding.EncodeToString(sum[:16])
	if n := same.count(at, text); n > 1 {
		text += "-" + strconv.Itoa(n)
	}
	m.SetTag("msgid", madePrefix+text)
}

// isMade reports whether an identity is one of ours.
func isMade(id string) bool { return strings.HasPrefix(id, madePrefix) }

// sameTime tells lines apart that are the same at one time.
type sameTime struct {
	at    string
	times map[string]int
}

// count is the how manieth a line is.
func (s *sameTime) count(at, line string) int {
	if s.at != at || s.times == nil {
		s.at, s.times = at, map[string]int{}
	}
	s.times[line]++
	return s.times[line]
}
