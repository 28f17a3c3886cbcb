package doctor

import (
	"fmt"
	"slices"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxExamples bounds the faults of one kind that a report spells out; the others are counted.
const maxExamples = 20

// maxNotes bounds the notes of a report.
const maxNotes = 100

// Report is what an examination has found. It is also what --json prints: names stay as they are.
type Report struct {
	Engine   string             `json:"engine"`
	Server   string             `json:"server_name"`
	Space    store.AuditSpace   `json:"space"`
	Tables   []store.AuditTable `json:"tables"` // largest first
	Rooms    []RoomSize         `json:"rooms"`  // largest first
	Verified bool               `json:"verified"`
	Checked  Counts             `json:"checked"`
	Faults   []Faults           `json:"faults"` // by kind; none: the database is sound
	Notes    []string           `json:"notes"`
	Seconds  float64            `json:"seconds"`
}

// Counts are what was looked at.
type Counts struct {
	Rooms               int64 `json:"rooms"`
	Events              int64 `json:"events"`
	StateSets           int64 `json:"state_sets"`
	Resolutions         int64 `json:"resolutions"`
	Signatures          int64 `json:"signatures"`
	SignaturesUnchecked int64 `json:"signatures_unchecked"` // nobody here knows the key
	AuthUnchecked       int64 `json:"auth_unchecked"`       // redaction has taken what the rules would have looked at
	UnusedStrings       int64 `json:"unused_strings"`
}

// RoomSize is what a room takes.
type RoomSize struct {
	RoomID         id.RoomID `json:"room_id"` // "" for rows of no room
	Bytes          int64     `json:"bytes"`   // about what it takes on disk, indexes included
	Events         int64     `json:"events"`
	EventBytes     int64     `json:"event_bytes"`
	StateSets      int64     `json:"state_sets"`
	StateSetBytes  int64     `json:"state_set_bytes"`
	CurrentState   int64     `json:"current_state"`
	JoinedMembers  int64     `json:"joined_members"`
	Members        int64     `json:"members"`
	OriginalsBytes int64     `json:"redacted_originals_bytes"`
}

// Faults are those of one kind.
type Faults struct {
	Kind     Kind    `json:"kind"`
	What     string  `json:"what"`   // a sentence about the kind
	Advice   string  `json:"advice"` // what can be done
	Count    int64   `json:"count"`
	Examples []Fault `json:"examples"`
}

// Fault is something that must not be so.
type Fault struct {
	RoomID  id.RoomID  `json:"room_id,omitempty"`
	EventID id.EventID `json:"event_id,omitempty"`
	Table   string     `json:"table,omitempty"`
	Text    string     `json:"text"`
}

// Sound tells that nothing is wrong, as far as was looked.
func (r *Report) Sound() bool { return len(r.Faults) == 0 }

// FaultCount returns how many faults there are.
func (r *Report) FaultCount() (n int64) {
	for _, f := range r.Faults {
		n += f.Count
	}
	return n
}

func (r *Report) add(kind Kind, f Fault) {
	i := slices.IndexFunc(r.Faults, func(f Faults) bool { return f.Kind == kind })
	if i < 0 {
		i = len(r.Faults)
		about := kinds[kind]
		r.Faults = append(r.Faults, Faults{Kind: kind, What: about.what, Advice: about.advice})
	}
	all := &r.Faults[i]
	if all.Count++; len(all.Examples) < maxExamples {
		all.Examples = append(all.Examples, f)
	}
}

func (r *Report) note(format string, args ...any) {
	if len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
	}
}

// events returns how many events there are.
func (r *Report) events() int64 {
	for _, t := range r.Tables {
		if t.Name == "events" {
			return t.Rows
		}
	}
	return 0
}
