package irc

import (
	"strconv"
	"strings"

	"maunium.net/go/mautrix/id"
)

const (
	// shortNick is the length every server accepts. RFC 1459, 1.2.
	shortNick = 9
	// maxNickTries bounds how often another nick is tried when one is taken.
	maxNickTries = 20
	// maxUsername is the length of a user name that servers pass on unshortened.
	maxUsername = 9
)

// makeNick fills the template of a network ("{localpart}[m]") and leaves of it what a nick may contain.
// RFC 2812, 2.3.1.
func makeNick(template string, user id.UserID) string {
	localpart, _, _ := user.Parse()
	return cleanNick(strings.ReplaceAll(template, "{localpart}", localpart))
}

func cleanNick(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x80 && isNickByte(byte(r)) {
			return r
		}
		return '_'
	}, name)
	if clean == "" || clean[0] == '-' || clean[0] >= '0' && clean[0] <= '9' {
		clean = "_" + clean
	}
	return clean
}

func isNickByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-[]\\`_^{|}", c) >= 0
}

// nickVariant returns what to try the nth time, at most limit bytes long: nick, nick_, nick2, nick3 …
func nickVariant(nick string, try, limit int) string {
	suffix := ""
	switch {
	case try == 1:
		suffix = "_"
	case try > 1:
		suffix = strconv.Itoa(try)
	}
	if len(nick)+len(suffix) > limit {
		nick = nick[:max(1, limit-len(suffix))]
	}
	return nick + suffix
}

// username is the user name of a connection: what remains of the localpart, which tells the operators of the
// network whom they are dealing with.
func username(user id.UserID) string {
	localpart, _, _ := user.Parse()
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(localpart))
	if clean == "" {
		return "matrix"
	}
	return clean[:min(len(clean), maxUsername)]
}
