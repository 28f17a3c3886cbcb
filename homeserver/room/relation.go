package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// annotation is what may be said once: by whom, of which event, in which way. Client-Server API, "Avoiding duplicate annotations".
type annotation struct {
	parent    id.EventID
	sender    id.UserID
	eventType string
	keyHash   int64
}

// maxPendingAnnotations is how many annotations a room in memory remembers before it forgets those that are stored.
const maxPendingAnnotations = 64

// checkRelation refuses an event of this server whose relation the specification forbids. One that is not well-formed is none, and
// neither is one to an event that is not here: there, who reads it will know. The caller holds h.mu.
func (s *Service) checkRelation(ctx context.Context, h *head, pdu *event.PDU) error {
	r, ok := pdu.Relation()
	if !ok || h.create {
		return nil
	}
	said := annotation{r.Parent, pdu.Sender, pdu.Type, r.KeyHash}
	annotates := r.Type == event.RelAnnotation && r.Fit
	if before := h.annotations[said]; annotates && before != nil {
		if before == h.making { // it is written together with this one
			return saidTwice()
		}
		<-before.done // whether it is said already is seen when that is stored, or not
	}
	return s.DB.View(ctx, func(tx *store.Tx) error {
		parent, err := tx.EventByID(r.Parent)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if parent.RoomNID != h.nid {
			return matrixError(400, "M_INVALID_PARAM", "An event can only relate to one of its own room")
		}
		if _, related := parent.Relation(); related && r.Type == event.RelThread {
			// Client-Server API, "Validation of m.thread relationships".
			return matrixError(400, "M_UNKNOWN", "Cannot start threads from an event with a relation")
		}
		if !annotates {
			return nil
		}
		twice, err := tx.Annotated(said.parent, said.sender, said.eventType, said.keyHash)
		if err == nil && twice {
			err = saidTwice()
		}
		return err
	})
}

func saidTwice() error {
	return matrixError(400, "M_DUPLICATE_ANNOTATION", "You have annotated this event in this way already")
}

// rememberAnnotation keeps an annotation while it is on its way, so that its like waits to see what becomes of it. The caller holds
// h.mu.
func (h *head) rememberAnnotation(e *entry) {
	r, ok := e.pdu.Relation()
	if !ok || r.Type != event.RelAnnotation || !r.Fit || e.received {
		return
	}
	if h.annotations == nil {
		h.annotations = make(map[annotation]*outcome)
	}
	if len(h.annotations) >= maxPendingAnnotations {
		for said, o := range h.annotations {
			if o.known() {
				delete(h.annotations, said)
			}
		}
	}
	h.annotations[annotation{r.Parent, e.pdu.Sender, e.pdu.Type, r.KeyHash}] = e.outcome
}
