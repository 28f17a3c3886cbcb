package irc

import (
	"strconv"
	"strings"
)

const (
	// maxModesPerLine is how many changes with an argument a server takes in one line that does not say. RFC 1459, 4.2.3.1.
	maxModesPerLine = 3
	// mostModesPerLine bounds what it may say.
	mostModesPerLine = 20
	// maxTokenBytes bounds the value of a token.
	maxTokenBytes = 400
)

// isupport is what a server says about itself in RPL_ISUPPORT, as far as somebody asks for it; what it does not say
// is as in RFC 1459 and RFC 2811.
type isupport struct {
	ranks string // the modes of rank, the highest first: "ov"
	signs string // what stands for them before a nick: "@+"
	// The modes of a channel by the kind of their argument (CHANMODES): A is a list, B always has one, C has one
	// when set, D never has one.
	lists, always, whenSet, flags string

	channelTypes string
	statusMsg    string // signs before the name of a channel, as announced
	perLine      int    // changes with an argument in one MODE
	nickLen      int    // these are 0 where they are not limited
	topicLen     int
	kickLen      int
	awayLen      int
	keyLen       int
	extbanSign   string // "$", "~" or ""
	extbans      string // its letters
	network      string
	casemapping  string
	excepts      byte // list of exceptions from bans, 0 for none
	monitor      int  // how many nicks may be watched; 0 where there is no MONITOR
	hasMonitor   bool
	whox         bool
	utf8Only     bool
	maxList      map[byte]int // by mode
}

func newISupport() isupport {
	return isupport{
		ranks: "ov", signs: "@+", lists: "b", always: "k", whenSet: "l", flags: "imnpst",
		channelTypes: channelPrefixes, perLine: maxModesPerLine,
	}
}

// isupportTokens takes a token's value; a row for each that we know.
var isupportTokens = map[string]func(s *isupport, value string){
	"PREFIX":      (*isupport).takePrefix,
	"CHANMODES":   (*isupport).takeChanModes,
	"CHANTYPES":   func(s *isupport, v string) { s.channelTypes = v },
	"STATUSMSG":   func(s *isupport, v string) { s.statusMsg = v },
	"MODES":       (*isupport).takeModes,
	"NICKLEN":     func(s *isupport, v string) { s.nickLen = length(v) },
	"TOPICLEN":    func(s *isupport, v string) { s.topicLen = length(v) },
	"KICKLEN":     func(s *isupport, v string) { s.kickLen = length(v) },
	"AWAYLEN":     func(s *isupport, v string) { s.awayLen = length(v) },
	"KEYLEN":      func(s *isupport, v string) { s.keyLen = length(v) },
	"EXTBAN":      func(s *isupport, v string) { s.extbanSign, s.extbans, _ = strings.Cut(v, ",") },
	"NETWORK":     func(s *isupport, v string) { s.network = plainText(v) },
	"CASEMAPPING": func(s *isupport, v string) { s.casemapping = v },
	"MAXLIST":     (*isupport).takeMaxList,
	"EXCEPTS":     func(s *isupport, v string) { s.excepts = (v + "e")[0] },
	"MONITOR":     func(s *isupport, v string) { s.monitor, s.hasMonitor = length(v), true },
	"WHOX":        func(s *isupport, _ string) { s.whox = true },
	"UTF8ONLY":    func(s *isupport, _ string) { s.utf8Only = true },
}

// take learns one token: NAME=value, NAME, or -NAME for what holds no longer.
func (s *isupport) take(token string) {
	name, value, _ := strings.Cut(token, "=")
	if name, gone := strings.CutPrefix(name, "-"); gone {
		if row, known := isupportTokens[name]; known && name != "EXCEPTS" && name != "MONITOR" && name != "WHOX" && name != "UTF8ONLY" {
			fresh := newISupport()
			row(s, fresh.standard(name))
		}
		return
	}
	if row, known := isupportTokens[name]; known && len(value) <= maxTokenBytes {
		row(s, unescapeToken(value))
	}
}

// standard is the value that a token has for a server that does not send it.
func (s *isupport) standard(name string) string {
	switch name {
	case "PREFIX":
		return "(" + s.ranks + ")" + s.signs
	case "CHANMODES":
		return strings.Join([]string{s.lists, s.always, s.whenSet, s.flags}, ",")
	case "CHANTYPES":
		return s.channelTypes
	case "MODES":
		return strconv.Itoa(s.perLine)
	}
	return ""
}

