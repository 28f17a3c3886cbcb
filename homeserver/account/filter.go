package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on filters.
const (
	maxFilterBytes    = 64 << 10
	maxFiltersPerUser = 500 // the oldest ones are forgotten, and a client that still has one makes it anew
)

// AddFilter keeps a filter of a user and returns its id, which is the same for the same filter. Errors: M_BAD_JSON,
// M_TOO_LARGE.
func (s *Service) AddFilter(ctx context.Context, user id.UserID, raw json.RawMessage) (filterID string, err error) {
	canonical, err := checkFilter(raw)
	if err != nil {
		return "", err
	}
	var number int64
	find := func(tx *store.Tx) (err error) {
		number, err = tx.FilterID(user, canonical)
		return err
	}
	// Clients upload their filter at every start.
	err = s.db.View(ctx, find)
	if errors.Is(err, store.ErrNotFound) {
		err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
			if err := find(tx); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			number, err = tx.InsertFilter(user, canonical, maxFiltersPerUser)
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("keep a filter of %s: %w", user, err)
	}
	return strconv.FormatInt(number, 10), nil
}

// Filter returns a filter of a user as canonical JSON. Errors: M_NOT_FOUND.
func (s *Service) Filter(ctx context.Context, user id.UserID, filterID string) (filter json.RawMessage, err error) {
	number, err := strconv.ParseInt(filterID, 10, 64)
	if err != nil {
		return nil, notFound("Unknown filter")
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		filter, err = tx.Filter(user, number)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("Unknown filter")
	}
	return filter, err
}

// filterShape is the form of a filter (Client-Server API, Filtering). Keys that are not in it are kept and ignored.
type filterShape struct {
	EventFields []string     `json:"event_fields"`
	EventFormat *string      `json:"event_format"`
	Presence    *eventFilter `json:"presence"`
	AccountData *eventFilter `json:"account_data"`
	Room        *struct {
		Rooms       []string     `json:"rooms"`
		NotRooms    []string     `json:"not_rooms"`
		IncludeLeft *bool        `json:"include_leave"`
		Ephemeral   *eventFilter `json:"ephemeral"`
		State       *eventFilter `json:"state"`
		Timeline    *eventFilter `json:"timeline"`
		AccountData *eventFilter `json:"account_data"`
	} `json:"room"`
}

type eventFilter struct {
	Limit       *int64   `json:"limit"`
	Types       []string `json:"types"`
	NotTypes    []string `json:"not_types"`
	Senders     []string `json:"senders"`
	NotSenders  []string `json:"not_senders"`
	Rooms       []string `json:"rooms"`
	NotRooms    []string `json:"not_rooms"`
	ContainsURL *bool    `json:"contains_url"`
	LazyLoad    *bool    `json:"lazy_load_members"`
	Redundant   *bool    `json:"include_redundant_members"`
	Threads     *bool    `json:"unread_thread_notifications"`
}

// checkFilter returns a filter with its keys sorted, so that the same filter has the same bytes.
func checkFilter(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) > maxFilterBytes {
		return nil, matrixError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "The filter is larger than %d bytes", maxFilterBytes)
	}
	var shape filterShape
	if err := json.Unmarshal(raw, &shape); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, badFilter("%s has the wrong type", wrong.Field)
		}
		return nil, badFilter("The filter is not one")
	}
	if err := shape.check(); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var sorted map[string]any
	if err := decoder.Decode(&sorted); err != nil {
		return nil, badFilter("The filter is not one")
	}
	var canonical bytes.Buffer
	encoder := json.NewEncoder(&canonical)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(sorted); err != nil {
		return nil, fmt.Errorf("marshal a filter: %w", err)
	}
	return bytes.TrimSuffix(canonical.Bytes(), []byte("\n")), nil
}

func (f *filterShape) check() error {
	if f.EventFormat != nil && *f.EventFormat != "client" && *f.EventFormat != "federation" {
		return badFilter("event_format must be client or federation")
	}
	filters := []*eventFilter{f.Presence, f.AccountData}
	if room := f.Room; room != nil {
		filters = append(filters, room.Ephemeral, room.State, room.Timeline, room.AccountData)
		if err := allBegin("rooms", "!", room.Rooms, room.NotRooms); err != nil {
			return err
		}
	}
	for _, e := range filters {
		if e == nil {
			continue
		}
		if e.Limit != nil && *e.Limit < 0 { // 0 is against the specification, and in use
			return badFilter("limit must not be negative")
		}
		if err := allBegin("senders", "@", e.Senders, e.NotSenders); err != nil {
			return err
		}
		if err := allBegin("rooms", "!", e.Rooms, e.NotRooms); err != nil {
			return err
		}
	}
	return nil
}

func allBegin(what, sigil string, lists ...[]string) error {
	for _, list := range lists {
		for _, s := range list {
			if !strings.HasPrefix(s, sigil) {
				return badFilter("%s must begin with %s", what, sigil)
			}
		}
	}
	return nil
}

func badFilter(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_BAD_JSON", format, args...)
}
