package usersync

import (
	"strconv"

	"causeway/homeserver/event"
)

func appendString[S ~string](dst []byte, s S) []byte { return event.AppendString(dst, s) }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

func appendBool(dst []byte, b bool) []byte { return strconv.AppendBool(dst, b) }

// appendKey appends a key of an object, with a comma before it unless it is the first after an opening brace.
func appendKey[S ~string](dst []byte, key S) []byte {
	dst = appendComma(dst)
	dst = appendString(dst, key)
	return append(dst, ':')
}

// appendComma appends the comma that the next element or member needs.
func appendComma(dst []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		return append(dst, ',')
	}
	return dst
}
