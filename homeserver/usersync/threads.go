package usersync

import (
	"context"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxThreads is how many threads one answer tells of.
const maxThreads = 100

// ThreadsRequest asks for a page of a room's threads.
type ThreadsRequest struct {
	Viewer
	RoomID       id.RoomID
	Participated bool   // only those that the user began or said something in
	From         string // token, "" for the first page
	Limit        int
}

// Threads returns a page of a room's threads, those with the newest events first (Client-Server API, GET /rooms/{roomId}/threads):
// {chunk, next_batch}. Errors: M_FORBIDDEN, M_INVALID_PARAM.
func (s *Service) Threads(ctx context.Context, req ThreadsRequest) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := s.open(tx, req.User, req.RoomID)
		if err != nil {
			return err
		}
		l := threadList{reading: r, render: s.renderer(r, req.Viewer), limit: min(req.Limit, maxThreads)}
		l.wanted = store.ThreadList{RoomNID: r.roomNID, From: forever, Limit: l.limit + 1}
		if req.Participated {
			l.wanted.With = req.User
		}
		if l.wanted.To, err = r.lastReadable(); err != nil {
			return err
		}
		if l.wanted.To == forever {
			l.wanted.To = 0
		}
		if req.From != "" {
			if l.wanted.From, err = parseToken("from", req.From); err != nil {
				return err
			}
		}
		if err := l.read(); err != nil {
			return err
		}
		out, err = l.append()
		return err
	})
	return out, err
}

// threadList is a page of a room's threads.
type threadList struct {
	*reading
	render *renderer
	limit  int
	wanted store.ThreadList

	roots []*store.Event
	more  bool
}

// read fills the page. A thread of which the user sees no event is none to them.
func (l *threadList) read() error {
	for scanned := 0; ; {
		found, err := l.tx.Threads(l.wanted)
		if err != nil {
			return err
		}
		roots, err := l.seeRoots(found)
		if err != nil {
			return err
		}
		if err := l.render.gather(roots); err != nil {
			return err
		}
		byNID := make(map[int64]*store.Event, len(roots))
		for _, root := range roots {
			byNID[root.NID] = root
		}
		for _, t := range found {
			if len(l.roots) == l.limit {
				l.more = true
				return nil
			}
			l.wanted.From = t.Latest - 1
			if root := byNID[t.Root]; root != nil && l.render.bundled[t.Root] != nil {
				l.roots = append(l.roots, root)
			}
		}
		if len(found) < l.wanted.Limit {
			return nil
		}
		if scanned += len(found); scanned >= maxScanned {
			l.more = true
			return nil
		}
	}
}

// seeRoots returns what the user sees of the roots of threads. Those of ignored users are redacted: GET /rooms/{roomId}/threads, chunk.
func (l *threadList) seeRoots(threads []store.Thread) ([]*store.Event, error) {
	nids := make([]int64, len(threads))
	for i, t := range threads {
		nids[i] = t.Root
	}
	events, err := l.tx.EventsByNID(nids)
	if err != nil {
		return nil, err
	}
	seen := events[:0]
	for _, e := range events {
		form, err := l.form(e, false)
		if err != nil {
			return nil, err
		}
		if form == nil {
			continue
		}
		ignored, err := l.ignores(form.Sender)
		if err != nil {
			return nil, err
		}
		if ignored && !form.IsState() {
			if form, err = redacted(form); err != nil {
				return nil, err
			}
		}
		seen = append(seen, form)
	}
	return seen, nil
}

func (l *threadList) append() ([]byte, error) {
	dst, err := l.render.appendEvents([]byte(`{"chunk":`), l.roots)
	if err != nil {
		return nil, err
	}
	if l.more {
		dst = appendString(appendKey(dst, "next_batch"), token(l.wanted.From))
	}
	return append(dst, '}'), nil
}
