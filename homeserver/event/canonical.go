package event

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// CanonicalJSON returns raw, one JSON value of any kind, in Matrix's canonical form: the shortest UTF-8 encoding, keys sorted by
// code point, integers within ±(2^53-1) and no other numbers. It is not RFC 8785. Appendices, "Canonical JSON".
//
// A number written with an exponent is accepted when it is such an integer (1e10), as the specification's examples have it; one with
// a fraction never is. Events are held to more than that: RoomVersion.Canonical. Of duplicate keys the last one stands, as in the
// specification's reference code: a stranger's bytes are read only after this, so that no two readers can disagree about which one
// counts. Invalid UTF-8, lone surrogates and nesting beyond MaxNesting are errors; all errors wrap ErrBadJSON.
func CanonicalJSON(raw []byte) ([]byte, error) {
	return canonical(raw, integers)
}

// numbers says which numbers a text may hold.
type numbers int

const (
	// integers are those that canonical JSON has a form for, however they are written: 1e2 is 100.
	integers numbers = iota
	// plainIntegers are those that are written as canonical JSON has them, but for the sign of -0.
	plainIntegers
	// anyNumbers are floats and integers of any size.
	anyNumbers
)

// canonical returns the canonical form of raw.
func canonical(raw []byte, allowed numbers) ([]byte, error) {
	return appendCanonical(make([]byte, 0, len(raw)), raw, allowed, 0)
}

// appendCanonical appends the canonical form of raw, which is all of one JSON value, to dst. The value will stand within depth
// objects and arrays.
func appendCanonical(dst, raw []byte, allowed numbers, depth int) ([]byte, error) {
	c := canonicaliser{src: raw, dst: dst, allowed: allowed}
	c.space()
	if err := c.value(depth); err != nil {
		return nil, err
	}
	c.space()
	if c.pos != len(c.src) {
		return nil, c.errorf("something after the end of the value")
	}
	return c.dst, nil
}

// canonicaliser reads src once and writes dst.
type canonicaliser struct {
	src     []byte
	pos     int
	dst     []byte
	allowed numbers
	// members holds, as a stack, the members of the objects that are being read.
	members []member
	scratch []byte
}

// member is where a member of an object lies in dst: "key":value, with the key between its quotes at key:keyEnd.
type member struct{ start, keyEnd, end int }

func (c *canonicaliser) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d", ErrBadJSON, fmt.Sprintf(format, args...), c.pos)
}

func (c *canonicaliser) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// next returns the byte at the position, or 0 at the end (a NUL byte is valid nowhere outside of a string).
func (c *canonicaliser) next() byte {
	if c.pos < len(c.src) {
		return c.src[c.pos]
	}
	return 0
}

func (c *canonicaliser) value(depth int) error {
	switch b := c.next(); b {
	case '{':
		return c.object(depth + 1)
	case '[':
		return c.array(depth + 1)
	case '"':
		return c.string()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return c.number()
	default:
		return c.errorf("no value")
	}
}

func (c *canonicaliser) literal(word string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(word)) {
		return c.errorf("no value")
	}
	c.pos += len(word)
	c.dst = append(c.dst, word...)
	return nil
}

func (c *canonicaliser) array(depth int) error {
	if depth > MaxNesting {
		return c.errorf("nested too deeply")
	}
	c.pos++
	c.dst = append(c.dst, '[')
	c.space()
	if c.next() == ']' {
		c.pos++
		c.dst = append(c.dst, ']')
		return nil
	}
	for {
		c.space()
		if err := c.value(depth); err != nil {
			return err
		}
		c.space()
		switch c.next() {
		case ',':
			c.pos++
			c.dst = append(c.dst, ',')
		case ']':
			c.pos++
			c.dst = append(c.dst, ']')
			return nil
		default:
			return c.errorf("no comma or end of array")
		}
	}
}

func (c *canonicaliser) object(depth int) error {
	if depth > MaxNesting {
		return c.errorf("nested too deeply")
	}
	c.pos++
	c.dst = append(c.dst, '{')
	c.space()
	if c.next() == '}' {
		c.pos++
		c.dst = append(c.dst, '}')
		return nil
	}
	first, sorted := len(c.members), true
	for {
		c.space()
		m, err := c.member(depth)
		if err != nil {
			return err
		}
		if n := len(c.members); n > first && sorted {
			sorted = c.compare(c.members[n-1], m) < 0
		}
		c.members = append(c.members, m)
		c.space()
		switch c.next() {
		case ',':
			c.pos++
			c.dst = append(c.dst, ',')
			continue
		case '}':
			c.pos++
		default:
			return c.errorf("no comma or end of object")
		}
		if !sorted {
			c.sort(c.members[first:])
		}
		c.members = c.members[:first]
		c.dst = append(c.dst, '}')
		return nil
	}
}

