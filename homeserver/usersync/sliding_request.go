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

// maxSlidingBody is how many bytes an answer tells of rooms before it leaves the others to the next. One room is told in one piece.
const maxSlidingBody = 8 << 20

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

	// Nothing is remembered of what earlier requests of the connection asked for: unlike in MSC3575, neither form has anything that sticks,
	// and a client that leaves out a subscription is no longer told of the room.
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
	Sticky      stickyRequest     `json:"org.matrix.msc4354.sticky_events"`
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

// stickyRequest is MSC4480.
type stickyRequest struct {
	Enabled bool   `json:"enabled"`
	Limit   *int   `json:"limit"`
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
		return invalid(field+"."+wrong.Field, "is of the wrong type: %s", wrong.Value)
	case errors.As(err, &wrong):
		return invalid(field, "is of the wrong type: %s", wrong.Value)
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
	if err := r.parseConnection(wire.ConnID, wire.Pos, wire.TxnID, wire.Timeout, wire.SetPresence); err != nil {
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

// parseConnection reads what is about the connection.
func (r *SlidingRequest) parseConnection(connID, pos, txnID, wait, presence json.RawMessage) error {
	var timeout int64
	for _, f := range [...]struct {
		name string
		raw  json.RawMessage
		into any
	}{
		{"conn_id", connID, &r.ConnID}, {"pos", pos, &r.Pos}, {"timeout", wait, &timeout},
		{"set_presence", presence, &r.SetPresence}, {"txn_id", txnID, &r.TxnID},
	} {
		if err := decodeField(f.name, f.raw, f.into); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"conn_id": r.ConnID, "txn_id": r.TxnID} {
		if len(value) > maxSlidingName || strings.ContainsRune(value, 0) {
			return invalid(name, "must not have more than %d bytes, nor a NUL", maxSlidingName)
		}
	}
	if err := r.SetTimeout(timeout); err != nil {
		return err
	}
	return r.CheckPresence()
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
	extensions.ToDevice.Since, extensions.Sticky.Since = "", "" // they move on by themselves
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
