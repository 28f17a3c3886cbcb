package account

import (
	"context"
	"errors"
	"slices"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Stages of user-interactive authentication by an address. Client-Server API, "Email-based" and "Phone number/MSISDN-based".
const (
	typeEmail  = "m.login.email.identity"
	typeMSISDN = "m.login.msisdn"
)

// ThreepidCreds is by what a client shows that its user reads what comes to an address. The session is one of this server: others are
// not asked.
type ThreepidCreds struct {
	SID    string `json:"sid"`
	Secret string `json:"client_secret"`
}

// provenThreepid is an address that a client has proven to be its user's, in user-interactive authentication.
type provenThreepid struct {
	store.Threepid
	sid   string
	owner id.UserID // of whom it is, "" for nobody
}

func (s *Service) emailStage(ctx context.Context, op operation, session *uiaSession, auth *AuthData) error {
	return s.addressStage(ctx, op, session, auth, mail.Email)
}

func (s *Service) msisdnStage(ctx context.Context, op operation, session *uiaSession, auth *AuthData) error {
	return s.addressStage(ctx, op, session, auth, mail.MSISDN)
}

// purposes are the operations that an address authenticates for. What was asked for one is of no use for another.
var purposes = map[string]threepid.Purpose{opRegister: threepid.Register, opReset: threepid.Password}

func (s *Service) addressStage(ctx context.Context, op operation, session *uiaSession, auth *AuthData, medium string) error {
	creds := auth.Creds
	if creds == nil {
		creds = auth.OldCreds
	}
	if creds == nil {
		return missingParam("threepid_creds")
	}
	var proven provenThreepid
	err := s.db.View(ctx, func(tx *store.Tx) error {
		found, err := s.cfg.Threepids.Validated(tx, purposes[op.name], creds.SID, creds.Secret, "")
		if err != nil {
			return err
		}
		if found.Medium != medium {
			return threepid.ErrNoSession
		}
		proven = provenThreepid{sid: found.SID, Threepid: store.Threepid{Medium: medium, Address: found.Address, ValidatedTS: found.ValidatedTS}}
		proven.owner, err = tx.ThreepidOwner(medium, found.Address)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	var refused mautrix.RespError
	switch {
	case errors.As(err, &refused):
		return &stageError{"M_THREEPID_AUTH_FAILED", refused.Err}
	case err != nil:
		return err
	case op.name == opRegister && proven.owner != "":
		return &stageError{"M_THREEPID_IN_USE", "The address is that of an account already"}
	case op.name == opReset && proven.owner == "":
		return &stageError{"M_THREEPID_AUTH_FAILED", threepid.ErrNoSession.(mautrix.RespError).Err}
	}
	session.threepids = append(slices.Clone(session.threepids), proven)
	return nil
}

// sends tells whether addresses of a medium can be validated.
func (s *Service) sends(medium string) bool {
	return s.cfg.Threepids != nil && s.cfg.Threepids.Mail.Sends(medium)
}

// withAddresses adds to each of the flows of a registration that with an address, or, where the configuration demands an email address,
// takes it in its place. No flow is the beginning of another: a client that has one behind it is registered. So the address comes before
// what suffices without it, and after what does not suffice.
func (s *Service) withAddresses(flows []Flow) []Flow {
	required := s.cfg.EmailRequired && s.sends(mail.Email)
	var all []Flow
	if !required {
		all = flows
	}
	for _, medium := range []struct{ name, stage string }{{mail.Email, typeEmail}, {mail.MSISDN, typeMSISDN}} {
		if !s.sends(medium.name) || required && medium.name != mail.Email {
			continue
		}
		open := slices.ContainsFunc(flows, isOpen)
		for _, flow := range flows {
			switch {
			case isOpen(flow):
				all = append(all, Flow{Stages: append([]string{medium.stage}, withoutDummy(flow.Stages)...)})
			case required:
				all = append(all, Flow{Stages: append(slices.Clone(flow.Stages), medium.stage)})
			case !open:
				all = append(all, Flow{Stages: append([]string{medium.stage}, flow.Stages...)})
			}
		}
	}
	return all
}

// isOpen tells whether everybody can make an account by a flow.
func isOpen(f Flow) bool { return !slices.Contains(f.Stages, typeRegistrationToken) }

// withoutDummy is the stages of a flow that there is something to do for, when another goes before them.
func withoutDummy(stages []string) []string {
	if slices.Equal(stages, []string{typeDummy}) {
		return nil
	}
	return stages
}

// ownProven gives a new account the addresses that were proven, in the transaction that makes it. A proof serves once.
func (s *Service) ownProven(tx *store.Tx, user *store.User, all []provenThreepid) error {
	for _, t := range all {
		if _, err := tx.ThreepidSession(t.sid); errors.Is(err, store.ErrNotFound) {
			return &stageError{"M_THREEPID_AUTH_FAILED", "The proof has served already, or has expired"}
		} else if err != nil {
			return err
		}
		if err := tx.DeleteThreepidSession(t.sid); err != nil {
			return err
		}
		err := s.own(tx, user.NID, user.UserID, t.Threepid)
		if errors.Is(err, store.ErrExists) {
			return &stageError{"M_THREEPID_IN_USE", "The address is that of an account already"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// own gives an account an address. store.ErrExists when it is that of an account already.
func (s *Service) own(tx *store.Tx, userNID int64, user id.UserID, t store.Threepid) error {
	t.AddedTS = s.now()
	if err := tx.InsertThreepid(userNID, t); err != nil || s.cfg.Owned == nil {
		return err
	}
	return s.cfg.Owned(tx, user, t.Medium, t.Address)
}

// ownerOf returns the user that a client names by an address, "" when it is nobody's: no account has that id, and so the answer and its
// time are those for a wrong password.
func (s *Service) ownerOf(ctx context.Context, identifier *Identifier) (user id.UserID, err error) {
	medium, address := identifier.threepid()
	if address == "" {
		return "", nil
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		user, err = tx.ThreepidOwner(medium, address)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return user, err
}

// threepid returns the address that an identifier names somebody by, "" for none that there could be.
func (i *Identifier) threepid() (medium, address string) {
	var err error
	if i.Type == "m.id.phone" {
		medium = mail.MSISDN
		address, err = threepid.Number(i.Country, i.Phone)
	} else {
		medium = i.Medium
		address, err = threepid.Normal(medium, i.Address)
	}
	if err != nil {
		return "", ""
	}
	return medium, address
}

// named is what failed attempts to log in are counted for: the id of a user, or the address that a client names one by. An address has a
// count of its own: if it had part in that of its owner, it would show by the count whose it is, and whether it is anybody's.
func named(identifier *Identifier, user id.UserID) string {
	if identifier == nil || identifier.Type != "m.id.thirdparty" && identifier.Type != "m.id.phone" {
		return string(user)
	}
	medium, address := identifier.threepid()
	return medium + " " + address
}
