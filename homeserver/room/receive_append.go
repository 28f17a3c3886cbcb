package room

import (
	"context"

	"causeway/homeserver/store"
)

// receiveAppend appends an event that stands on a branch of its own, or is only kept: rejected, or, when the room's current state does
// not allow it, soft-failed. Server-Server API, "Checks performed on receipt of a PDU", step 6, and "Soft failure".
func (s *Service) receiveAppend(ctx context.Context, a *arrival) error {
	h := s.head(a.roomID)
	defer s.release(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := s.settle(h); err != nil {
		return err
	}
	return s.put(ctx, h, &placement{arrival: a}, nil)
}

// put appends an event where its prev_events say. also, if not nil, runs in the same transaction. The caller holds h.mu, and everything
// of the room is stored.
func (s *Service) put(ctx context.Context, h *head, p *placement, also func(*store.Tx) error) error {
	if a := p.arrival; a.pdu.StateKey != nil {
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			p.place, err = tx.StateNID(a.pdu.Type, *a.pdu.StateKey)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.DB.View(ctx, func(tx *store.Tx) error { return p.prepare(tx) }); err != nil {
		return err
	}
	if err := s.softFail(ctx, p); err != nil {
		return err
	}
	if err := s.settleState(ctx, p); err != nil {
		return err
	}
	err := s.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if h.stale(s.DB) {
			return errStale
		}
		if err := s.writePlacement(tx, p); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		return err
	}
	h.loaded = false // the next event reads the tip anew
	s.Bus.Publish(p.signals()...)
	return nil
}

// settle waits until all that the head has handed to the writer is stored, or not. The caller holds h.mu, so nothing is added.
func (s *Service) settle(h *head) error {
	if h.newest != nil {
		<-h.newest.done
	}
	if h.stale(s.DB) {
		return errStale
	}
	return nil
}
