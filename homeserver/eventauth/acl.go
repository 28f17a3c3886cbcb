package eventauth

import (
	"net/netip"
	"strings"

	"causeway/homeserver/event"
)

// ServerAllowed reports whether a server may take part in a room whose m.room.server_acl is acl, nil for none. serverName may have a
// port, which does not count, and letters of either case. While there is an ACL, a name that is no server's is not allowed, and nor
// is anyone when it has no list of those who are. Client-Server API, m.room.server_acl.
func ServerAllowed(acl *event.PDU, serverName string) bool {
	// 1.
	if acl == nil {
		return true
	}
	rules := acl.ServerACL()
	if rules == nil || !event.ValidServerName(serverName) {
		return false
	}
	host := strings.ToLower(hostOf(serverName))
	// 2.
	if rules.DenyIPLiterals && isIPLiteral(host) {
		return false
	}
	// 3.
	if matchesAny(rules.Deny, host) {
		return false
	}
	// 4 and 5.
	return matchesAny(rules.Allow, host)
}

// hostOf returns a valid server name without its port.
func hostOf(serverName string) string {
	if end := strings.IndexByte(serverName, ']'); end >= 0 {
		return serverName[:end+1]
	}
	host, _, _ := strings.Cut(serverName, ":")
	return host
}

// isIPLiteral reports whether host is an address. Appendices, "Server Name".
func isIPLiteral(host string) bool {
	if host[0] == '[' {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	// What has the form of an IPv4 address reaches one in the hands of many resolvers, leading zeroes and all.
	parts := strings.Split(host, ".")
	for _, part := range parts {
		if part == "" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return len(parts) == 4
}

func matchesAny(patterns []string, host string) bool {
	for _, pattern := range patterns {
		if glob(pattern, host) {
			return true
		}
	}
	return false
}

// glob reports whether pattern matches all of s, where * is any text and ? any one character. s is ASCII. It goes back to no star but
// the last one, so that the time is at most that of len(pattern) times len(s), whatever a stranger makes of the pattern. Appendices,
// "Glob-style matching".
func glob(pattern, s string) bool {
	star, resume := -1, 0 // the last star, and where in s what follows it was last tried
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
