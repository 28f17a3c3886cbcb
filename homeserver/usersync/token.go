package usersync

import (
	"strconv"
)

// A token stands for the gap after a position of the stream: what is at or before the position is in the past of the token.
// One kind of token serves /sync and pagination alike. Clients take it for opaque. A position of sliding sync has more behind it, and
// serves as a token too.

const tokenPrefix = 's'

// maxTokenBytes bounds a token: the prefix and the digits of a 63-bit number.
const maxTokenBytes = 20

func appendToken(dst []byte, pos int64) []byte {
	return strconv.AppendInt(append(dst, tokenPrefix), pos, 10)
}

func token(pos int64) string { return string(appendToken(nil, pos)) }

// parseToken reads a token that appendToken made. name is that of the request's parameter. The error is 400 M_INVALID_PARAM.
func parseToken(name, s string) (int64, error) {
	bad := matrixError(400, "M_INVALID_PARAM", "%s is not a token of this server", name)
	if pos, ok := parseSlidingPos(s); ok {
		return pos.stream, nil
	}
	if len(s) < 2 || len(s) > maxTokenBytes || s[0] != tokenPrefix {
		return 0, bad
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return 0, bad
		}
	}
	pos, err := strconv.ParseInt(s[1:], 10, 64)
	if err != nil {
		return 0, bad
	}
	return pos, nil
}
