package usersync

import (
	"bytes"
	"encoding/json"
	"strings"

	"maunium.net/go/mautrix/id"
)

func (r *SlidingRequest) parseLists(raw json.RawMessage) error {
	var lists map[string]json.RawMessage
	if err := decodeField("lists", raw, &lists); err != nil {
		return err
	}
	if len(lists) > maxSlidingLists {
		return invalid("lists", "must not be more than %d", maxSlidingLists)
	}
	r.lists = make(map[string]*slidingList, len(lists))
	for name, raw := range lists {
		if len(name) > maxSlidingName || r.Stable && !opaque(name) {
			return invalid("lists", "must have names of at most %d of the characters a-z, A-Z, 0-9, -, ., _ and ~", maxSlidingName)
		}
		list, err := r.parseList("lists."+name, raw)
		if err != nil {
			return err
		}
		r.lists[name] = list
	}
	return nil
}

// opaque tells whether a name is an opaque identifier. Appendices, "Opaque Identifiers".
func opaque(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// wireConfig is what lists and subscriptions have in common, on the wire, and what only lists have.
type wireConfig struct {
	Limit    json.RawMessage `json:"timeline_limit"`
	Required json.RawMessage `json:"required_state"`
	Range    json.RawMessage `json:"range"`  // stable
	Ranges   json.RawMessage `json:"ranges"` // unstable
	All      bool            `json:"slow_get_all_rooms"`
	Filters  json.RawMessage `json:"filters"`
}

func (r *SlidingRequest) parseList(field string, raw json.RawMessage) (*slidingList, error) {
	var wire wireConfig
	if err := decodeField(field, raw, &wire); err != nil {
		return nil, err
	}
	config, err := r.parseConfig(field, &wire)
	if err != nil {
		return nil, err
	}
	list := &slidingList{slidingConfig: *config}
	if list.Ranges, err = r.parseRanges(field, &wire); err != nil {
		return nil, err
	}
	list.Filters, err = r.parseFilters(field+".filters", wire.Filters)
	return list, err
}

func (r *SlidingRequest) parseConfig(field string, wire *wireConfig) (*slidingConfig, error) {
	limit := int64(-1)
	if err := decodeField(field+".timeline_limit", wire.Limit, &limit); err != nil {
		return nil, err
	}
	missing := len(wire.Limit) == 0 || bytes.Equal(wire.Limit, []byte("null"))
	switch {
	case missing && r.Stable:
		return nil, invalid(field+".timeline_limit", "is required")
	case missing:
		limit = defaultSlidingTimeline
	case limit < 0:
		return nil, invalid(field+".timeline_limit", "must not be negative")
	}
	config := &slidingConfig{Limit: int(min(limit, maxSlidingTimeline))}
	var err error
	if r.Stable {
		config.Required, err = parseRequired(field+".required_state", wire.Required)
	} else {
		config.Required, err = parseOldRequired(field+".required_state", wire.Required, r.User)
	}
	return config, err
}

func (r *SlidingRequest) parseRanges(field string, wire *wireConfig) ([][2]int, error) {
	var ranges [][]int64
	name := field + ".ranges"
	if r.Stable {
		name = field + ".range"
		var one []int64
		if err := decodeField(name, wire.Range, &one); err != nil {
			return nil, err
		}
		if one != nil {
			ranges = [][]int64{one}
		}
	} else if !wire.All {
		if err := decodeField(name, wire.Ranges, &ranges); err != nil {
			return nil, err
		}
	}
	if ranges == nil {
		return nil, nil
	}
	if len(ranges) > maxSlidingRanges {
		return nil, invalid(name, "must not be more than %d", maxSlidingRanges)
	}
	const most = 1 << 31
	all := make([][2]int, 0, len(ranges))
	for _, one := range ranges {
		if len(one) != 2 || one[0] < 0 || one[1] < one[0] {
			return nil, invalid(name, "must be of two numbers, the second not less than the first, which is not negative")
		}
		all = append(all, [2]int{int(min(one[0], most)), int(min(one[1], most))})
	}
	return all, nil
}

func (r *SlidingRequest) parseFilters(field string, raw json.RawMessage) (*slidingFilters, error) {
	f := new(slidingFilters)
	if err := decodeField(field, raw, f); err != nil {
		return nil, err
	}
	if r.Stable {
		f.IsInvite, f.NameLike = nil, nil
	} else {
		f.IsInvited, f.IsInvite = f.IsInvite, nil
	}
	for name, n := range map[string]int{
		"spaces": len(f.Spaces), "room_types": len(f.RoomTypes), "not_room_types": len(f.NotRoomTypes), "tags": len(f.Tags),
		"not_tags": len(f.NotTags),
	} {
		if n > maxSlidingFilter {
			return nil, invalid(field+"."+name, "must not have more than %d entries", maxSlidingFilter)
		}
	}
	if f.NameLike != nil && len(*f.NameLike) > maxSlidingName {
		return nil, invalid(field+".room_name_like", "must not have more than %d bytes", maxSlidingName)
	}
	if !r.Stable {
		// Clients that leave these empty mean that they want no such filter (matrix-rust-sdk leaves them out by that).
		if len(f.RoomTypes) == 0 {
			f.RoomTypes = nil
		}
	}
	return f, nil
}

func (r *SlidingRequest) parseSubscriptions(raw json.RawMessage) error {
	var wire map[id.RoomID]json.RawMessage
	if err := decodeField("room_subscriptions", raw, &wire); err != nil {
		return err
	}
	if len(wire) > maxSlidingSubscriptions {
		return invalid("room_subscriptions", "must not be more than %d", maxSlidingSubscriptions)
	}
	r.subscriptions = make(map[id.RoomID]*slidingConfig, len(wire))
	for roomID, raw := range wire {
		field := "room_subscriptions." + string(roomID)
		if len(roomID) > maxSlidingName {
			return invalid("room_subscriptions", "must be for room ids of at most %d bytes", maxSlidingName)
		}
		var w wireConfig
		if err := decodeField(field, raw, &w); err != nil {
			return err
		}
		config, err := r.parseConfig(field, &w)
		if err != nil {
			return err
		}
		r.subscriptions[roomID] = config
	}
	return nil
}

// parseExtensions reads the extensions that there are. Others are ignored: a client may know more than this server.
func (r *SlidingRequest) parseExtensions(raw json.RawMessage) error {
	var wire map[string]json.RawMessage
	if err := decodeField("extensions", raw, &wire); err != nil {
		return err
	}
	x := &r.extensions
	for name, into := range map[string]any{
		"to_device": &x.ToDevice, "e2ee": &x.E2EE, "account_data": &x.AccountData, "receipts": &x.Receipts, "typing": &x.Typing,
		stickyExtension: &x.Sticky,
		"io.element.msc4308.thread_subscriptions": &x.Threads,
	} {
		if err := decodeField("extensions."+name, wire[name], into); err != nil {
			return err
		}
		scoped, ok := into.(*scopedExtension)
		if !ok {
			continue
		}
		for what, names := range map[string]*[]string{"lists": scoped.Lists, "rooms": scoped.Rooms} {
			if names != nil && len(*names) > maxSlidingScope {
				return invalid("extensions."+name+"."+what, "must not have more than %d entries", maxSlidingScope)
			}
		}
	}
	if x.ToDevice.Limit < 0 {
		return invalid("extensions.to_device.limit", "must not be negative")
	}
	if x.Sticky.Limit != nil && *x.Sticky.Limit < 1 {
		return invalid("extensions."+stickyExtension+".limit", "must be at least 1")
	}
	if x.Threads.Limit < 0 {
		return invalid("extensions.io.element.msc4308.thread_subscriptions.limit", "must not be negative")
	}
	if len(x.ToDevice.Since) > maxSlidingName {
		return invalid("extensions.to_device.since", "is not a token of this server")
	}
	return nil
}