// member reads "key":value and writes it.
func (c *canonicaliser) member(depth int) (member, error) {
	if c.next() != '"' {
		return member{}, c.errorf("no key")
	}
	m := member{start: len(c.dst)}
	if err := c.string(); err != nil {
		return member{}, err
	}
	m.keyEnd = len(c.dst) - 1
	c.space()
	if c.next() != ':' {
		return member{}, c.errorf("no colon after a key")
	}
	c.pos++
	c.dst = append(c.dst, ':')
	c.space()
	if err := c.value(depth); err != nil {
		return member{}, err
	}
	m.end = len(c.dst)
	return m, nil
}

func (c *canonicaliser) compare(a, b member) int {
	return compareKeys(c.dst[a.start+1:a.keyEnd], c.dst[b.start+1:b.keyEnd])
}

// sort writes the members of an object, which end dst, anew in the order of their keys. Of equal keys the last one stands.
func (c *canonicaliser) sort(members []member) {
	start := members[0].start
	slices.SortStableFunc(members, c.compare)
	c.scratch = c.scratch[:0]
	for i, m := range members {
		if i+1 < len(members) && c.compare(m, members[i+1]) == 0 {
			continue
		}
		if len(c.scratch) > 0 {
			c.scratch = append(c.scratch, ',')
		}
		c.scratch = append(c.scratch, c.dst[m.start:m.end]...)
	}
	c.dst = append(c.dst[:start], c.scratch...)
}

// compareKeys compares two keys as they stand between quotes in canonical JSON, by code point. The order of UTF-8 is the order of
// code points, but that of escape sequences is not: each is compared as the one byte that it stands for.
func compareKeys(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		if a[0] == b[0] && a[0] != '\\' {
			a, b = a[1:], b[1:]
			continue
		}
		charA, sizeA := unescapeFirst(a)
		charB, sizeB := unescapeFirst(b)
		if charA != charB {
			return cmp.Compare(charA, charB)
		}
		a, b = a[sizeA:], b[sizeB:]
	}
	return cmp.Compare(len(a), len(b))
}

// string reads a string and writes it with no more escapes than it must have.
func (c *canonicaliser) string() error {
	c.pos++
	c.dst = append(c.dst, '"')
	for {
		start := c.pos
		for c.pos < len(c.src) && plainASCII[c.src[c.pos]] {
			c.pos++
		}
		c.dst = append(c.dst, c.src[start:c.pos]...)
		if c.pos == len(c.src) {
			return c.errorf("string without an end")
		}
		switch b := c.src[c.pos]; {
		case b == '"':
			c.pos++
			c.dst = append(c.dst, '"')
			return nil
		case b == '\\':
			if err := c.escape(); err != nil {
				return err
			}
		case b < 0x20:
			return c.errorf("control character in a string")
		default:
			r, size := utf8.DecodeRune(c.src[c.pos:])
			if r == utf8.RuneError && size <= 1 {
				return c.errorf("invalid UTF-8")
			}
			c.dst = append(c.dst, c.src[c.pos:c.pos+size]...)
			c.pos += size
		}
	}
}

// escape reads one escape sequence, or a pair that makes a surrogate pair, and writes what it stands for.
func (c *canonicaliser) escape() error {
	if c.pos+1 >= len(c.src) {
		return c.errorf("string without an end")
	}
	b := c.src[c.pos+1]
	if b != 'u' {
		char := shortEscapes[b]
		if char == 0 {
			return c.errorf("unknown escape")
		}
		c.pos += 2
		c.dst = appendEscapedRune(c.dst, rune(char))
		return nil
	}
	r, ok := hex4(c.src[c.pos+2:])
	if !ok {
		return c.errorf("malformed escape")
	}
	c.pos += 6
	if utf16.IsSurrogate(r) {
		if c.pos+1 >= len(c.src) || c.src[c.pos] != '\\' || c.src[c.pos+1] != 'u' {
			return c.errorf("lone surrogate")
		}
		low, ok := hex4(c.src[c.pos+2:])
		if !ok {
			return c.errorf("malformed escape")
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return c.errorf("lone surrogate")
		}
		c.pos += 6
	}
	c.dst = appendEscapedRune(c.dst, r)
	return nil
}

// Canonical returns raw, which is an event or a part of one, in canonical form as far as version v demands it. Versions 1 to 5 keep
// numbers of any kind. From version 6 on the form is enforced (MSC2540): a number with a fraction or an exponent makes an event
// malformed, even one that CanonicalJSON could write as an integer, because servers must agree on which events there are, and most
// take any such number for a float.
func (v *RoomVersion) Canonical(raw []byte) ([]byte, error) {
	return canonical(raw, v.numbers())
}

func (v *RoomVersion) numbers() numbers {
	if v.StrictJSON {
		return plainIntegers
	}
	return anyNumbers
}
