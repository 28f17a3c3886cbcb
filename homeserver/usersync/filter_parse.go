package usersync

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/maphash"
	"strings"
)

// maxFilterBytes bounds a filter as JSON, and by that the lists in it.
const maxFilterBytes = 64 << 10

// filterSeed makes the sums of filters, which do not outlive the process.
var filterSeed = maphash.MakeSeed()

// ParseFilter reads the JSON of a filter. The error is 400 M_INVALID_PARAM, and names the field.
func ParseFilter(raw []byte) (*Filter, error) {
	f := new(Filter)
	if err := parseFilter(raw, f); err != nil {
		return nil, err
	}
	switch f.EventFormat {
	case "", "client", "federation":
	default:
		return nil, badFilter("event_format", "must be client or federation")
	}
	if err := checkIDs("room.rooms", "!", f.Room.Rooms); err != nil {
		return nil, err
	}
	if err := checkIDs("room.not_rooms", "!", &f.Room.NotRooms); err != nil {
		return nil, err
	}
	for _, part := range [...]struct {
		name   string
		filter *EventFilter
	}{
		{"account_data.", f.AccountData}, {"presence.", f.Presence}, {"room.timeline.", f.Room.Timeline},
		{"room.state.", f.Room.State}, {"room.account_data.", f.Room.AccountData}, {"room.ephemeral.", f.Room.Ephemeral},
	} {
		if err := part.filter.check(part.name); err != nil {
			return nil, err
		}
	}
	f.shape = newEventShape(f.EventFields, f.EventFormat)
	f.sum = maphash.Bytes(filterSeed, raw)
	return f, nil
}

// ParseEventFilter reads the JSON of a RoomEventFilter, the filter of /messages and /context. "" is no filter: nil. The error is that
// of ParseFilter.
func ParseEventFilter(raw string) (*EventFilter, error) {
	if raw == "" {
		return nil, nil
	}
	f := new(EventFilter)
	if err := parseFilter([]byte(raw), f); err != nil {
		return nil, err
	}
	return f, f.check("")
}

func parseFilter(raw []byte, f any) error {
	if len(raw) > maxFilterBytes {
		return matrixError(400, "M_INVALID_PARAM", "The filter is larger than %d bytes", maxFilterBytes)
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '{' {
		return matrixError(400, "M_INVALID_PARAM", "The filter is not a JSON object")
	}
	err := json.Unmarshal(raw, f)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return badFilter(wrong.Field, "has the wrong type")
	}
	if err != nil {
		return matrixError(400, "M_INVALID_PARAM", "The filter cannot be read: %s", err)
	}
	return nil
}

// check looks at the values of a filter whose name, with a dot at its end, is prefix.
func (f *EventFilter) check(prefix string) error {
	if f == nil {
		return nil
	}
	if f.Limit != nil && *f.Limit < 0 { // 0 is against the specification, and in use
		return badFilter(prefix+"limit", "must not be below zero")
	}
	if err := checkIDs(prefix+"senders", "@", f.Senders); err != nil {
		return err
	}
	if err := checkIDs(prefix+"not_senders", "@", &f.NotSenders); err != nil {
		return err
	}
	if err := checkIDs(prefix+"rooms", "!", f.Rooms); err != nil {
		return err
	}
	if err := checkIDs(prefix+"not_rooms", "!", &f.NotRooms); err != nil {
		return err
	}
	return f.checkRelations()
}

// checkIDs looks for the sigil of ids. Whether there is anybody of that name does not matter.
func checkIDs[S ~string](field, sigil string, ids *[]S) error {
	if ids == nil {
		return nil
	}
	for _, s := range *ids {
		if !strings.HasPrefix(string(s), sigil) {
			return badFilter(field, "must hold ids that begin with "+sigil)
		}
	}
	return nil
}

func badFilter(field, problem string) error {
	return matrixError(400, "M_INVALID_PARAM", "In the filter, %s %s", field, problem)
}
