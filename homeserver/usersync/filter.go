package usersync

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// defaultTimeline and maxTimeline are the events of one room in one answer of /sync.
	defaultTimeline = 10
	maxTimeline     = 500
	// maxCachedFilters and maxCachedFilterBytes bound the filters kept in memory. Those of real clients have a few hundred bytes.
	maxCachedFilters     = 10_000
	maxCachedFilterBytes = 4 << 10
)

// Filter says what a client wants from /sync. Client-Server API, "Filtering".
type Filter struct {
	EventFields *[]string    `json:"event_fields"` // nil for all of them
	EventFormat string       `json:"event_format"` // "" or client, or federation
	AccountData *EventFilter `json:"account_data"`
	Presence    *EventFilter `json:"presence"`
	Room        RoomFilter   `json:"room"`

	shape *eventShape // what EventFields and EventFormat make of an event, nil for nothing
	sum   uint64      // tells filters apart, as far as a process lives
}

// RoomFilter is the part of a Filter that is about rooms.
type RoomFilter struct {
	Rooms        *[]id.RoomID `json:"rooms"`
	NotRooms     []id.RoomID  `json:"not_rooms"`
	IncludeLeave bool         `json:"include_leave"`
	Timeline     *EventFilter `json:"timeline"`
	State        *EventFilter `json:"state"`
	AccountData  *EventFilter `json:"account_data"`
	Ephemeral    *EventFilter `json:"ephemeral"`
}

// EventFilter chooses events. A nil *EventFilter lets everything pass.
type EventFilter struct {
	Limit       *int         `json:"limit"`
	Types       *[]string    `json:"types"` // nil for all types; * stands for anything
	NotTypes    []string     `json:"not_types"`
	Senders     *[]id.UserID `json:"senders"`
	NotSenders  []id.UserID  `json:"not_senders"`
	Rooms       *[]id.RoomID `json:"rooms"`
	NotRooms    []id.RoomID  `json:"not_rooms"`
	ContainsURL *bool        `json:"contains_url"`
	LazyMembers bool         `json:"lazy_load_members"`
	// RedundantMembers has members sent again that the client was sent before. It means nothing without LazyMembers.
	RedundantMembers bool `json:"include_redundant_members"`

	relationFilter
	// UnreadThreads asks for unread counts by thread. Of the timeline's filter alone.
	UnreadThreads bool `json:"unread_thread_notifications"`
}

var defaultFilter = new(Filter)

// limit returns how many events the filter asks for, within bounds.
func (f *EventFilter) limit(absent, most int) int {
	if f == nil || f.Limit == nil {
		return absent
	}
	return min(*f.Limit, most)
}

func (f *EventFilter) lazy() bool { return f != nil && f.LazyMembers }

// all tells whether the filter lets every event of a room that passes allowsRoom pass.
func (f *EventFilter) all() bool {
	return f == nil || f.Types == nil && len(f.NotTypes) == 0 && f.Senders == nil && len(f.NotSenders) == 0 && f.ContainsURL == nil &&
		f.relationFilter.all()
}

// allows tells whether an event passes. Rooms are allowsRoom's matter.
func (f *EventFilter) allows(p *event.PDU) bool {
	if f.all() {
		return true
	}
	if !f.allowsType(p.Type) {
		return false
	}
	if !f.allowsSender(p.Sender) {
		return false
	}
	if f.ContainsURL != nil {
		if _, isString := event.Text(event.Field(p.Content, "url")); isString != *f.ContainsURL {
			return false
		}
	}
	return f.allowsRelation(p)
}

func (f *EventFilter) allowsSender(sender id.UserID) bool {
	return f == nil || !contains(f.NotSenders, sender) && (f.Senders == nil || contains(*f.Senders, sender))
}

func (f *EventFilter) allowsType(eventType string) bool {
	if f == nil {
		return true
	}
	for _, pattern := range f.NotTypes {
		if matchType(pattern, eventType) {
			return false
		}
	}
	if f.Types == nil {
		return true
	}
	for _, pattern := range *f.Types {
		if matchType(pattern, eventType) {
			return true
		}
	}
	return false
}

func (f *EventFilter) allowsRoom(roomID id.RoomID) bool {
	return f == nil || !contains(f.NotRooms, roomID) && (f.Rooms == nil || contains(*f.Rooms, roomID))
}

func (f *RoomFilter) allowsRoom(roomID id.RoomID) bool {
	return !contains(f.NotRooms, roomID) && (f.Rooms == nil || contains(*f.Rooms, roomID))
}

func contains[T comparable](list []T, want T) bool {
	for _, have := range list {
		if have == want {
			return true
		}
	}
	return false
}

// matchType tells whether a type matches a pattern in which * stands for any text.
func matchType(pattern, s string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for {
		// Each piece between two stars may as well be found as early as possible.
		var piece string
		if piece, rest, wild = strings.Cut(rest, "*"); !wild {
			return strings.HasSuffix(s, piece)
		}
		i := strings.Index(s, piece)
		if i < 0 {
			return false
		}
		s = s[i+len(piece):]
	}
}

// filterCache remembers filters by id. A stored filter never changes.
type filterCache struct {
	mu      sync.RWMutex // guards filters
	filters map[filterKey]*Filter
}

type filterKey struct {
	user     id.UserID
	filterID int64
}

// Filter returns what the filter parameter of /sync means: "" is no filter, a JSON object is a filter itself, and anything
// else is the id of one that the user has stored. The error is 400 M_INVALID_PARAM.
func (s *Service) Filter(ctx context.Context, user id.UserID, param string) (*Filter, error) {
	if param == "" {
		return defaultFilter, nil
	}
	if param[0] == '{' {
		return ParseFilter([]byte(param))
	}
	unknown := matrixError(400, "M_INVALID_PARAM", "You have no filter of this id")
	filterID, err := strconv.ParseInt(param, 10, 64)
	if err != nil {
		return nil, unknown
	}
	key := filterKey{user, filterID}
	s.filters.mu.RLock()
	f := s.filters.filters[key]
	s.filters.mu.RUnlock()
	if f != nil {
		return f, nil
	}
	small := false
	err = s.db.View(ctx, func(tx *store.Tx) error {
		raw, err := tx.Filter(user, filterID)
		if err != nil {
			return err
		}
		small = len(raw) <= maxCachedFilterBytes
		f, err = ParseFilter(raw)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	if small {
		s.filters.put(key, f)
	}
	return f, nil
}

func (c *filterCache) put(key filterKey, f *Filter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.filters) >= maxCachedFilters {
		clear(c.filters)
	}
	c.filters[key] = f
}
