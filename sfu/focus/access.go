package focus

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

const (
	// lookEvery is how often everybody's access is looked at again, whatever was told: a signal may be lost.
	lookEvery = time.Minute
	// lookRetry is how long to wait when somebody's access, or the SFU, could not be reached.
	lookRetry = 2 * time.Second
	// lookers are how many seats are looked at at once.
	lookers = 8
)

// errNoSeat is of an access token for which nobody has a seat: it has been taken away since.
var errNoSeat = errors.New("the access token is of no use any more: ask for another")

// errTrouble is shown when something else is wrong.
var errTrouble = errors.New("something is wrong with this server: try again later")

// AccessChanged tells that what a user may do in the calls of a room may have changed, or what all of the room may for user "", or what
// a user may anywhere for room "". It never blocks.
func (s *Service) AccessChanged(room id.RoomID, user id.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user != "" && s.byUser[user] == 0 || room != "" && s.byRoom[room] == 0 {
		return // as nearly always: sessions change all the time
	}
	for k, t := range s.seats {
		if (room == "" || t.RoomID == room) && (user == "" || t.UserID == user) {
			s.dirty[k] = true
		}
	}
	if len(s.dirty) > 0 {
		ring(s.look)
	}
}

// Watches tells whether somebody has a seat in a call of a room, so that what changes in it matters; of room "", whether anybody has one
// anywhere. It never blocks.
func (s *Service) Watches(room id.RoomID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room == "" {
		return len(s.seats) > 0
	}
	return s.byRoom[room] > 0
}

// Seated tells whether an identity has a seat in any call. It never blocks.
func (s *Service) Seated(identity string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.seats {
		if k.identity == identity {
			return true
		}
	}
	return false
}

// mark has a seat looked at again.
func (s *Service) mark(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[k] = true
	ring(s.look)
}

// Admit tells whether somebody may come into a call now, whose access token is good, and whether they may send anything. An SFU asks it
// when a participant comes or comes back. Errors say in words why not.
func (s *Service) Admit(ctx context.Context, alias, identity string) (publish bool, err error) {
	s.mu.Lock()
	t := s.seats[key{alias, identity}]
	var row Seat
	if t != nil {
		row = t.Seat
	}
	s.mu.Unlock()
	if t == nil {
		return false, errNoSeat
	}
	access, err := s.cfg.Membership.Access(ctx, row.RoomID, row.UserID, row.DeviceID)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			s.cfg.Log.Err(err).Stringer("room_id", row.RoomID).Msg("Whether somebody may be in a call could not be seen")
		}
		return false, errTrouble
	case !access.Joined:
		return false, errNoSeat
	}
	return access.may(row.Legacy), nil
}

// Joined tells that a participant has come into a call, and whether it may send anything. It never blocks.
func (s *Service) Joined(alias, identity string, publish bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined(key{alias, identity}, publish)
}

// joined is Joined for who holds mu.
func (s *Service) joined(k key, publish bool) {
	// What Admit has said may not hold any more: whoever took a right away did not find the participant. It may have lost its seat, too.
	s.dirty[k] = true
	ring(s.look)
	if t := s.seats[k]; t != nil {
		t.here++
		t.came++
		t.publish, t.unsure = publish, false
		s.arrived(t)
	}
}

// Left tells that a participant has gone for good. It never blocks.
func (s *Service) Left(alias, identity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left(key{alias, identity})
}

// left is Left for who holds mu.
func (s *Service) left(k key) {
	t := s.seats[k]
	if t == nil || t.here == 0 {
		return
	}
	if t.here--; t.here > 0 {
		return
	}
	// The SFU may have given it newer tokens.
	t.UntilTS = max(t.UntilTS, time.Now().Add(tokenLife).UnixMilli())
	s.departed(t)
}

