package roomgen

import (
	"compress/gzip"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// ErrRecording is returned for a recording that does not hold together.
var ErrRecording = errors.New("bad recording")

// maxRecordingBytes bounds what is unpacked of a recording.
const maxRecordingBytes = 64 << 20

// Recording is a room as it is written down: JSON, packed with gzip.
type Recording struct {
	Version  string            `json:"version"`
	Scenario string            `json:"scenario"`
	Seed     uint64            `json:"seed"`
	RoomID   id.RoomID         `json:"room_id"`
	Keys     map[string]string `json:"keys"` // the public key of each server, base64
	Events   []RecordedEvent   `json:"events"`
	Tips     []id.EventID      `json:"tips"`
	Resolved []RecordedPlace   `json:"resolved"` // over the tips
}

// RecordedEvent is an event of a recording.
type RecordedEvent struct {
	EventID  id.EventID      `json:"event_id"`
	Server   string          `json:"server"`
	Rejected bool            `json:"rejected,omitempty"`
	Flaw     Flaw            `json:"flaw,omitempty"`
	PDU      json.RawMessage `json:"pdu"`
	// StateBefore is there for events with several prev events: the resolved state.
	StateBefore []RecordedPlace `json:"state_before,omitempty"`
}

// RecordedPlace is one entry of a state: type, state key, event ID.
type RecordedPlace [3]string

// Record writes the room down.
func (r *Room) Record(scenario string, seed uint64) *Recording {
	rec := &Recording{
		Version: r.Version.ID, Scenario: scenario, Seed: seed, RoomID: r.RoomID, Keys: make(map[string]string),
		Tips: r.Tips(), Resolved: recordState(r.resolved),
	}
	for server, key := range r.Keys {
		rec.Keys[server] = publicKey(key)
	}
	for i := range r.Events {
		e := &r.Events[i]
		recorded := RecordedEvent{EventID: e.PDU.EventID, Server: e.Server, Rejected: e.Rejected, Flaw: e.Flaw, PDU: e.PDU.JSON()}
		if len(e.PDU.PrevEvents) > 1 {
			recorded.StateBefore = recordState(e.StateBefore)
		}
		rec.Events = append(rec.Events, recorded)
	}
	return rec
}

func publicKey(key *event.Key) string {
	return base64.RawStdEncoding.EncodeToString(key.Private.Public().(ed25519.PublicKey))
}

func recordState(s State) []RecordedPlace {
	var places []RecordedPlace
	for k, eventID := range s {
		places = append(places, RecordedPlace{k.Type, k.Key, string(eventID)})
	}
	slices.SortFunc(places, func(x, y RecordedPlace) int { return slices.Compare(x[:], y[:]) })
	return places
}

func readState(places []RecordedPlace) State {
	s := make(State, len(places))
	for _, place := range places {
		s[eventauth.StateKey{Type: place[0], Key: place[1]}] = id.EventID(place[2])
	}
	return s
}

// Write packs rec into w.
func (rec *Recording) Write(w io.Writer) error {
	packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	out := json.NewEncoder(packed)
	out.SetEscapeHTML(false) // It would change the events.
	if err := out.Encode(rec); err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	return packed.Close()
}

// ReadRecording unpacks what Write wrote.
func ReadRecording(r io.Reader) (*Recording, error) {
	packed, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	rec := &Recording{}
	if err := json.NewDecoder(io.LimitReader(packed, maxRecordingBytes)).Decode(rec); err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return rec, packed.Close()
}

// Room returns the room that was recorded, its events parsed as if they came from another server. Nothing is verified but that the
// event IDs and keys are those of the recording, and that the prev events are there; nothing is resolved. Errors: ErrRecording,
// event.ErrUnknownVersion, those of event.Parse.
func (rec *Recording) Room() (*Room, error) {
	v, err := event.LookupVersion(rec.Version)
	if err != nil {
		return nil, err
	}
	r := &Room{
		Version: v, RoomID: rec.RoomID, Keys: make(map[string]*event.Key), index: make(map[id.EventID]int),
		resolve: resolve, resolved: readState(rec.Resolved),
	}
	for server, public := range rec.Keys {
		key := newKey(rec.Seed, server)
		if publicKey(key) != public {
			return nil, fmt.Errorf("%w: the key of %s is another", ErrRecording, server)
		}
		r.Keys[server] = key
	}
	for i := range rec.Events {
		e, err := r.replay(&rec.Events[i])
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		r.add(e)
	}
	return r, nil
}

// replay returns a recorded event with its states.
func (r *Room) replay(recorded *RecordedEvent) (Event, error) {
	p, err := event.Parse(r.Version, recorded.PDU)
	if err != nil {
		return Event{}, err
	}
	if p.EventID != recorded.EventID {
		return Event{}, fmt.Errorf("%w: %s is called %s", ErrRecording, p.EventID, recorded.EventID)
	}
	e := Event{PDU: p, Server: recorded.Server, Rejected: recorded.Rejected, Flaw: recorded.Flaw, StateBefore: State{}}
	for _, prev := range p.PrevEvents {
		before := r.Lookup(prev)
		if before == nil {
			return Event{}, fmt.Errorf("%w: no prev event %s", ErrRecording, prev)
		}
		e.StateBefore = before.StateAfter
	}
	if len(p.PrevEvents) > 1 {
		e.StateBefore = readState(recorded.StateBefore)
	}
	e.StateAfter = e.StateBefore
	if p.StateKey != nil && !e.Rejected {
		e.StateAfter = maps.Clone(e.StateBefore)
		e.StateAfter[eventauth.StateKey{Type: p.Type, Key: *p.StateKey}] = p.EventID
	}
	return e, nil
}
