package focus

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"maunium.net/go/mautrix/id"
)

// Who is who asks for a token.
type Who struct {
	UserID id.UserID
	// DeviceID is the device that asks, "" where that is not known: a proof by OpenID names none.
	DeviceID id.DeviceID
}

// Member is a member of a call as a client names it.
type Member struct {
	RoomID   id.RoomID
	SlotID   string
	DeviceID id.DeviceID
	// MemberID is the id of the membership; for Legacy there is none.
	MemberID string
	Legacy   bool
}

// key returns what the SFU has for the member.
func (m *Member) key(user id.UserID) key {
	if m.Legacy {
		return key{Alias(m.RoomID, DefaultSlot), LegacyIdentity(user, m.DeviceID)}
	}
	return key{Alias(m.RoomID, m.SlotID), Identity(user, m.DeviceID, m.MemberID)}
}

// check returns what is wrong with the names that a client gives.
func (m *Member) check(who Who) error {
	switch {
	case len(m.RoomID) < 2 || m.RoomID[0] != '!' || !named(string(m.RoomID)):
		return badJSON("The room is no room id")
	case !m.Legacy && !named(m.SlotID):
		return badJSON("slot_id must be text of at most %d bytes", maxName)
	case !m.Legacy && !named(m.MemberID):
		return badJSON("The id of the member must be text of at most %d bytes", maxName)
	case m.DeviceID != "" && !named(string(m.DeviceID)):
		return badJSON("The device must be text of at most %d bytes", maxName)
	case who.DeviceID != "" && m.DeviceID != who.DeviceID:
		return errNotYou
	}
	return nil
}

// Token is by what a client comes into a call.
type Token struct {
	URL string `json:"url"`
	JWT string `json:"jwt"`
}

// Token makes a token for a member of a call. Errors: 400 M_BAD_JSON, 401 M_UNAUTHORIZED for who is not in the room, 403 M_FORBIDDEN for
// another's device, 429 M_LIMIT_EXCEEDED, and 503 M_UNKNOWN when the SFU elsewhere cannot be reached.
func (s *Service) Token(ctx context.Context, who Who, m Member) (Token, error) {
	access, err := s.admit(ctx, who, m)
	if err != nil {
		return Token{}, err
	}
	return s.token(ctx, who, m, access)
}

// admit finds out whether somebody may be in a call, and counts that they ask.
func (s *Service) admit(ctx context.Context, who Who, m Member) (Access, error) {
	if err := m.check(who); err != nil {
		return Access{}, err
	}
	if wait := s.limits.take(who.UserID, time.Now()); wait > 0 {
		return Access{}, tooSoon(wait)
	}
	access, err := s.cfg.Membership.Access(ctx, m.RoomID, who.UserID, m.DeviceID)
	if err != nil {
		return Access{}, fmt.Errorf("see whether %s may be in a call: %w", who.UserID, err)
	}
	if !access.Joined {
		return Access{}, errUnauthorized
	}
	return access, nil
}

// may is whether a seat allows to send anything.
func (a Access) may(legacy bool) bool {
	return a.Joined && (legacy && a.ByState || !legacy && a.BySticky)
}

func (s *Service) token(ctx context.Context, who Who, m Member, access Access) (Token, error) {
	k := m.key(who.UserID)
	row := Seat{
		Alias: k.alias, Identity: k.identity, RoomID: m.RoomID, UserID: who.UserID, DeviceID: m.DeviceID, Legacy: m.Legacy,
		UntilTS: time.Now().Add(tokenLife).UnixMilli(),
	}
	url, err := s.cfg.SFU.Open(ctx, k.alias)
	if err := s.reached(ctx, err); err != nil {
		if isRefusal(err) && !errors.Is(err, errAway) {
			s.cfg.Log.Warn().Err(err).Msg("The SFU opens no call")
		}
		return Token{}, fmt.Errorf("open a call: %w", err)
	}
	if err := s.take(ctx, row); err != nil {
		return Token{}, err
	}
	// Access may have ended while the seat was not known, so that nobody looked at it.
	s.mark(k)
	publish := access.may(m.Legacy)
	jwt, err := s.cfg.Mint(Grant{Room: k.alias, Identity: k.identity, Publish: publish, Create: publish}, tokenLife)
	if err != nil {
		return Token{}, err
	}
	return Token{URL: url, JWT: jwt}, nil
}