// watchAccess puts out who may not be in a call any more, until ctx ends.
func (s *Service) watchAccess(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var retry <-chan time.Time
	for {
		if err := s.lookAgain(ctx); err != nil && ctx.Err() == nil {
			if !errors.Is(err, errAway) {
				s.cfg.Log.Err(err).Msg("Who may be in a call could not be seen, or told to the SFU")
			}
			retry = time.After(lookRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.look:
		case <-retry:
			retry = nil
		case <-ticker.C:
			s.expire(ctx)
			s.mu.Lock()
			s.everything = true
			s.mu.Unlock()
		}
	}
}

// lookAgain looks at the access of all that is dirty. What fails stays so.
func (s *Service) lookAgain(ctx context.Context) error {
	s.mu.Lock()
	if s.everything {
		s.everything = false
		for k := range s.seats {
			s.dirty[k] = true
		}
	}
	due := s.dirty
	s.dirty = map[key]bool{}
	s.mu.Unlock()
	var looking errgroup.Group
	looking.SetLimit(lookers)
	gone := new(sync.Map)
	for k := range due {
		looking.Go(func() error {
			err := s.lookAt(ctx, k, gone)
			if err != nil {
				s.mu.Lock()
				s.dirty[k] = true
				s.mu.Unlock()
			}
			return err
		})
	}
	return looking.Wait()
}

// leaver is who has left a room.
type leaver struct {
	room id.RoomID
	user id.UserID
}

// lookAt has the SFU do what somebody's access asks for. gone has those of whom the log was told: a person may have several seats.
func (s *Service) lookAt(ctx context.Context, k key, gone *sync.Map) error {
	s.mu.Lock()
	t := s.seats[k]
	if t == nil {
		s.mu.Unlock()
		return s.remove(ctx, k)
	}
	row, here, came, told, sure, barred := t.Seat, t.here > 0, t.came, t.publish, !t.unsure, t.barred
	s.mu.Unlock()
	access, err := s.cfg.Membership.Access(ctx, row.RoomID, row.UserID, row.DeviceID)
	if err != nil {
		return err
	}
	if !access.Joined {
		if barred && !here {
			return nil
		}
		if _, told := gone.LoadOrStore(leaver{row.RoomID, row.UserID}, true); !told && !barred {
			s.cfg.Log.Debug().Stringer("room_id", row.RoomID).Stringer("user_id", row.UserID).
				Msg("Somebody has left the room, or is logged out: their access tokens for calls have ended")
		}
		return s.putOut(ctx, k)
	}
	if barred {
		s.mu.Lock()
		t.barred = false
		s.mu.Unlock()
	}
	publish := access.may(row.Legacy)
	if here && (publish != told || !sure) {
		if err := s.reached(ctx, s.cfg.SFU.SetPublish(ctx, k.alias, k.identity, publish)); err != nil {
			return err
		}
		s.mu.Lock()
		if t.came == came { // another one was told nothing of it, maybe, and is looked at again
			t.publish, t.unsure = publish, false
		}
		s.mu.Unlock()
	}
	return nil
}

// putOut takes somebody's seat away who may not be in the call: the token is of no use any more, and their membership ends.
func (s *Service) putOut(ctx context.Context, k key) error {
	s.mu.Lock()
	if s.cfg.Elsewhere == nil {
		s.forget(k)
	}
	if d := s.delegations[k]; d != nil {
		d.sending = true
		ring(s.due)
	}
	s.mu.Unlock()
	return s.remove(ctx, k)
}

// remove puts out who may not be in a call. The row goes last, so that after a restart it is done again. An SFU elsewhere asks nobody whether
// a token still holds, so that it is kept in mind there who has one.
func (s *Service) remove(ctx context.Context, k key) error {
	if err := s.reached(ctx, s.cfg.SFU.Remove(ctx, k.alias, k.identity)); err != nil {
		return err
	}
	s.mu.Lock()
	t := s.seats[k]
	if t != nil && s.cfg.Elsewhere != nil {
		t.barred = true
	}
	s.mu.Unlock()
	if t != nil {
		return nil
	}
	return s.record(ctx, k)
}

// expire takes the seats of those away who are not here, and whose tokens have ended.
func (s *Service) expire(ctx context.Context) {
	now := time.Now().UnixMilli()
	var gone []key
	s.mu.Lock()
	for k, t := range s.seats {
		if t.here == 0 && t.UntilTS < now && t.DelayID == "" {
			gone = append(gone, k)
			s.forget(k)
		}
	}
	s.mu.Unlock()
	for _, k := range gone {
		if err := s.record(ctx, k); err != nil && ctx.Err() == nil {
			s.cfg.Log.Err(err).Msg("A seat in a call could not be given up")
		}
	}
}
