package event

import (
	"errors"
	"strings"
	"testing"
)

// The event formats of the room versions: what an ID looks like.
func TestParseForms(t *testing.T) {
	// In versions 1 and 2 references are pairs.
	pairs := func(id string) string { return `[["` + id + `",{"sha256":"x"}]]` }
	old := func(c change) change {
		all := change{"event_id": `"$e:d"`, "room_id": `"!r:d"`, "prev_events": pairs("$p:d"), "auth_events": pairs("$a:d")}
		for key, value := range c {
			all[key] = value
		}
		return all
	}
	for _, tc := range []struct {
		name, version string
		change        change
		want          error
	}{
		{"well-formed", "1", old(nil), nil},
		{"well-formed", "2", old(nil), nil},
		{"event ID with a port", "1", old(change{"event_id": `"$e:[::1]:8448"`}), nil},
		{"event ID without a server", "1", old(change{"event_id": `"$e"`}), ErrBadEvent},
		{"event ID with no server's name", "2", old(change{"event_id": `"$e:a_b"`}), ErrBadEvent},
		{"event ID is a hash", "2", old(change{"event_id": `"` + hashA + `"`}), ErrBadEvent},
		{"event ID is a room ID", "1", old(change{"event_id": `"!e:d"`}), ErrBadEvent},
		{"event ID is a number", "1", old(change{"event_id": `1`}), ErrBadEvent},
		{"event ID with a NUL", "1", old(change{"event_id": `"$\u0000:d"`}), ErrBadEvent},
		{"event ID that is not looked at", "3", change{"event_id": `1`, "room_id": `"!r:d"`}, nil},
		{"references of any form", "1", old(change{"prev_events": pairs("$anything")}), nil},
		{"references without a sigil", "1", old(change{"prev_events": pairs("anything")}), ErrBadEvent},
		{"standard base64", "3", change{"prev_events": `["$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJ+"]`, "room_id": `"!r:d"`}, nil},
		{"reference of version 1", "3", change{"prev_events": `["$p:d"]`, "room_id": `"!r:d"`}, ErrBadEvent},
		{"short hash", "12", change{"auth_events": `["$` + hash43 + `"]`}, ErrBadEvent},
		{"long hash", "12", change{"auth_events": `["` + hashA + `A"]`}, ErrBadEvent},
		{"hash with padding", "12", change{"auth_events": `["$` + hash43 + `="]`}, ErrBadEvent},
		{"room ID without a server", "11", change{"room_id": `"` + hashRoom + `"`}, ErrBadEvent},
		{"room ID with no server's name", "11", change{"room_id": `"!r:"`}, ErrBadEvent},
		{"room ID with an odd localpart", "11", change{"room_id": `"!é \n:d"`}, nil},
		{"room ID with a NUL", "11", change{"room_id": `"!\u0000:d"`}, ErrBadEvent},
		{"room ID with a server", "12", change{"room_id": `"!r:d"`}, ErrBadEvent},
		{"room ID that is short", "12", change{"room_id": `"!r"`}, ErrBadEvent},
	} {
		t.Run(tc.version+" "+tc.name, func(t *testing.T) {
			if _, err := Parse(mustVersion(t, tc.version), []byte(wireEvent(tc.change))); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// Client-Server API, "Size limits", which the versions before 11 took for code points.
func TestParseByteLimits(t *testing.T) {
	fits := strings.Repeat("é", MaxFieldBytes/2) + "x" // as many bytes as there may be
	bytes := fits + "x"
	points := strings.Repeat("é", MaxFieldBytes)
	for _, tc := range []struct {
		name          string
		change        change
		before, since error // in versions 10 and 11
		oversized     bool
	}{
		{"type that fits", change{"type": `"` + fits + `"`}, nil, nil, false},
		{"type over the bytes", change{"type": `"` + bytes + `"`}, nil, ErrFieldTooLong, true},
		{"type at the code points", change{"type": `"` + points + `"`}, nil, ErrFieldTooLong, true},
		{"type over the code points", change{"type": `"` + points + `x"`}, ErrFieldTooLong, ErrFieldTooLong, false},
		{"state key over the bytes", change{"state_key": `"` + bytes + `"`}, nil, ErrFieldTooLong, true},
		{"sender over the bytes", change{"sender": `"@` + points[4:] + `:d"`}, ErrFieldTooLong, ErrFieldTooLong, false},
		{"sender at the code points", change{"sender": `"@` + points[6:] + `:d"`}, nil, ErrFieldTooLong, true},
		{"room ID at the code points", change{"room_id": `"!` + points[6:] + `:d"`}, nil, ErrFieldTooLong, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.change["room_id"] == "" {
				tc.change["room_id"] = `"!r:d"`
			}
			p, err := Parse(mustVersion(t, "10"), []byte(wireEvent(tc.change)))
			if !errors.Is(err, tc.before) {
				t.Errorf("version 10: got %v, want %v", err, tc.before)
			}
			if err == nil && p.Oversized() != tc.oversized {
				t.Errorf("version 10: got oversized %v, want %v", p.Oversized(), tc.oversized)
			}
			p, err = Parse(mustVersion(t, "11"), []byte(wireEvent(tc.change)))
			if !errors.Is(err, tc.since) || err == nil && p.Oversized() {
				t.Errorf("version 11: got %v, want %v", err, tc.since)
			}
		})
	}
}

// Appendices, "Server Name": the examples, and what is none.
func TestValidServerName(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want bool
	}{
		{"matrix.org", true},
		{"matrix.org:8888", true},
		{"1.2.3.4", true},
		{"1.2.3.4:1234", true},
		{"[1234:5678::abcd]", true},
		{"[1234:5678::abcd]:5678", true},
		{"MATRIX.ORG", true},
		{strings.Repeat("a", 255), true},
		{strings.Repeat("a", 256), false},
		{"", false},
		{":8448", false},
		{"matrix.org:", false},
		{"matrix.org:84480000", false},
		{"matrix.org:port", false},
		{"matrix.org:1:2", false},
		{"1234:5678::abcd", false},
		{"[1234:5678::abcd", false},
		{"[1234:5678::abcd]8448", false},
		{"matrix_org", false},
		{"matrix.org/", false},
		{"mätrix.org", false},
	} {
		if got := ValidServerName(tc.in); got != tc.want {
			t.Errorf("%q: got %v, want %v", tc.in, got, tc.want)
		}
	}
}
