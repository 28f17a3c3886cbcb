package irc

import (
	"regexp"
	"strings"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

// Casemapping says which letters IRC takes for the same in nicks and channel names (RPL_ISUPPORT, CASEMAPPING).
type Casemapping string

// The mappings in use. RFC1459 is what a server means that says nothing.
const (
	ASCII         Casemapping = "ascii"
	RFC1459       Casemapping = "rfc1459"
	RFC1459Strict Casemapping = "rfc1459-strict"
)

// Fold returns the one form of a nick or channel name that all its spellings share. RFC 1459, 2.2: {}|^ are the
// lower case of []\~; the strict mapping leaves ^ and ~ apart.
func (m Casemapping) Fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case m == ASCII:
			return r
		case r >= '[' && r <= ']': // [ \ ]
			return r + '{' - '['
		case r == '~' && m != RFC1459Strict:
			return '^'
		}
		return r
	}, name)
}

const (
	// maxNetworkName keeps IDs short.
	maxNetworkName = 32
	// maxChannelBytes bounds a channel name; a Matrix alias has room for 255 bytes in all.
	maxChannelBytes = 160
	// maxNickBytes bounds a nick that becomes a ghost; escaped, it is up to three times as long, and a user
	// ID has room for 255 bytes.
	maxNickBytes = 56
	// channelPrefixes begin the name of a channel. RFC 2811, 2.1.
	channelPrefixes = "#&+!"
)

// networkName is the grammar of a network's name. It has no underscore, so the first one after it in an alias
// or a localpart is where the channel or nick begins.
var networkName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// validChannel reports whether a name can be put into a command as it is. RFC 2812, 1.3: no NUL, BELL, CR, LF,
// space, comma or colon; other control characters are refused as well.
func validChannel(name string) bool {
	if len(name) < 2 || len(name) > maxChannelBytes || !strings.Contains(channelPrefixes, name[:1]) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ',' || r == ':' || r == 0x7f })
}

// validNick reports whether a nick can be a ghost, and be put into a command as it is. What servers take for a nick differs; none takes
// what would end a parameter or a line.
func validNick(nick string) bool {
	return nick != "" && len(nick) <= maxNickBytes &&
		!strings.ContainsFunc(nick, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// isChannel reports whether the target of a line is a channel.
func isChannel(target string) bool {
	return target != "" && strings.Contains(channelPrefixes, target[:1])
}

// splitAlias takes the localpart of an alias apart, without its "#irc_": NETWORK_CHANNEL.
func splitAlias(rest string) (network, channel string, ok bool) {
	network, channel, ok = strings.Cut(rest, "_")
	return network, channel, ok && networkName.MatchString(network) && channel != ""
}

// ids makes the identifiers of one network.
type ids struct {
	network string
	fold    Casemapping
}

// portal is the ID of a channel's portal: NETWORK/channel, folded.
func (i ids) portal(channel string) networkid.PortalKey {
	return networkid.PortalKey{ID: networkid.PortalID(i.network + "/" + i.fold.Fold(channel))}
}

// ghost is the ID of a nick: NETWORK/nick, folded. Who has an account has accountGhost instead.
func (i ids) ghost(nick string) networkid.UserID {
	return networkid.UserID(i.network + "/" + i.fold.Fold(nick))
}

// splitID takes the ID of a portal, a ghost or a login apart.
func splitID(id string) (network, rest string, ok bool) {
	network, rest, ok = strings.Cut(id, "/")
	return network, rest, ok && network != ""
}

const hexDigits = "0123456789abcdef"

// escapeLocalpart writes a folded nick in the characters of a localpart: a byte outside a-z 0-9 . _ - / + becomes
// = and two hexadecimal digits. Matrix appendices, Mapping from other character sets; capitals do not occur,
// because the nick is folded.
func escapeLocalpart(folded string) string {
	var b strings.Builder
	for i := range len(folded) {
		c := folded[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("._-/+", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// unescapeLocalpart is the inverse of escapeLocalpart, and false for what it never returns.
func unescapeLocalpart(escaped string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '=' {
			b.WriteByte(escaped[i])
			continue
		}
		if i+2 >= len(escaped) {
			return "", false
		}
		high, low := strings.IndexByte(hexDigits, escaped[i+1]), strings.IndexByte(hexDigits, escaped[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	plain := b.String()
	return plain, escapeLocalpart(plain) == escaped
}

// GhostLocalpart implements bridges.GhostNamer: irc_NETWORK_nick, or irc_NETWORK_account=20name.
func (c *Connector) GhostLocalpart(user networkid.UserID) string {
	network, nick, _ := splitID(string(user))
	return c.host.Prefix() + network + "_" + escapeLocalpart(nick)
}

// ParseGhostLocalpart implements bridges.GhostNamer. It knows also ghosts of networks that are configured no
// longer, so that what they said stays recognised as ours.
func (c *Connector) ParseGhostLocalpart(localpart string) (networkid.UserID, bool) {
	rest, ok := strings.CutPrefix(localpart, c.host.Prefix())
	if !ok {
		return "", false
	}
	network, escaped, ok := strings.Cut(rest, "_")
	if !ok || escaped == "" || !networkName.MatchString(network) {
		return "", false
	}
	nick, ok := unescapeLocalpart(escaped)
	return networkid.UserID(network + "/" + nick), ok && validGhost(nick)
}
