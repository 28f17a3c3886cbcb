package usersync

import (
	"context"
	"errors"
	"strconv"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// recursionDepth is how many relations may lie between an event and what is told of it with recurse. Client-Server API, GET
// /rooms/{roomId}/relations/{eventId}.
const recursionDepth = 3

// RelationsRequest asks for a page of the events that relate to one.
type RelationsRequest struct {
	Viewer
	RoomID             id.RoomID
	EventID            id.EventID
	RelType, EventType string // "" for any
	From, To           string // tokens, "" for the first or last event, and for no end
	Backwards          bool
	Limit              int
	Recurse            *bool // whether indirectly related events count; nil when the client does not say
}

// Relations returns a page of the events that relate to one, in the order of the stream (Client-Server API, GET
// /rooms/{roomId}/relations/{eventId}): {chunk, next_batch, prev_batch, recursion_depth}. Errors: M_NOT_FOUND for an event that is
// not there or that the user may not see, M_INVALID_PARAM.
func (s *Service) Relations(ctx context.Context, req RelationsRequest) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, parent, err := s.openParent(tx, req)
		if err != nil {
			return err
		}
		p := relatedPage{
			page:   page{reading: r, limit: min(req.Limit, maxPage), backwards: req.Backwards},
			wanted: store.Related{Parent: parent.NID, RelType: req.RelType, EventType: req.EventType, Depth: 1, Backwards: req.Backwards},
		}
		if req.Recurse != nil && *req.Recurse {
			p.wanted.Depth = recursionDepth
		}
		if err := p.setRange(req.From, req.To); err != nil {
			return err
		}
		if err := p.read(); err != nil {
			return err
		}
		out, err = p.append(s.renderer(r, req.Viewer), req)
		return err
	})
	return out, err
}

// openParent finds the event to which others relate. One whose sender the user ignores is there: what others say of it is shown.
func (s *Service) openParent(tx *store.Tx, req RelationsRequest) (*reading, *store.Event, error) {
	notFound := matrixError(404, "M_NOT_FOUND", "There is no event %s in %s, or you may not see it", req.EventID, req.RoomID)
	r, err := s.open(tx, req.User, req.RoomID)
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return nil, nil, notFound
	}
	if err != nil {
		return nil, nil, err
	}
	e, err := tx.EventByID(req.EventID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, notFound
	}
	if err != nil {
		return nil, nil, err
	}
	seen, err := r.form(e, false)
	if err == nil && seen == nil {
		err = notFound
	}
	return r, e, err
}

// relatedPage is a page of the events that relate to one.
type relatedPage struct {
	page
	wanted store.Related
}

// read fills the page. It stops at the limit, at the end of the range, or when it has looked at so much that the client must ask
// again.
func (p *relatedPage) read() error {
	p.wanted.Limit = min(p.limit+1, scanPage)
	for scanned := 0; ; p.wanted.Limit = scanPage {
		if p.wanted.From, p.wanted.To = p.cursor+1, p.stop; p.backwards {
			p.wanted.From, p.wanted.To = p.stop+1, p.cursor
		}
		events, err := p.tx.Related(p.wanted)
		if err != nil {
			return err
		}
		for _, e := range events {
			if len(p.events) >= p.limit || p.bytes > maxPageBytes {
				p.more = true
				return nil
			}
			seen, err := p.seeChild(e)
			if err != nil {
				return err
			}
			p.pass(e, seen)
		}
		if len(events) < p.wanted.Limit {
			return nil
		}
		if scanned += len(events); scanned >= maxScanned {
			p.more = true
			return nil
		}
	}
}

func (p *relatedPage) append(r *renderer, req RelationsRequest) ([]byte, error) {
	dst, err := r.appendEvents([]byte(`{"chunk":`), p.events)
	if err != nil {
		return nil, err
	}
	if p.more {
		dst = appendString(appendKey(dst, "next_batch"), token(p.cursor))
	}
	if req.From != "" {
		dst = appendString(appendKey(dst, "prev_batch"), token(p.start))
	}
	if req.Recurse != nil {
		dst = strconv.AppendInt(appendKey(dst, "recursion_depth"), int64(p.wanted.Depth), 10)
	}
	return append(dst, '}'), nil
}
