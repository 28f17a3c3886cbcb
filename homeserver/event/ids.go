package event

import (
	"strings"
	"unicode/utf8"
)

// ValidUserID reports whether s is a user ID that servers must accept: @localpart:server, no more than MaxFieldBytes, where the
// localpart may be any text without colons and NULs, even empty. Appendices, "Historical User IDs".
func ValidUserID(s string) bool {
	if len(s) > MaxFieldBytes || !strings.HasPrefix(s, "@") || !utf8.ValidString(s) {
		return false
	}
	localpart, server, ok := strings.Cut(s[1:], ":")
	return ok && strings.IndexByte(localpart, 0) < 0 && ValidServerName(server)
}

// ServerOf returns the server name of a user ID, or of an event ID of versions 1 and 2: what follows the first colon, "" when there
// is none. There is no such thing for room IDs.
func ServerOf[S ~string](s S) string {
	_, server, _ := strings.Cut(string(s), ":")
	return server
}

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

// checkField returns an error when s is not text, or is over MaxFieldBytes.
func checkField(name, s string) error {
	if len(s) > MaxFieldBytes {
		return fieldError(ErrFieldTooLong, name)
	}
	if !utf8.ValidString(s) {
		return fieldError(ErrBadEvent, name)
	}
	return nil
}

func checkUserID(name, s string) error {
	if err := checkField(name, s); err != nil {
		return err
	}
	if !ValidUserID(s) {
		return fieldError(ErrBadEvent, name)
	}
	return nil
}

// checkSigil checks an event or room ID, of which only the first character means something to us.
func checkSigil(name, s string, sigil byte) error {
	if err := checkField(name, s); err != nil {
		return err
	}
	if len(s) < 2 || s[0] != sigil {
		return fieldError(ErrBadEvent, name)
	}
	return nil
}
