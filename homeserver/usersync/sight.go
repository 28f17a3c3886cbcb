package usersync

import (
	"encoding/json"
	"errors"

	"causeway/homeserver/eventauth"
	"causeway/homeserver/retention"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// typeIgnoredUsers is the account data that names whom a user ignores. Client-Server API, "Ignoring Users".
const typeIgnoredUsers = eventauth.IgnoredUsersType

// sight is what decides about events of all rooms alike: whom the user ignores, and which users are erased. It lives as long as one
// reading of the database, and asks each question at most once, and not before somebody needs the answer.
type sight struct {
	tx    *store.Tx
	user  id.UserID
	keeps retention.Policy
	nowTS int64 // the time of the reading

	ignored      map[id.UserID]bool
	ignoredKnown bool

	permits      []json.RawMessage
	permitsKnown bool

	erased      map[id.UserID]bool // as far as it was asked for
	noneErased  bool
	erasedKnown bool // noneErased is
}

func (s *Service) newSight(tx *store.Tx, user id.UserID) *sight {
	return &sight{tx: tx, user: user, keeps: s.keeps, nowTS: s.now().UnixMilli()}
}

// ignores tells whether the user ignores another. Nobody ignores themselves.
func (s *sight) ignores(sender id.UserID) (bool, error) {
	if sender == s.user {
		return false, nil
	}
	if err := s.readIgnored(); err != nil {
		return false, err
	}
	_, yes := s.ignored[sender]
	return yes, nil
}

// ignoresAnybody tells whether there is anyone whom the user ignores.
func (s *sight) ignoresAnybody() (bool, error) {
	err := s.readIgnored()
	return len(s.ignored) > 0, err
}

func (s *sight) readIgnored() error {
	if s.ignoredKnown {
		return nil
	}
	content, err := ignoredUsers(s.tx, s.user)
	if err != nil {
		return err
	}
	s.ignored, s.ignoredKnown = eventauth.IgnoredUsers(content), true
	return nil
}

// unwanted tells whether the user does not want to see invitations by another: they are ignored, or invitations by them are (Client-Server
// API, "Ignoring Users" and "Invite permission"). Invitations that came before they were blocked are among them.
func (s *sight) unwanted(sender id.UserID) (bool, error) {
	if sender == s.user {
		return false, nil
	}
	if ignored, err := s.ignores(sender); err != nil || ignored {
		return ignored, err
	}
	if err := s.readPermits(); err != nil {
		return false, err
	}
	for _, content := range s.permits {
		if eventauth.PermitInvite(content, sender) != eventauth.InviteAllowed {
			return true, nil
		}
	}
	return false, nil
}

// readPermits reads by whom the user lets themselves be invited.
func (s *sight) readPermits() error {
	if s.permitsKnown {
		return nil
	}
	for _, dataType := range eventauth.InvitePermissionTypes {
		content, err := s.tx.AccountData(s.user, 0, dataType)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		s.permits = append(s.permits, content)
	}
	s.permitsKnown = true
	return nil
}

// hasErased tells whether a user has been erased.
func (s *sight) hasErased(user id.UserID) (bool, error) {
	if yes, ok := s.erased[user]; ok {
		return yes, nil
	}
	if err := s.askErased([]id.UserID{user}); err != nil {
		return false, err
	}
	return s.erased[user], nil
}

// askErased finds out about users all at once.
func (s *sight) askErased(users []id.UserID) error {
	if !s.erasedKnown {
		some, err := anyErased(s.tx)
		if err != nil {
			return err
		}
		s.noneErased, s.erasedKnown = !some, true
	}
	if s.noneErased {
		return nil
	}
	if s.erased == nil {
		s.erased = make(map[id.UserID]bool)
	}
	nids := make([]int64, 0, len(users))
	byNID := make(map[int64]id.UserID, len(users))
	for _, user := range users {
		if _, ok := s.erased[user]; ok {
			continue
		}
		s.erased[user] = false
		nid, err := s.tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		nids = append(nids, nid)
		byNID[nid] = user
	}
	erased, err := s.tx.ErasedUsers(nids)
	for _, nid := range erased {
		s.erased[byNID[nid]] = true
	}
	return err
}
