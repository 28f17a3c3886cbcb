package search

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// token says where a page begins. Clients take it for opaque, and one that a client has made up shows nothing that it may not see.
type token struct {
	Upto   int64  `json:"u"`           // the newest position of the window
	Offset int    `json:"o,omitempty"` // hits of the window that come before the page
	Count  int    `json:"c"`           // what was counted for the first page
	Group  string `json:"g,omitempty"` // room_id or sender
	Value  string `json:"v,omitempty"` // of the group
}

// maxTokenBytes bounds a token.
const maxTokenBytes = 1024

func (t token) String() string {
	raw, err := json.Marshal(t)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func parseToken(s string) (t token, err error) {
	bad := matrixError(400, "M_INVALID_PARAM", "next_batch is not a token of this server")
	if len(s) > maxTokenBytes {
		return t, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return t, bad
	}
	if t.Upto < 1 || t.Offset < 0 || t.Offset > maxFound || t.Count < 0 || t.Group != "" && t.Group != groupRoom && t.Group != groupSender {
		return t, bad
	}
	return t, nil
}

// inGroup tells whether a hit belongs on the pages of a token.
func (t token) inGroup(h hit) bool { return t.Group == "" || groupOf(t.Group, h) == t.Value }

// groupOf returns the value by which a hit is put into a group.
func groupOf(key string, h hit) string {
	if key == groupRoom {
		return string(h.event.RoomID)
	}
	return string(h.event.Sender)
}

// append appends the answer. It ends a page early when it is too long.
func (q *search) append(r *result) ([]byte, error) {
	dst := append([]byte(nil), `{"results":[`...)
	for i, h := range r.hits {
		if i > 0 {
			if len(dst) > maxBytes {
				q.shorten(r, i)
				break
			}
			dst = append(dst, ',')
		}
		var err error
		if dst, err = q.appendHit(dst, h); err != nil {
			return nil, err
		}
	}
	dst = strconv.AppendInt(append(dst, `],"count":`...), int64(r.count), 10)
	words, err := json.Marshal(q.highlights(r.hits))
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, `,"highlights":`...), words...)
	if r.next != nil {
		next := *r.next
		next.Group, next.Value = q.from.Group, q.from.Value
		dst = strconv.AppendQuote(append(dst, `,"next_batch":`...), next.String())
	}
	if dst, err = q.appendGroups(dst, r); err != nil || !q.req.IncludeState {
		return append(dst, '}'), err
	}
	dst, err = q.appendStates(append(dst, `,"state":{`...), r.hits)
	return append(dst, `}}`...), err
}

// shorten ends a page after n hits.
func (q *search) shorten(r *result, n int) {
	next := token{Upto: r.hits[n-1].event.Pos - 1, Count: r.count}
	if q.req.OrderBy == orderRank {
		next.Upto, next.Offset = r.window, r.places[n]
	}
	r.hits, r.next = r.hits[:n], &next
}

func (q *search) appendHit(dst []byte, h hit) ([]byte, error) {
	dst = strconv.AppendFloat(append(dst, `{"rank":`...), h.rank, 'g', 6, 64)
	dst, err := q.reader.AppendEvent(append(dst, `,"result":`...), h.event)
	if err != nil {
		return nil, err
	}
	if c := q.req.Context; c != nil {
		dst, err = q.reader.AppendContext(append(dst, `,"context":`...), h.event, contextSize(c.Before), contextSize(c.After), c.Profiles)
	}
	return append(dst, '}'), err
}

func contextSize(n *int64) int {
	if n == nil {
		return around
	}
	return int(min(max(*n, 0), maxAround))
}

// group is the part of an answer about one group.
type group struct {
	Next    string   `json:"next_batch,omitempty"`
	Order   int      `json:"order"`
	Results []string `json:"results"`
}

func (q *search) appendGroups(dst []byte, r *result) ([]byte, error) {
	if len(q.groups) == 0 {
		return dst, nil
	}
	all := make(map[string]map[string]*group, len(q.groups))
	for _, key := range q.groups {
		groups := make(map[string]*group)
		for _, h := range r.hits {
			value := groupOf(key, h)
			g := groups[value]
			if g == nil {
				g = &group{Order: len(groups) + 1}
				groups[value] = g
				if r.next != nil {
					next := *r.next
					next.Group, next.Value = key, value
					g.Next = next.String()
				}
			}
			g.Results = append(g.Results, string(h.event.EventID))
		}
		all[key] = groups
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return append(append(dst, `,"groups":`...), raw...), nil
}

func (q *search) appendStates(dst []byte, hits []hit) ([]byte, error) {
	seen := make(map[int64]bool)
	for _, h := range hits {
		if seen[h.roomNID] || len(dst) > 2*maxBytes {
			continue
		}
		if len(seen) > 0 {
			dst = append(dst, ',')
		}
		seen[h.roomNID] = true
		name, err := json.Marshal(h.event.RoomID)
		if err != nil {
			return nil, err
		}
		if dst, err = q.reader.AppendState(append(append(dst, name...), ':'), h.roomNID); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
