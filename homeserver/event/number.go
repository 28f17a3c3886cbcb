package event

import (
	"strconv"
)

// number reads a number and writes it in canonical form.
func (c *canonicaliser) number() error {
	start := c.pos
	if c.next() == '-' {
		c.pos++
	}
	switch b := c.next(); {
	case b == '0':
		c.pos++
	case b >= '1' && b <= '9':
		c.digits()
	default:
		return c.errorf("malformed number")
	}
	integer := c.pos
	fraction := c.next() == '.'
	if fraction {
		c.pos++
		if !c.digits() {
			return c.errorf("malformed number")
		}
	}
	if b := c.next(); b == 'e' || b == 'E' {
		c.pos++
		if b := c.next(); b == '+' || b == '-' {
			c.pos++
		}
		if !c.digits() {
			return c.errorf("malformed number")
		}
	}
	text := c.src[start:c.pos]
	if c.pos == integer {
		return c.integer(text)
	}
	switch {
	case c.allowed == anyNumbers:
		return c.looseFloat(text)
	case c.allowed == plainIntegers || fraction:
		return c.errorf("number that is not an integer")
	}
	return c.exponent(text)
}

// digits reads decimal digits and reports whether there was one.
func (c *canonicaliser) digits() bool {
	start := c.pos
	for c.pos < len(c.src) && c.src[c.pos] >= '0' && c.src[c.pos] <= '9' {
		c.pos++
	}
	return c.pos > start
}

func (c *canonicaliser) integer(text []byte) error {
	if len(text) == 2 && text[0] == '-' && text[1] == '0' {
		text = text[1:]
	}
	// 2^53-1 has sixteen digits.
	if c.allowed != anyNumbers && len(text) > 15 {
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || n > maxCanonicalInt || n < -maxCanonicalInt {
			return c.errorf("integer out of range")
		}
	}
	c.dst = append(c.dst, text...)
	return nil
}

// exponent writes a number with an exponent if it is an integer for all that.
func (c *canonicaliser) exponent(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f > maxCanonicalInt || f < -maxCanonicalInt || f != float64(int64(f)) {
		return c.errorf("number that is not an integer in range")
	}
	c.dst = strconv.AppendInt(c.dst, int64(f), 10)
	return nil
}

// looseFloat writes a float as the reference code of the appendices does (Python's shortest form), because the hashes and signatures
// of the events of versions 1 to 5 were made of that.
func (c *canonicaliser) looseFloat(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return c.errorf("number out of range")
	}
	start := len(c.dst)
	c.dst = strconv.AppendFloat(c.dst, f, 'e', -1, 64)
	e := start
	for c.dst[e] != 'e' {
		e++
	}
	exponent, _ := strconv.Atoi(string(c.dst[e+1:]))
	if exponent < -4 || exponent >= 16 {
		return nil
	}
	c.dst = strconv.AppendFloat(c.dst[:start], f, 'f', -1, 64)
	for _, b := range c.dst[start:] {
		if b == '.' {
			return nil
		}
	}
	c.dst = append(c.dst, ".0"...)
	return nil
}
