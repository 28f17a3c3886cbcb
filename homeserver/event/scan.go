package event

import (
	"bytes"
	"strconv"
)

// The functions of this file read canonical JSON, and nothing else: what they are given went through canonical before, or came from
// our own store. They are exact about keys, where encoding/json would take "Membership" for "membership". Given other bytes they
// return nonsense, but do not panic.

// Members yields the members of obj, a canonical JSON object, in order: each key as it stands between its quotes, each value as it
// stands. Both are parts of obj.
func Members(obj []byte) func(yield func(key, value []byte) bool) {
	return func(yield func(key, value []byte) bool) {
		i := 1
		for i < len(obj) && obj[i] == '"' {
			keyEnd := stringEnd(obj, i)
			valueStart := keyEnd + 1
			if valueStart >= len(obj) {
				return
			}
			end := valueEnd(obj, valueStart)
			if !yield(obj[i+1:keyEnd-1], obj[valueStart:end]) {
				return
			}
			i = end + 1
		}
	}
}

// Elements yields the elements of arr, a canonical JSON array, in order. They are parts of arr.
func Elements(arr []byte) func(yield func(value []byte) bool) {
	return func(yield func(value []byte) bool) {
		i := 1
		for i < len(arr) && arr[i] != ']' {
			end := valueEnd(arr, i)
			if !yield(arr[i:end]) {
				return
			}
			i = end + 1
		}
	}
}

// stringEnd returns the position after the string that begins at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		// Most strings are long enough for IndexByte to pay.
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		i += n
		slashes := 0
		for i-1-slashes >= 0 && b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return len(b)
}

// valueEnd returns the position after the value that begins at i.
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',', ':':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			i++
			for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(b)
}

// Field returns the value of key in obj, a canonical JSON object, or nil when there is none or obj is no object. The key is as it
// stands between quotes. Unlike encoding/json this is exact about keys.
func Field(obj []byte, key string) []byte {
	if !isObject(obj) {
		return nil
	}
	for k, v := range Members(obj) {
		if string(k) == key {
			return v
		}
	}
	return nil
}

func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }
func isArray(v []byte) bool  { return len(v) > 0 && v[0] == '[' }
func isString(v []byte) bool { return len(v) > 1 && v[0] == '"' }

// Text returns the string that v, a canonical JSON value, is, and whether it is one.
func Text(v []byte) (string, bool) {
	if !isString(v) {
		return "", false
	}
	return Unescape(v[1 : len(v)-1]), true
}

// unescape returns what s, the inside of a string, stands for.
func Unescape(s []byte) string {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s)
	}
	return string(appendUnescaped(nil, s))
}

// integer returns the integer that v is, and whether it is one that fits.
func integer(v []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}
