// Package retention says how long the messages of a room are kept (MSC1763): by what the room's m.room.retention event asks for, and
// by what the server allows. The job that deletes messages calls it, and those who show messages may, so as not to show what is
// about to go. It is of pure functions.
package retention

import (
	"encoding/json"
	"math"
	"time"
)

// EventType is the type of the state event, with an empty state key, that says how long a room's messages are kept.
const EventType = "m.room.retention"

// Policy is what a server has to say about the retention of messages. The zero Policy keeps all messages for ever.
type Policy struct {
	// Enabled is whether messages are ever deleted.
	Enabled bool
	// Default is how long messages are kept in rooms that do not say, 0 for ever.
	Default time.Duration
	// Min and Max limit what rooms ask for; 0 is no limit. A room that asks for nothing has the default, whatever the limits.
	Min, Max time.Duration
}

// MaxLifetime returns how long the messages of a room are kept, in milliseconds, or 0 for ever. content is that of the room's
// m.room.retention event, nil for none; one that makes no sense is taken for none.
func (p Policy) MaxLifetime(content []byte) int64 {
	if !p.Enabled {
		return 0
	}
	lifetime, ok := MaxLifetime(content)
	if !ok {
		return p.Default.Milliseconds()
	}
	if p.Max > 0 {
		lifetime = min(lifetime, p.Max.Milliseconds())
	}
	if p.Min > 0 {
		lifetime = max(lifetime, p.Min.Milliseconds())
	}
	return lifetime
}

// maxInteger is the largest integer of canonical JSON.
const maxInteger = 1<<53 - 1

// MaxLifetime returns the max_lifetime of the content of an m.room.retention event, in milliseconds. ok is false when there is none,
// or when the content makes no sense: numbers that are no integers or below 1, or a min_lifetime beyond the max_lifetime.
func MaxLifetime(content []byte) (lifetime int64, ok bool) {
	var in struct {
		Max *float64 `json:"max_lifetime"`
		Min *float64 `json:"min_lifetime"`
	}
	if len(content) == 0 || json.Unmarshal(content, &in) != nil || in.Max == nil || !isLifetime(*in.Max, 1) {
		return 0, false
	}
	if in.Min != nil && (!isLifetime(*in.Min, 0) || *in.Min > *in.Max) {
		return 0, false
	}
	return int64(*in.Max), true
}

func isLifetime(f float64, least float64) bool {
	return f >= least && f <= maxInteger && f == math.Trunc(f)
}