// take gives somebody a seat, or keeps it for longer.
func (s *Service) take(ctx context.Context, row Seat) error {
	k := key{row.Alias, row.Identity}
	dropped, err := s.reserve(k, row)
	if err == nil && dropped != nil {
		err = s.record(ctx, *dropped)
	}
	if err == nil {
		err = s.record(ctx, k)
	}
	return err
}

// record writes down what is known of a seat, which may be that there is none any more. What is written is what is known by then, so that of two
// at a time neither undoes the other: clients ask for a token and delegate the end of their membership at once.
func (s *Service) record(ctx context.Context, k key) error {
	if s.cfg.Ledger == nil {
		return nil
	}
	turn := s.recording[maphash.Comparable(s.hashing, k)%uint64(len(s.recording))]
	turn <- struct{}{}
	defer func() { <-turn }()
	s.mu.Lock()
	t, ending := s.seats[k], s.delegations[k] != nil
	var row Seat
	if t != nil {
		row = t.Seat
	}
	s.mu.Unlock()
	var err error
	switch {
	case t != nil:
		err = s.cfg.Ledger.SaveSeat(ctx, row)
	case !ending: // else the row says that there is an event to be sent
		err = s.cfg.Ledger.DropSeat(ctx, k.alias, k.identity)
	}
	if err != nil {
		return fmt.Errorf("write down who has a seat in a call: %w", err)
	}
	return nil
}

// reserve is take in memory. A user with too many seats loses the one whose token ends first, of those that nobody sits on.
func (s *Service) reserve(k key, row Seat) (dropped *key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.seats[k]; there != nil {
		// The older identities are not unique: a device may be called as the end of a server's name and another device.
		if there.UserID != row.UserID || there.DeviceID != row.DeviceID || there.RoomID != row.RoomID {
			return nil, errNotYou
		}
		there.UntilTS = row.UntilTS
		return nil, nil
	}
	if s.byUser[row.UserID] >= maxSeats {
		if dropped = s.oldest(row.UserID); dropped == nil {
			return nil, errFull
		}
		s.forget(*dropped)
	}
	if len(s.seats) >= maxAllSeats {
		return nil, errFull
	}
	s.place(k, row)
	return dropped, nil
}

// oldest returns the seat of a user whose token ends first, of those that nobody sits on and that end no membership. The caller holds mu.
func (s *Service) oldest(user id.UserID) *key {
	var (
		found *key
		until int64
	)
	for k, t := range s.seats {
		if t.UserID == user && t.here == 0 && !t.barred && t.DelayID == "" && (found == nil || t.UntilTS < until) {
			found, until = &k, t.UntilTS
		}
	}
	return found
}

// place makes a seat. The caller holds mu.
func (s *Service) place(k key, row Seat) {
	s.seats[k] = &seat{Seat: row}
	s.byUser[row.UserID]++
	s.byRoom[row.RoomID]++
}

// forget takes a seat away. The caller holds mu.
func (s *Service) forget(k key) {
	t := s.seats[k]
	if t == nil {
		return
	}
	delete(s.seats, k)
	delete(s.dirty, k)
	if s.byUser[t.UserID]--; s.byUser[t.UserID] == 0 {
		delete(s.byUser, t.UserID)
	}
	if s.byRoom[t.RoomID]--; s.byRoom[t.RoomID] == 0 {
		delete(s.byRoom, t.RoomID)
	}
}
