package event

import (
	"unicode/utf8"
)

// plainASCII marks the bytes that stand for themselves inside of a JSON string.
var plainASCII = func() (t [256]bool) {
	for b := 0x20; b < 0x80; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// shortEscapes is what may follow a backslash, but u, and what it stands for.
var shortEscapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

const hexDigits = "0123456789abcdef"

// appendEscapedRune appends r as it stands in a canonical string.
func appendEscapedRune(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r >= 0x20:
		return utf8.AppendRune(dst, r)
	case r == '\b':
		return append(dst, '\\', 'b')
	case r == '\f':
		return append(dst, '\\', 'f')
	case r == '\n':
		return append(dst, '\\', 'n')
	case r == '\r':
		return append(dst, '\\', 'r')
	case r == '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
	}
}

// appendString appends s as a canonical JSON string. Invalid UTF-8 becomes U+FFFD: fields of events are checked before.
func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		if plainASCII[s[i]] {
			continue
		}
		if s[i] < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscapedRune(dst, rune(s[i]))
			start = i + 1
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && size <= 1 {
			dst = append(dst, s[start:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			start = i + 1
			continue
		}
		i += size - 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendUnescaped appends what s, the inside of a canonical JSON string, stands for.
func appendUnescaped(dst, s []byte) []byte {
	for len(s) > 0 {
		b, size := unescapeFirst(s)
		dst = append(dst, b)
		s = s[size:]
	}
	return dst
}

// unescapeFirst returns the first byte that s, the inside of a canonical JSON string and not empty, stands for, and how many bytes of s
// do. There, all that is escaped is ASCII.
func unescapeFirst(s []byte) (byte, int) {
	if s[0] != '\\' || len(s) < 2 {
		return s[0], 1
	}
	if s[1] != 'u' {
		return shortEscapes[s[1]], 2
	}
	if r, ok := hex4(s[2:]); ok {
		return byte(r), 6
	}
	return s[0], 1
}

// hex4 reads the four hexadecimal digits that s begins with.
func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, b := range s[:4] {
		switch {
		case b >= '0' && b <= '9':
			b -= '0'
		case b >= 'a' && b <= 'f':
			b -= 'a' - 10
		case b >= 'A' && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(b)
	}
	return r, true
}
