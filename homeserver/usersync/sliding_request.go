package usersync

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

// What a request of sliding sync may ask for. The first two are of MSC4186.
const (
	maxSlidingLists         = 100
	maxSlidingSubscriptions = 100
	maxSlidingRanges        = 20
	maxRequiredState        = 100 // entries of one required_state
	maxSlidingFilter        = 100 // entries of one array of a filter
	maxSlidingScope         = 200 // entries of lists and of rooms in an extension
	maxSlidingTimeline      = 100 // events of one room; more is cut down to it
	maxSlidingName          = 255 // bytes of a name that the client chooses
	defaultSlidingTimeline  = 10  // of the unstable form, where clients leave it out
)

// SlidingRequest is what a device asks of sliding sync (MSC4186). ParseSliding makes one.
type SlidingRequest struct {
	User    id.UserID
	Device  id.DeviceID
	Stable  bool // of /v4/sync; else of the unstable endpoint, whose names and shapes differ
	ConnID  string
	Pos     string // of the last answer, "" to begin a connection
	TxnID   string // returned as it is, where clients of the unstable form still send it
	Timeout time.Duration
	// SetPresence is "", "online", "offline" or "unavailable", as of /sync.
	SetPresence string
	Closing     <-chan struct{} // closed when the server stops: answer at once; may be nil

	lists         map[string]*slidingList
	subscriptions map[id.RoomID]*slidingConfig
	extensions    slidingExtensions
	rules         []*requiredState  // by slidingConfig.rule
	digest        [sha256.Size]byte // of all that decides what there is to tell
}

// slidingConfig says what of a room is told.
type slidingConfig struct {
	Limit    int
	Required *requiredState

	rule int // the same for all in the request that require the same
}

// slidingList is a list of rooms, or the parts of one that lie in ranges.
type slidingList struct {
	slidingConfig
	Ranges  [][2]int // inclusive; nil for all
	Filters *slidingFilters
}

// holds tells whether the place i of the list is in a range.
func (l *slidingList) holds(i int) bool {
	if l.Ranges == nil {
		return true
	}
	for _, r := range l.Ranges {
		if i >= r[0] && i <= r[1] {
			return true
		}
	}
	return false
}

// slidingFilters choose among the user's rooms. All that are set must hold.
type slidingFilters struct {
	IsDM         *bool       `json:"is_dm"`
	Spaces       []id.RoomID `json:"spaces"`
	IsEncrypted  *bool       `json:"is_encrypted"`
	IsInvited    *bool       `json:"is_invited"`
	IsInvite     *bool       `json:"is_invite,omitempty"` // the name of IsInvited in the unstable form
	RoomTypes    []*string   `json:"room_types"`
	NotRoomTypes []*string   `json:"not_room_types"`
	NameLike     *string     `json:"room_name_like,omitempty"` // of MSC3575, in the unstable form
	Tags         []string    `json:"tags"`
	NotTags      []string    `json:"not_tags"`
}

// slidingExtensions are what is asked for besides rooms.
type slidingExtensions struct {
	ToDevice    toDeviceExtension `json:"to_device"`
	E2EE        scopedExtension   `json:"e2ee"`
	AccountData scopedExtension   `json:"account_data"`
	Receipts    scopedExtension   `json:"receipts"`
	Typing      scopedExtension   `json:"typing"`
	// Threads is MSC4308.
	Threads threadExtension `json:"io.element.msc4308.thread_subscriptions"`
}

// scopedExtension is an extension that may be for some lists and subscriptions only. nil, or "*", is for all.
type scopedExtension struct {
	Enabled bool      `json:"enabled"`
	Lists   *[]string `json:"lists"`
	Rooms   *[]string `json:"rooms"`
}

// toDeviceExtension is MSC3885.
type toDeviceExtension struct {
	Enabled bool   `json:"enabled"`
	Limit   int    `json:"limit"`
	Since   string `json:"since"`
}

type threadExtension struct {
	Enabled bool `json:"enabled"`
	Limit   int  `json:"limit"`
}

// invalid is the error of a request whose field is wrong.
func invalid(field, format string, args ...any) error {
	return matrixError(400, "M_INVALID_PARAM", field+" "+format, args...)
}

// decodeField reads JSON of a field. null is as good as nothing.
func decodeField(field string, raw json.RawMessage, into any) error {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	err := json.Unmarshal(raw, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return invalid(field+"."+wrong.Field, "must not be a %s", wrong.Value)
	case errors.As(err, &wrong):
		return invalid(field, "must not be a %s", wrong.Value)
	}
	return invalid(field, "is not what it should be")
}

