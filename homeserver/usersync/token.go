package usersync

import (
	"strconv"
	"strings"
)

// A token stands for the gap after a position of the stream: what is at or before the position is in the past of the token.
// One kind of token serves /sync and pagination alike. Clients take it for opaque.
//
// What is kept in memory only has no positions in the stream. The tokens that /sync gives say after an underscore which serial of
// the typing notifications the device knows. Other readers take no notice of it.

const (
	tokenPrefix    = 's'
	tokenSeparator = "_"
)

// maxTokenBytes bounds a token: the prefix, and the digits of two 63-bit numbers with the separator.
const maxTokenBytes = 40

func appendToken(dst []byte, pos int64) []byte {
	return strconv.AppendInt(append(dst, tokenPrefix), pos, 10)
}

func token(pos int64) string { return string(appendToken(nil, pos)) }

// syncToken makes a token of a position and a serial of the typing notifications, 0 for none.
func syncToken(pos, typing int64) string {
	dst := appendToken(nil, pos)
	if typing > 0 {
		dst = strconv.AppendInt(append(dst, tokenSeparator...), typing, 10)
	}
	return string(dst)
}

// parseToken reads the position of a token. name is that of the request's parameter. The error is 400 M_INVALID_PARAM.
func parseToken(name, s string) (int64, error) {
	pos, _, err := parseSyncToken(name, s)
	return pos, err
}

// parseSyncToken reads a token that token or syncToken made. The error is 400 M_INVALID_PARAM.
func parseSyncToken(name, s string) (pos, typing int64, err error) {
	bad := matrixError(400, "M_INVALID_PARAM", "%s is not a token of this server", name)
	if len(s) > maxTokenBytes || s == "" || s[0] != tokenPrefix {
		return 0, 0, bad
	}
	first, second, two := strings.Cut(s[1:], tokenSeparator)
	if pos, err = parseDigits(first); err == nil && two {
		typing, err = parseDigits(second)
	}
	if err != nil {
		return 0, 0, bad
	}
	return pos, typing, nil
}

// parseDigits reads a number of digits alone.
func parseDigits(s string) (int64, error) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseInt(s, 10, 64)
}
