package holder

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ergochat/irc-go/ircmsg"
)

const (
	// maxInfo is how many lines are kept in which a server says what it is like.
	maxInfo = 64
	// maxCaps and maxCapBytes bound what is kept of the capabilities that are offered.
	maxCaps     = 256
	maxCapBytes = 1024
	// maxChannels bounds the channels of one connection.
	maxChannels = 4096
)

// Prelude is what a client has learned of a connection that it is not told again. Lines are folded into it when the server
// has confirmed them, so that it and the lines that are kept always fit together.
type Prelude struct {
	Nick     string            `json:"nick"` // see RawName, also of Account and Channels
	UserHost string            `json:"user_host,omitempty"`
	Server   string            `json:"server,omitempty"`  // source of RPL_WELCOME
	Info     []string          `json:"info,omitempty"`    // RPL_MYINFO and RPL_ISUPPORT as they came
	Offered  map[string]string `json:"offered,omitempty"` // capabilities with their values
	On       []string          `json:"on,omitempty"`      // of them
	Account  string            `json:"account,omitempty"`
	Away     bool              `json:"away,omitempty"`
	Channels []string          `json:"channels,omitempty"`
}

// folds is what is of interest; a line with fewer parameters than the row says is not.
var folds = map[string]struct {
	params int
	fold   func(p *Prelude, m *ircmsg.Message)
}{
	"CAP": {3, (*Prelude).onCap},
	"001": {1, func(p *Prelude, m *ircmsg.Message) { p.Nick, p.Server = textName(m.Params[0]), m.Source }},
	"900": {3, func(p *Prelude, m *ircmsg.Message) { p.Account = textName(m.Params[2]) }},
	"901": {0, func(p *Prelude, _ *ircmsg.Message) { p.Account = "" }},
	"305": {0, func(p *Prelude, _ *ircmsg.Message) { p.Away = false }},
	"306": {0, func(p *Prelude, _ *ircmsg.Message) { p.Away = true }},
	"396": {2, (*Prelude).onHost},
	"NICK": {1, func(p *Prelude, m *ircmsg.Message) {
		if p.isMe(m) {
			p.Nick = textName(m.Params[0])
		}
	}},
	"CHGHOST": {2, func(p *Prelude, m *ircmsg.Message) {
		if p.isMe(m) {
			p.UserHost = m.Params[0] + "@" + m.Params[1]
		}
	}},
	"JOIN": {1, (*Prelude).onJoin},
	"PART": {1, func(p *Prelude, m *ircmsg.Message) {
		if p.isMe(m) {
			p.leave(m.Params[0])
		}
	}},
	"KICK": {2, func(p *Prelude, m *ircmsg.Message) {
		if fold(textName(m.Params[1])) == fold(p.Nick) {
			p.leave(m.Params[0])
		}
	}},
	"RENAME": {2, func(p *Prelude, m *ircmsg.Message) {
		for i, name := range p.Channels {
			if fold(name) == fold(textName(m.Params[0])) {
				p.Channels[i] = textName(m.Params[1])
			}
		}
	}},
}

// fold takes a line in. Which letters are the same is that of RFC 1459: a network that has fewer does not have two
// channels that differ by the rest, and if it had, a successor would ask for the one again.
func (p *Prelude) fold(raw []byte) {
	m, err := ircmsg.ParseLine(string(raw))
	if err != nil {
		return
	}
	if m.Command == "004" || m.Command == "005" {
		if len(p.Info) < maxInfo {
			p.Info = append(p.Info, string(raw))
		}
		return
	}
	if row, ok := folds[m.Command]; ok && len(m.Params) >= row.params {
		row.fold(p, &m)
	}
}

func (p *Prelude) isMe(m *ircmsg.Message) bool {
	return p.Nick != "" && fold(textName(m.Nick())) == fold(p.Nick)
}

// onCap is the negotiation: CAP nick LS [*] :names, and ACK, NEW and DEL.
func (p *Prelude) onCap(m *ircmsg.Message) {
	for name := range strings.FieldsSeq(m.Params[len(m.Params)-1]) {
		switch strings.ToUpper(m.Params[1]) {
		case "LS", "NEW":
			name, value, _ := strings.Cut(name, "=")
			if p.Offered == nil {
				p.Offered = map[string]string{}
			}
			if len(p.Offered) < maxCaps && len(name)+len(value) <= maxCapBytes {
				p.Offered[strings.Clone(name)] = strings.Clone(value)
			}
		case "ACK":
			name, off := strings.CutPrefix(name, "-")
			p.drop(name)
			if !off && len(p.On) < maxCaps {
				p.On = append(p.On, strings.Clone(name))
			}
		case "DEL":
			delete(p.Offered, name)
			p.drop(name)
		}
	}
}

func (p *Prelude) drop(name string) {
	p.On = slices.DeleteFunc(p.On, func(on string) bool { return on == name })
}

func (p *Prelude) onHost(m *ircmsg.Message) {
	host := m.Params[1]
	if user, _, ok := strings.Cut(p.UserHost, "@"); ok && !strings.Contains(host, "@") {
		p.UserHost = user + "@" + host
	} else if strings.Contains(host, "@") {
		p.UserHost = host
	}
}

func (p *Prelude) onJoin(m *ircmsg.Message) {
	if !p.isMe(m) {
		return
	}
	if _, userHost, ok := strings.Cut(m.Source, "!"); ok {
		p.UserHost = strings.Clone(userHost)
	}
	p.leave(m.Params[0])
	if len(p.Channels) < maxChannels {
		p.Channels = append(p.Channels, strings.Clone(textName(m.Params[0])))
	}
}

func (p *Prelude) leave(channel string) {
	p.Channels = slices.DeleteFunc(p.Channels, func(name string) bool { return fold(name) == fold(textName(channel)) })
}

// textName is the name of a channel, a nick or an account as text, which JSON can have. One that is not UTF-8, in an old character set, is written byte by
// byte, after a character that no name has.
func textName(raw string) string {
	if utf8.ValidString(raw) {
		return raw
	}
	text := []rune{0}
	for _, c := range []byte(raw) {
		text = append(text, rune(c))
	}
	return string(text)
}

// RawName is a name of a Prelude as the server writes it.
func RawName(name string) string {
	text, isBytes := strings.CutPrefix(name, "\x00")
	if !isBytes {
		return name
	}
	var raw []byte
	for _, r := range text {
		raw = append(raw, byte(r))
	}
	return string(raw)
}

// fold is the one form of a nick or channel that its spellings share. RFC 1459, 2.2.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= ']':
			return r + 'a' - 'A'
		case r == '~':
			return '^'
		}
		return r
	}, name)
}