// ParseSliding reads the body of a request of sliding sync, of either form. The error is 400 M_INVALID_PARAM, and names the
// field.
func ParseSliding(user id.UserID, device id.DeviceID, stable bool, body []byte) (*SlidingRequest, error) {
	var wire struct {
		ConnID        json.RawMessage `json:"conn_id"`
		Pos           json.RawMessage `json:"pos"`
		TxnID         json.RawMessage `json:"txn_id"`
		Timeout       json.RawMessage `json:"timeout"`
		SetPresence   json.RawMessage `json:"set_presence"`
		Lists         json.RawMessage `json:"lists"`
		Subscriptions json.RawMessage `json:"room_subscriptions"`
		Extensions    json.RawMessage `json:"extensions"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return nil, matrixError(400, "M_BAD_JSON", "The body must be a JSON object")
	}
	r := &SlidingRequest{User: user, Device: device, Stable: stable}
	var timeout int64
	for _, f := range [...]struct {
		name string
		raw  json.RawMessage
		into any
	}{
		{"conn_id", wire.ConnID, &r.ConnID}, {"pos", wire.Pos, &r.Pos}, {"timeout", wire.Timeout, &timeout},
		{"set_presence", wire.SetPresence, &r.SetPresence}, {"txn_id", wire.TxnID, &r.TxnID},
	} {
		if err := decodeField(f.name, f.raw, f.into); err != nil {
			return nil, err
		}
	}
	if len(r.ConnID) > maxSlidingName {
		return nil, invalid("conn_id", "must not have more than %d bytes", maxSlidingName)
	}
	if strings.ContainsRune(r.ConnID, 0) {
		return nil, invalid("conn_id", "must not hold a NUL")
	}
	if len(r.TxnID) > maxSlidingName {
		return nil, invalid("txn_id", "must not have more than %d bytes", maxSlidingName)
	}
	if err := r.SetTimeout(timeout); err != nil {
		return nil, err
	}
	if err := r.CheckPresence(); err != nil {
		return nil, err
	}
	if err := r.parseLists(wire.Lists); err != nil {
		return nil, err
	}
	if err := r.parseSubscriptions(wire.Subscriptions); err != nil {
		return nil, err
	}
	if err := r.parseExtensions(wire.Extensions); err != nil {
		return nil, err
	}
	return r, r.seal()
}

// SetTimeout takes a timeout in milliseconds. The error is M_INVALID_PARAM.
func (r *SlidingRequest) SetTimeout(ms int64) error {
	if ms < 0 {
		return invalid("timeout", "must not be negative")
	}
	r.Timeout = time.Duration(min(ms, maxWait.Milliseconds())) * time.Millisecond
	return nil
}

// CheckPresence returns M_INVALID_PARAM for a presence that there is none of.
func (r *SlidingRequest) CheckPresence() error {
	switch r.SetPresence {
	case "", "online", "offline", "unavailable":
		return nil
	}
	return invalid("set_presence", "must be online, offline or unavailable")
}

// seal sums the request up.
func (r *SlidingRequest) seal() error {
	extensions := r.extensions
	extensions.ToDevice.Since = "" // it moves on by itself
	sum, err := json.Marshal([]any{r.Stable, r.lists, r.subscriptions, extensions})
	if err != nil {
		return fmt.Errorf("sum up a request: %w", err)
	}
	r.digest = sha256.Sum256(sum)
	known := make(map[string]int)
	number := func(c *slidingConfig) error {
		name, err := json.Marshal(c.Required)
		if err != nil {
			return fmt.Errorf("name what is required: %w", err)
		}
		rule, ok := known[string(name)]
		if !ok {
			rule = len(r.rules)
			known[string(name)] = rule
			r.rules = append(r.rules, c.Required)
		}
		c.rule = rule
		return nil
	}
	for _, l := range r.lists {
		if err := number(&l.slidingConfig); err != nil {
			return err
		}
	}
	for _, c := range r.subscriptions {
		if err := number(c); err != nil {
			return err
		}
	}
	return nil
}

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
	if x.Threads.Limit < 0 {
		return invalid("extensions.io.element.msc4308.thread_subscriptions.limit", "must not be negative")
	}
	if len(x.ToDevice.Since) > maxSlidingName {
		return invalid("extensions.to_device.since", "is not a token of this server")
	}
	return nil
}
