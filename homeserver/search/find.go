package search

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of one request.
const (
	maxTermBytes = 2048 // of search_term: what comes after is not looked for
	maxQuery     = 32   // words that are looked for
	maxPage      = 100  // events of one answer
	defaultPage  = 10
	maxAround    = 50      // events of a context, on each side
	around       = 5       // of them, unless the client says otherwise
	maxBytes     = 8 << 20 // of one answer, past its first event
	// maxFound is how many events are counted, and how many are put into order by rank at once.
	maxFound = 500
	// maxLooked is how many events that the index has found are looked at by one request.
	maxLooked = 4 * maxFound
	// maxForeign is how many events of other rooms one request passes over before it has the index tell the rooms apart, which costs
	// more where that is not needed. The index can do it for maxRoomWords rooms; where there are more, maxPassed events are passed
	// over.
	maxForeign   = 500
	fewRooms     = 8 // for so few, the index is asked to from the beginning
	maxRoomWords = 256
	maxPassed    = 20_000
)

// Criteria say what events are looked for. Client-Server API, POST /search, room_events.
type Criteria struct {
	Term    *string         `json:"search_term"`
	Keys    *[]string       `json:"keys"`
	Filter  json.RawMessage `json:"filter"`
	OrderBy string          `json:"order_by"`
	Context *struct {
		Before   *int64 `json:"before_limit"`
		After    *int64 `json:"after_limit"`
		Profiles bool   `json:"include_profile"`
	} `json:"event_context"`
	IncludeState bool `json:"include_state"`
	Groupings    struct {
		GroupBy []struct {
			Key string `json:"key"`
		} `json:"group_by"`
	} `json:"groupings"`
}

// Values of Criteria.OrderBy and of the keys of groups.
const (
	orderRecent = "recent"
	orderRank   = "rank"
	groupRoom   = "room_id"
	groupSender = "sender"
)

// Request asks for events.
type Request struct {
	User      id.UserID
	Device    id.DeviceID
	NextBatch string // "" for the first page
	Criteria
}

// search is one request on its way.
type search struct {
	s      *Service
	req    Request
	limit  int
	groups []string
	from   token

	wanted []word   // the words of the term
	query  []string // in the index
	keys   map[string]bool

	tx     *store.Tx
	reader Reader
	rooms  map[int64]bool
	anyOf  []string
}

// hit is an event that was found and that the user may see.
type hit struct {
	event   *store.Event
	roomNID int64
	rank    float64
}

// Find finds events for a user, and answers with the object room_events of POST /search. Errors: M_MISSING_PARAM, M_INVALID_PARAM.
func (s *Service) Find(ctx context.Context, req Request) (json.RawMessage, error) {
	q := &search{s: s, req: req}
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	q.prepare()
	var out []byte
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		q.tx = tx
		page, err := q.page()
		if err != nil {
			return err
		}
		out, err = q.append(page)
		return err
	})
	return out, err
}

func (q *search) check() error {
	c := &q.req.Criteria
	if c.Term == nil {
		return matrixError(400, "M_MISSING_PARAM", "search_term is missing")
	}
	switch c.OrderBy {
	case "":
		c.OrderBy = orderRank
	case orderRank, orderRecent:
	default:
		return matrixError(400, "M_INVALID_PARAM", "order_by must be recent or rank")
	}
	for _, g := range c.Groupings.GroupBy {
		if g.Key != groupRoom && g.Key != groupSender {
			return matrixError(400, "M_INVALID_PARAM", "The key of a group must be room_id or sender")
		}
		if !slices.Contains(q.groups, g.Key) {
			q.groups = append(q.groups, g.Key)
		}
	}
	var filter struct {
		Limit *int64 `json:"limit"`
	}
	if len(c.Filter) > 0 && json.Unmarshal(c.Filter, &filter) != nil {
		return matrixError(400, "M_INVALID_PARAM", "The filter cannot be read")
	}
	q.limit = defaultPage
	if filter.Limit != nil {
		q.limit = int(min(max(*filter.Limit, 1), maxPage))
	}
	if q.req.NextBatch == "" {
		return nil
	}
	var err error
	q.from, err = parseToken(q.req.NextBatch)
	return err
}

// prepare makes the words of the query. The key of the index is there.
func (q *search) prepare() {
	q.keys = map[string]bool{keyBody: true, keyName: true, keyTopic: true}
	if q.req.Keys != nil {
		clear(q.keys)
		for _, key := range *q.req.Keys {
			q.keys[key] = true
		}
	}
	seen := make(map[string]bool)
	words(clipTo(*q.req.Term, maxTermBytes), func(w word) bool {
		if !slices.ContainsFunc(q.wanted, func(have word) bool { return have.folded == w.folded }) {
			q.wanted = append(q.wanted, w)
		}
		w.wanted(func(term string) {
			if !seen[term] && len(seen) < maxQuery {
				seen[term] = true
				q.query = append(q.query, q.s.hash(kindWord, term))
			}
		})
		return len(q.wanted) < maxQuery
	})
}

// result is a page of hits.
type result struct {
	hits   []hit
	count  int
	next   *token // nil when there are no more
	window int64  // the newest position of the window that the hits are from
	places []int  // where in it each of them is
}

