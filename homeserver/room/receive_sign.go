package room

import (
	"context"
	"crypto/ed25519"
	"errors"

	"causeway/homeserver/event"
)

// receiveSignatures drops an event that does not carry the signatures which its version asks for.
func (s *Service) receiveSignatures(ctx context.Context, a *arrival) error {
	return s.checkSignatures(ctx, a.pdu)
}

func (s *Service) checkSignatures(ctx context.Context, pdu *event.PDU) error {
	if s.Keys == nil {
		return errors.New("this server has no keys of others")
	}
	err := event.CheckSignatures(pdu, func(server, keyID string) (ed25519.PublicKey, int64, bool) {
		return s.Keys.Key(ctx, server, keyID)
	})
	if err != nil && ctx.Err() == nil {
		return &Unacceptable{err}
	}
	return err
}

// receiveHash redacts an event whose content is not what was hashed, before anything else is done with it.
func (s *Service) receiveHash(_ context.Context, a *arrival) (err error) {
	a.pdu, err = hashed(a.pdu)
	return err
}

func hashed(pdu *event.PDU) (*event.PDU, error) {
	if pdu.VerifyHash() == nil {
		return pdu, nil
	}
	pruned, err := pdu.Redact()
	if err != nil {
		return nil, &Unacceptable{err}
	}
	return pruned, nil
}
