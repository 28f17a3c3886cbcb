package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	slidingPath = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
	searchPath  = "/_matrix/client/v3/search"
	// pageOf is how many events a page of /messages has.
	pageOf = 100
	// askedWords is how often each kind of word is searched for.
	askedWords = 50
	// quietWindows is how often sliding sync is asked when there is nothing new.
	quietWindows = 200
)

// slidingOf measures sliding sync as Element X asks for it.
func (s *stage) slidingOf(ctx context.Context, r *reads) error {
	people, err := s.cast(ctx, 2)
	if err != nil {
		return err
	}
	fresh, err := s.strangers(ctx, 1)
	if err != nil {
		return err
	}
	owner := fresh[0]
	rooms, err := s.halls(ctx, owner, r.windows)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, rooms, people[:1]); err != nil {
		return err
	}
	request := func(conn string) map[string]any {
		return map[string]any{
			"conn_id": conn,
			"lists": map[string]any{"all": map[string]any{
				"ranges": [][]int{{0, 19}}, "timeline_limit": 1, "required_state": elementState,
				"filters": map[string]any{"not_room_types": []string{"m.space"}},
			}},
			"extensions": map[string]any{
				"account_data": map[string]any{"enabled": true}, "receipts": map[string]any{"enabled": true}, "typing": map[string]any{"enabled": true},
				"to_device": map[string]any{"enabled": true}, "e2ee": map[string]any{"enabled": true},
			},
		}
	}
	var answer bytes.Buffer
	if err := s.times(ctx, fmt.Sprintf("first sliding sync, %d rooms", r.windows), 20, func(i int) (int64, error) {
		return s.get(ctx, owner, http.MethodPost, slidingPath+"?timeout=0", request("c"+strconv.Itoa(i%4)), &answer)
	}); err != nil {
		return err
	}
	return s.times(ctx, fmt.Sprintf("sliding sync with nothing new, %d rooms", r.windows), quietWindows, func(int) (int64, error) {
		var last struct{ Pos string }
		if err := json.Unmarshal(answer.Bytes(), &last); err != nil {
			return 0, err
		}
		return s.get(ctx, owner, http.MethodPost, slidingPath+"?timeout=0&pos="+url.QueryEscape(last.Pos), request("c3"), &answer)
	})
}

// elementState is the required_state of a room list.
var elementState = [][2]string{
	{"m.room.name", ""}, {"m.room.avatar", ""}, {"m.room.topic", ""}, {"m.room.canonical_alias", ""}, {"m.room.encryption", ""},
	{"m.room.power_levels", ""}, {"m.room.join_rules", ""}, {"m.room.tombstone", ""}, {"m.room.create", ""},
	{"m.room.history_visibility", ""}, {"m.room.pinned_events", ""}, {"org.matrix.msc3401.call.member", "*"},
	{"m.space.child", "*"}, {"m.space.parent", "*"}, {"m.room.member", "$LAZY"}, {"m.room.member", "$ME"},
}

// pagingOf measures paging back from the newest event to the first.
func (s *stage) pagingOf(ctx context.Context, r *reads) error {
	people, err := s.cast(ctx, stageAtOnce)
	if err != nil {
		return err
	}
	rooms, err := s.halls(ctx, people[0], 1)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, rooms, people[1:]); err != nil {
		return err
	}
	if err := s.chatter(ctx, people, rooms, "p", r.messages, func(_, i int) string { return "message " + strconv.Itoa(i) }); err != nil {
		return err
	}
	var (
		answer bytes.Buffer
		from   string
		events int
	)
	pages := r.messages/pageOf + 1
	start := time.Now()
	if err := s.times(ctx, fmt.Sprintf("a page of %d events, back through %d", pageOf, r.messages), pages, func(int) (int64, error) {
		path := "/_matrix/client/v3/rooms/" + url.PathEscape(rooms[0]) + "/messages?dir=b&limit=" + strconv.Itoa(pageOf) + from
		size, err := s.get(ctx, people[0], http.MethodGet, path, nil, &answer)
		if err != nil {
			return 0, err
		}
		var page struct {
			Chunk []struct{} `json:"chunk"`
			End   string     `json:"end"`
		}
		if err := json.Unmarshal(answer.Bytes(), &page); err != nil {
			return 0, err
		}
		events += len(page.Chunk)
		from = "&from=" + url.QueryEscape(page.End)
		return size, nil
	}); err != nil {
		return err
	}
	if events < r.messages {
		return fmt.Errorf("%d events on all pages, want %d at least", events, r.messages)
	}
	s.figures[len(s.figures)-1].Note = fmt.Sprintf("%.0f events/s with the client's reading", float64(events)/time.Since(start).Seconds())
	return nil
}

// chatter puts n messages into rooms, by all at once.
func (s *stage) chatter(ctx context.Context, people []*user, rooms []string, series string, n int, text func(who, i int) string) error {
	group, ctx := errgroup.WithContext(ctx)
	each := n / len(people)
	for who, u := range people {
		group.Go(func() error {
			return s.say(ctx, u, rooms[who%len(rooms)], series+strconv.Itoa(who), each, func(i int) string { return text(who, i) })
		})
	}
	return group.Wait()
}

// searchOf measures search by words that are in many messages, and in few.
func (s *stage) searchOf(ctx context.Context, r *reads) error {
	people, err := s.cast(ctx, stageAtOnce)
	if err != nil {
		return err
	}
	const halls = 16
	rooms, err := s.halls(ctx, people[0], halls)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, rooms, people[1:]); err != nil {
		return err
	}
	if err := s.chatter(ctx, people, rooms, "f", r.searched, sentence); err != nil {
		return err
	}
	search := func(term func(i int) string, order string) func(int) (int64, error) {
		return func(i int) (int64, error) {
			return s.get(ctx, people[0], http.MethodPost, searchPath, map[string]any{"search_categories": map[string]any{"room_events": map[string]any{
				"search_term": term(i), "order_by": order, "event_context": map[string]int{"before_limit": 1, "after_limit": 1},
			}}}, nil)
		}
	}
	word := func(w string) func(int) string { return func(int) string { return w } }
	each := r.searched / len(people)
	// The index may still be behind.
	if _, err := search(word("causeway"), "recent")(0); err != nil {
		return err
	}
	for _, kind := range []struct {
		name  string
		term  func(int) string
		order string
	}{
		{"a word of every message, newest first", word("message"), "recent"},
		{"a word of one message in 1,000, newest first", word("thousandth"), "recent"},
		{"a word of one message in 1,000, by rank", word("thousandth"), "rank"},
		{"two words, of which one is rare", func(i int) string { return "message number" + strconv.Itoa(i*7919%each) }, "recent"},
	} {
		if err := s.times(ctx, fmt.Sprintf("search of %d: %s", r.searched, kind.name), askedWords, search(kind.term, kind.order)); err != nil {
			return err
		}
	}
	return nil
}

// sentence is the text of a message to be searched.
func sentence(who, i int) string {
	text := fmt.Sprintf("message number%d of speaker%d in the great hall about subject%d", i, who, i%97)
	if i%1000 == 999 {
		text += " thousandth"
	}
	return text
}