// page finds the hits of one page. Hits are taken from a window of the newest ones, in the order that is wanted; when all of a window
// have been shown, the next one begins before its oldest.
func (q *search) page() (*result, error) {
	var err error
	if q.reader, err = q.s.Open(q.tx, q.req.User, q.req.Device, q.req.Filter); err != nil {
		return nil, err
	}
	r := &result{count: q.from.Count}
	if len(q.query) == 0 || len(q.keys) == 0 {
		return r, nil
	}
	if err := q.openRooms(); err != nil || len(q.rooms) == 0 {
		return r, err
	}
	from := q.from
	if from.Upto == 0 {
		if from.Upto, err = q.tx.StreamPos(); err != nil {
			return nil, err
		}
	}
	first := q.req.NextBatch == ""
	most := maxFound
	if !first && q.req.OrderBy == orderRecent {
		most = q.limit // there is nothing to be counted or put into order
	}
	found, before, err := q.window(from, most)
	if err != nil {
		return nil, err
	}
	if first {
		r.count = len(found)
	}
	if q.req.OrderBy == orderRank {
		slices.SortStableFunc(found, func(a, b hit) int { return cmp.Compare(b.rank, a.rank) })
	}
	q.cut(r, found, from, before)
	return r, nil
}

// cut takes from a window what belongs on the page. before is where the next window begins, 0 for nowhere.
func (q *search) cut(r *result, found []hit, from token, before int64) {
	i := min(from.Offset, len(found))
	r.window = from.Upto
	bytes := 0
	for ; i < len(found) && len(r.hits) < q.limit && bytes < maxBytes; i++ {
		if q.from.inGroup(found[i]) {
			r.hits, r.places = append(r.hits, found[i]), append(r.places, i)
			bytes += len(found[i].event.JSON())
		}
	}
	next := token{Upto: from.Upto, Offset: i, Count: r.count}
	switch {
	case q.req.OrderBy == orderRecent && i > 0:
		next.Upto, next.Offset = found[i-1].event.Pos-1, 0
	case i == len(found) && before > 0:
		next.Upto, next.Offset = before, 0
	}
	// A page that is full may be the last one: that is not looked for.
	if len(r.hits) >= q.limit || i < len(found) || before > 0 {
		next.Upto = max(next.Upto, 1)
		r.next = &next
	}
}

// openRooms finds out where the user may look.
func (q *search) openRooms() error {
	rooms, err := q.reader.Rooms()
	if err != nil {
		return err
	}
	q.rooms = make(map[int64]bool, len(rooms))
	for _, nid := range rooms {
		q.rooms[nid] = true
		if len(rooms) <= maxRoomWords {
			q.anyOf = append(q.anyOf, q.s.roomWord(nid))
		}
	}
	if len(q.keys) == 1 {
		for key := range q.keys {
			q.query = append(q.query, q.s.hash(kindKey, key))
		}
	}
	return nil
}

// window returns the newest hits that the user may see, at most most of them, and the position from which on there may be others,
// 0 when there are none.
func (q *search) window(from token, most int) (found []hit, before int64, err error) {
	upto, looked, foreign := from.Upto, 0, 0
	var anyOf []string
	if len(q.rooms) <= fewRooms {
		anyOf = q.anyOf
	}
	for size := most; ; size = maxFound {
		rows, err := q.tx.SearchHits(store.SearchQuery{Words: q.query, AnyOf: anyOf, Upto: upto, Limit: size})
		if err != nil {
			return nil, 0, err
		}
		var positions []int64
		for _, row := range rows {
			if q.rooms[row.RoomNID] {
				positions = append(positions, row.Pos)
			}
		}
		full, err := q.lookAt(positions, &found, most)
		if err != nil {
			return nil, 0, err
		}
		if full {
			return found, found[most-1].event.Pos - 1, nil
		}
		if len(rows) < size {
			return found, 0, nil
		}
		upto = rows[len(rows)-1].Pos - 1
		if looked, foreign = looked+len(positions), foreign+len(rows)-len(positions); looked >= maxLooked || foreign >= maxPassed {
			return found, upto, nil
		}
		if foreign >= maxForeign {
			anyOf = q.anyOf
		}
	}
}

// lookAt adds the hits at some positions, newest first, to those that were found, until there are most of them.
func (q *search) lookAt(positions []int64, found *[]hit, most int) (full bool, err error) {
	events, err := q.tx.EventsAtPositions(positions)
	if err != nil {
		return false, err
	}
	slices.SortFunc(events, func(a, b *store.Event) int { return cmp.Compare(b.Pos, a.Pos) })
	for _, e := range events {
		h, err := q.look(e)
		if err != nil {
			return false, err
		}
		if h == nil || q.req.OrderBy == orderRecent && !q.from.inGroup(*h) {
			continue
		}
		if *found = append(*found, *h); len(*found) == most {
			return true, nil
		}
	}
	return false, nil
}

// look returns an event as a hit, nil when it is none: it has not the words, or the user does not see it as it was found.
func (q *search) look(e *store.Event) (*hit, error) {
	key, text := textOf(e.PDU)
	if !q.keys[key] || e.RedactedBy != 0 {
		return nil, nil
	}
	rank, ok := q.rank(text)
	if !ok {
		return nil, nil
	}
	seen, err := q.reader.See(e)
	if err != nil || seen != e {
		return nil, err
	}
	return &hit{event: e, roomNID: e.RoomNID, rank: rank}, nil
}
