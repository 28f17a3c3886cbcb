package event

import (
	"strings"
	"unicode/utf8"
)

// ValidUserID reports whether s is a user ID that servers must accept: @localpart:server, no more than MaxFieldBytes, where the
// localpart may be any text without colons and NULs, even empty. Appendices, "Historical User IDs".
func ValidUserID(s string) bool {
	return len(s) <= MaxFieldBytes && hasDomain(s, '@')
}

// hasDomain reports whether s is an identifier with the sigil, of the form that has a server name. Appendices, "Common Identifier
// Format".
func hasDomain(s string, sigil byte) bool {
	if s == "" || s[0] != sigil || !utf8.ValidString(s) {
		return false
	}
	localpart, server, ok := strings.Cut(s[1:], ":")
	return ok && strings.IndexByte(localpart, 0) < 0 && ValidServerName(server)
}

// isHash reports whether s is the sigil and a reference hash in either alphabet of base64. Room versions 3 and 4, "Event IDs".
func isHash(s string, sigil byte) bool {
	if len(s) != hashIDBytes || s[0] != sigil {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch b := s[i]; {
		case b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '+', b == '/', b == '-', b == '_':
		default:
			return false
		}
	}
	return true
}

// hashIDBytes is the length of an identifier that is a sigil and a hash.
const hashIDBytes = 1 + 43

// ServerOf returns the server name of a user ID, or of an event ID of versions 1 and 2: what follows the first colon, "" when there
// is none. There is no such thing for room IDs.
func ServerOf[S ~string](s S) string {
	_, server, _ := strings.Cut(string(s), ":")
	return server
}

// maxServerNameBytes is that of a name with brackets or a port and the longest host.
const maxServerNameBytes = 255 + len(":65535")

// ValidServerName reports whether s follows the grammar of server names. Appendices, "Server Name".
func ValidServerName(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		host, port = s[:end+1], s[end+1:]
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 {
		host, port = s[:colon], s[colon:]
	}
	return validPort(port) && validHost(host)
}

// validPort takes the port with its colon, or nothing.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) < 2 || len(s) > 6 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func validHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		s = s[1 : len(s)-1]
		if len(s) < 2 || len(s) > 45 {
			return false
		}
		return strings.Trim(s, "0123456789abcdefABCDEF:.") == ""
	}
	if s == "" || len(s) > MaxFieldBytes {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '-', b == '.':
		default:
			return false
		}
	}
	return true
}
