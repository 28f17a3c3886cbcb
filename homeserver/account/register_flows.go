package account

import (
	"context"
	"errors"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// useToken counts the use of a registration token in the transaction that makes the account, so that both or neither happen.
func (s *Service) useToken(tx *store.Tx, token string, user *store.User) error {
	if token == "" {
		return nil
	}
	used, err := tx.UseToken(token, s.now())
	if errors.Is(err, store.ErrNotFound) {
		return invalidToken()
	}
	user.Admin = used.Admin
	return err
}

// acceptTerms records that a user who is about to have an account has accepted the documents, in the versions that were shown: those of the
// configuration, since no session outlives the process.
func (s *Service) acceptTerms(tx *store.Tx, user id.UserID) error {
	nid, err := tx.NID(string(user))
	for name, policy := range s.cfg.Rules.Terms {
		if err == nil {
			err = tx.AcceptTerms(nid, name, policy.Version, s.now())
		}
	}
	return err
}

// registration is the operation of making an account. Without open registration it takes a token; with it, tokens serve as
// well if there are any, because one may make an administrator. A captcha and terms go with either, where there are any, and an address
// as withAddresses has it.
func (s *Service) registration(ctx context.Context) (operation, error) {
	op := operation{name: opRegister, params: map[string]any{}}
	var first []string
	if key := s.cfg.Rules.Captcha.PublicKey; key != "" {
		first = append(first, typeCaptcha)
		op.params[typeCaptcha] = map[string]any{"public_key": key}
	}
	if len(s.cfg.Rules.Terms) > 0 {
		first = append(first, typeTerms)
		op.params[typeTerms] = s.termsParams()
	}
	withToken := !s.cfg.OpenRegistration
	if s.cfg.OpenRegistration {
		open := first
		if len(open) == 0 {
			open = []string{typeDummy}
		}
		op.flows = append(op.flows, Flow{Stages: open})
		err := s.db.View(ctx, func(tx *store.Tx) (err error) {
			withToken, err = tx.HasUsableToken(s.now())
			return err
		})
		if err != nil {
			return op, err
		}
	}
	if withToken {
		// The token comes first, so that the flow without one does not end before it.
		op.flows = append(op.flows, Flow{Stages: append([]string{typeRegistrationToken}, first...)})
	}
	op.flows = s.withAddresses(op.flows)
	return op, nil
}

// termsParams is what a client is told of the documents to accept (Client-Server API, Terms of service at registration).
func (s *Service) termsParams() map[string]any {
	policies := make(map[string]any)
	for name, policy := range s.cfg.Rules.Terms {
		p := map[string]any{"version": policy.Version}
		for code, doc := range policy.Languages {
			p[code] = doc
		}
		policies[name] = p
	}
	return map[string]any{"policies": policies}
}