// unescapeToken undoes \xHH, which stands for a byte that a token cannot hold.
func unescapeToken(value string) string {
	if !strings.Contains(value, `\x`) {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if i+3 < len(value) && value[i:i+2] == `\x` {
			if c, err := strconv.ParseUint(value[i+2:i+4], 16, 8); err == nil && c >= ' ' {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

// length reads a limit; what is none does not limit.
func length(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// takePrefix reads "(ov)@+". A server without ranks says nothing.
func (s *isupport) takePrefix(value string) {
	modes, signs, ok := strings.Cut(strings.TrimPrefix(value, "("), ")")
	if value == "" || ok && len(modes) == len(signs) {
		s.ranks, s.signs = modes, signs
	}
}

func (s *isupport) takeChanModes(value string) {
	kinds := strings.Split(value, ",")
	if len(kinds) >= 4 { // a server may have more kinds, which nobody knows
		s.lists, s.always, s.whenSet, s.flags = kinds[0], kinds[1], kinds[2], kinds[3]
	}
}

// takeModes reads how many changes a line may have; without a number there is no limit.
func (s *isupport) takeModes(value string) {
	s.perLine = mostModesPerLine
	if n := length(value); n > 0 {
		s.perLine = min(n, mostModesPerLine)
	}
}

// takeMaxList reads "beI:100,q:50".
func (s *isupport) takeMaxList(value string) {
	s.maxList = map[byte]int{}
	for part := range strings.SplitSeq(value, ",") {
		modes, limit, _ := strings.Cut(part, ":")
		for i := range len(modes) {
			s.maxList[modes[i]] = length(limit)
		}
	}
}

// isChannel reports whether a target is a channel on this server.
func (s *isupport) isChannel(target string) bool {
	return target != "" && strings.Contains(s.channelTypes, target[:1])
}

// rankOf reads the signs before a nick as modes of rank, the highest first.
func (s *isupport) rankOf(name string) (rank, nick string) {
	for name != "" {
		at := strings.IndexByte(s.signs, name[0])
		if at < 0 {
			break
		}
		rank, name = rank+s.ranks[at:at+1], name[1:]
	}
	return s.sortRank(rank), name
}

// sortRank puts modes of rank in order, each once.
func (s *isupport) sortRank(rank string) string {
	sorted := make([]byte, 0, len(rank))
	for i := range len(s.ranks) {
		if strings.IndexByte(rank, s.ranks[i]) >= 0 {
			sorted = append(sorted, s.ranks[i])
		}
	}
	return string(sorted)
}

// change is one mode of a MODE line.
type change struct {
	on   bool
	mode byte
	arg  string
	rank bool // arg is a nick
	list bool // arg is an entry of a list
}

// maxChanges bounds what is read of one line.
const maxChanges = 64

// parseModes takes the parameters of MODE apart after the name of the channel: "+ov-k", "carol", "dave", "key".
func (s *isupport) parseModes(params []string) []change {
	if len(params) == 0 {
		return nil
	}
	var list []change
	on, args := true, params[1:]
	for i := 0; i < len(params[0]) && len(list) < maxChanges; i++ {
		c := change{on: on, mode: params[0][i]}
		if c.mode == '+' || c.mode == '-' {
			on = c.mode == '+'
			continue
		}
		has := func(modes string) bool { return strings.IndexByte(modes, c.mode) >= 0 }
		c.rank, c.list = has(s.ranks), has(s.lists) && !has(s.ranks)
		if c.rank || c.list || has(s.always) || on && has(s.whenSet) {
			if len(args) > 0 {
				c.arg, args = args[0], args[1:]
			} else if c.rank || c.list {
				continue // whom or what it is about is missing
			}
		}
		list = append(list, c)
	}
	return list
}

// modeLines writes changes as the parameters of MODE, as many in a line as the server takes.
func (s *isupport) modeLines(changes []change) []string {
	var lines []string
	for len(changes) > 0 {
		n := min(len(changes), s.perLine)
		modes, args := "", ""
		var sign string
		for _, c := range changes[:n] {
			want := "-"
			if c.on {
				want = "+"
			}
			if want != sign {
				modes, sign = modes+want, want
			}
			modes += string(c.mode)
			if c.arg != "" {
				args += " " + c.arg
			}
		}
		lines, changes = append(lines, modes+args), changes[n:]
	}
	return lines
}

// onISupport learns what the server is like, and looks for what contradicts the configuration: IDs are made before a
// server can be asked.
func (c *client) onISupport(m message) {
	for _, token := range m.Params[1:] {
		c.isupport.take(token)
		c.deniedTags.learn(token)
		c.historySupport.learn(token)
	}
	if name := c.isupport.network; name != "" {
		c.net.announced.Store(&name)
	}
	if server := c.isupport.casemapping; server != "" && server != string(c.net.cfg.Casemapping) {
		c.net.warnCasemapping.Do(func() {
			c.log.Warn().Str("server", server).Str("config", string(c.net.cfg.Casemapping)).
				Msg("the network's casemapping differs from its configuration; set casemapping of the network to what the server has")
		})
	}
	if c.isupport.nickLen > 0 && c.isupport.nickLen < c.nickLen {
		c.nickLen = max(c.isupport.nickLen, 1)
	}
}
