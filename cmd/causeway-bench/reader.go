package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// pollMS is how long a /sync may be parked, in milliseconds.
	pollMS = 20_000
	// timelineLimit is how many events one /sync may bring.
	timelineLimit = 100
)

// reader follows a room through long-polling /sync, as a client does.
type reader struct {
	site   *site
	user   *user
	roomID string
	filter string
	since  string
	prefix string // of the texts to look for
	gaps   int    // answers that left events out
	answer bytes.Buffer
	readAt time.Time // when the last answer was there
}

// syncAnswer is what we read of an answer to /sync.
type syncAnswer struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Join map[string]struct {
			Timeline struct {
				Limited bool `json:"limited"`
				Events  []struct {
					Content struct {
						Body string `json:"body"`
					} `json:"content"`
				} `json:"events"`
			} `json:"timeline"`
		} `json:"join"`
	} `json:"rooms"`
}

// newReader uploads the filter and makes the initial /sync.
func newReader(ctx context.Context, s *site, u *user, roomID string) (*reader, error) {
	nothing := map[string]any{"not_types": []string{"*"}}
	in := map[string]any{
		"presence": nothing, "account_data": nothing,
		"room": map[string]any{
			"rooms": []string{roomID}, "ephemeral": nothing, "account_data": nothing,
			"timeline": map[string]any{"limit": timelineLimit},
			"state":    map[string]any{"lazy_load_members": true},
		},
	}
	var out struct {
		FilterID string `json:"filter_id"`
	}
	if err := s.call(ctx, u.token, http.MethodPost, "/_matrix/client/v3/user/"+url.PathEscape(u.id)+"/filter", in, &out); err != nil {
		return nil, err
	}
	r := &reader{
		site: s, user: u, roomID: roomID, filter: url.QueryEscape(out.FilterID),
		prefix: s.run + "-" + deliverSeries + "-",
	}
	if _, err := r.sync(ctx); err != nil {
		return nil, fmt.Errorf("first /sync: %w", err)
	}
	return r, nil
}

// follow reads until ctx ends, and calls seen for each message of the load in
// the order in which they come, with the time at which the answer was there.
func (r *reader) follow(ctx context.Context, seen func(n int, at time.Time)) error {
	for {
		answer, err := r.sync(ctx)
		if err != nil {
			return err
		}
		room := answer.Rooms.Join[r.roomID]
		if room.Timeline.Limited {
			r.gaps++
		}
		for _, event := range room.Timeline.Events {
			if n, ok := r.number(event.Content.Body); ok {
				seen(n, r.readAt)
			}
		}
	}
}

// number reads a message's number from its text.
func (r *reader) number(body string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(body, r.prefix)
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// sync makes one request. The first one asks for no waiting.
func (r *reader) sync(ctx context.Context) (*syncAnswer, error) {
	query := "?timeout=0&filter=" + r.filter
	if r.since != "" {
		query = "?timeout=" + strconv.Itoa(pollMS) + "&filter=" + r.filter + "&since=" + url.QueryEscape(r.since)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.site.address("/_matrix/client/v3/sync"+query), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.user.token)
	res, err := r.site.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	r.answer.Reset()
	if _, err := r.answer.ReadFrom(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, newStatusError(res.StatusCode, r.answer.Bytes())
	}
	r.readAt = time.Now()
	var answer syncAnswer
	if err := json.Unmarshal(r.answer.Bytes(), &answer); err != nil {
		return nil, err
	}
	if answer.NextBatch == "" {
		return nil, fmt.Errorf("the answer to /sync has no next_batch")
	}
	r.since = answer.NextBatch
	return &answer, nil
}
