package usersync

import (
	"strconv"
	"strings"
)

// A token stands for the gap after a position of the stream: what is at or before the position is in the past of the token.
// One kind of token serves /sync and pagination alike. Clients take it for opaque.
//
// A token of /sync may have components behind the position, each an underscore, a letter and a number: s123_t1700_d45. Pagination
// takes such a token, too, for its position. A position of sliding sync has more behind it, and serves as a token too.

const (
	tokenPrefix = 's'
	// typingComponent is the serial of the typing notifications that the device knows: they are in memory only, and have no positions.
	typingComponent = 't'
	// toDeviceComponent is the position of the last to-device message that was given, where there are more that were not.
	toDeviceComponent = 'd'
)

// maxTokenBytes bounds a token: the prefix and the digits of a 63-bit number, and two components.
const maxTokenBytes = 20 + 2*21

// syncToken is what a device that has synced knows.
type syncToken struct {
	pos    int64
	typing int64 // a serial, 0 for none
	// toDevice is the position up to which the device has its messages, at most pos.
	toDevice int64
}

func (t syncToken) append(dst []byte) []byte {
	dst = appendToken(dst, t.pos)
	if t.typing > 0 {
		dst = strconv.AppendInt(append(dst, '_', typingComponent), t.typing, 10)
	}
	if t.toDevice < t.pos {
		dst = strconv.AppendInt(append(dst, '_', toDeviceComponent), t.toDevice, 10)
	}
	return dst
}

func (t syncToken) String() string { return string(t.append(nil)) }

func appendToken(dst []byte, pos int64) []byte {
	return strconv.AppendInt(append(dst, tokenPrefix), pos, 10)
}

func token(pos int64) string { return string(appendToken(nil, pos)) }

// parseToken reads the position of a token. name is that of the request's parameter. The error is 400 M_INVALID_PARAM.
func parseToken(name, s string) (int64, error) {
	t, err := parseSyncToken(name, s)
	return t.pos, err
}

// parseSyncToken is parseToken for what makes use of the components.
func parseSyncToken(name, s string) (syncToken, error) {
	bad := matrixError(400, "M_INVALID_PARAM", "%s is not a token of this server", name)
	if pos, ok := parseSlidingPos(s); ok {
		return syncToken{pos: pos.stream, toDevice: pos.stream}, nil
	}
	if len(s) < 2 || len(s) > maxTokenBytes || s[0] != tokenPrefix {
		return syncToken{}, bad
	}
	first, rest, more := strings.Cut(s[1:], "_")
	pos, ok := parsePosition(first)
	if !ok {
		return syncToken{}, bad
	}
	t := syncToken{pos: pos, toDevice: pos}
	components := map[byte]*int64{typingComponent: &t.typing, toDeviceComponent: &t.toDevice}
	for more {
		var part string
		part, rest, more = strings.Cut(rest, "_")
		if part == "" || components[part[0]] == nil {
			return syncToken{}, bad
		}
		if *components[part[0]], ok = parsePosition(part[1:]); !ok {
			return syncToken{}, bad
		}
		delete(components, part[0]) // each may be there once
	}
	t.toDevice = min(t.toDevice, t.pos)
	return t, nil
}

// parsePosition reads a number of digits alone.
func parsePosition(s string) (int64, bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	pos, err := strconv.ParseInt(s, 10, 64)
	return pos, err == nil
}
