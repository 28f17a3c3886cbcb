package focus

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	// arriveWithin is how long somebody whose membership ends by a delayed event may take until they are in the call.
	arriveWithin = 2 * time.Minute
	// delaysEvery is how often it is looked which delayed events are to be restarted.
	delaysEvery = time.Second
	// minDelay is the least delay that can be delegated. A shorter one would be over while the event is being restarted.
	minDelay = 5 * time.Second
)

// delegation is a delayed event that ends somebody's membership in a call: it is sent when they have left, and restarted as long as they are there.
type delegation struct {
	row       Seat
	here      bool
	arriveBy  time.Time // while they have not come
	restartAt time.Time // while they are here
	sending   bool      // they have left
	retryAt   time.Time
}

func newDelegation(row Seat) *delegation {
	return &delegation{row: row, arriveBy: time.Now().Add(min(arriveWithin, time.Duration(row.DelayMS)*time.Millisecond))}
}

// interval is after what time the event is restarted: MSC4195 has 80 % of the delay.
func (d *delegation) interval() time.Duration {
	return time.Duration(d.row.DelayMS) * time.Millisecond * 8 / 10
}

// Delegates is whether delayed events can be delegated.
func (s *Service) Delegates() bool { return s.cfg.Delays != nil }

// Delegate has a delayed event, which ends somebody's membership in a call, be sent when they have left the SFU, in the place of one that
// was delegated for the same member before. Errors: as of Token, 400 M_BAD_JSON for a delayed event that is not theirs, of another room, or
// too soon, and 404 M_UNRECOGNIZED where there are no delayed events.
func (s *Service) Delegate(ctx context.Context, who Who, m Member, delayID string) error {
	if !s.Delegates() {
		return errUnrecognized
	}
	access, err := s.admit(ctx, who, m)
	if err != nil {
		return err
	}
	return s.delegate(ctx, who, m, access, delayID)
}

func (s *Service) delegate(ctx context.Context, who Who, m Member, access Access, delayID string) error {
	if !access.may(m.Legacy) {
		return errListens
	}
	if !named(delayID) {
		return badJSON("delay_id must be text of at most %d bytes", maxName)
	}
	delay, err := s.cfg.Delays.DelayedEvent(ctx, who.UserID, delayID)
	if r, ok := refused(err); ok && r.StatusCode == http.StatusNotFound || err == nil && delay.RoomID != m.RoomID {
		return badJSON("There is no such delayed event of yours in this room")
	}
	if err != nil {
		return fmt.Errorf("look up a delayed event: %w", err)
	}
	if delay.After < minDelay {
		return badJSON("The delay must be %d ms at least", minDelay.Milliseconds())
	}
	k := m.key(who.UserID)
	row := Seat{
		Alias: k.alias, Identity: k.identity, RoomID: m.RoomID, UserID: who.UserID, DeviceID: m.DeviceID, Legacy: m.Legacy,
		UntilTS: time.Now().Add(tokenLife).UnixMilli(),
	}
	if err := s.reserveFor(ctx, k, row, delayID, delay.After); err != nil {
		return err
	}
	ring(s.due)
	return nil
}

// reserveFor records the delayed event at a seat. One that was there before, of a client that has crashed for instance, is cancelled: it would
// end the new membership when its time has come.
func (s *Service) reserveFor(ctx context.Context, k key, row Seat, delayID string, after time.Duration) error {
	if err := s.take(ctx, row); err != nil {
		return err
	}
	s.mu.Lock()
	var before string
	if d := s.delegations[k]; d != nil && d.row.DelayID != delayID {
		before = d.row.DelayID
	}
	s.mu.Unlock()
	if before != "" {
		if err := s.cfg.Delays.CancelDelayed(ctx, row.UserID, before); err != nil {
			if _, final := refused(err); !final {
				return fmt.Errorf("cancel the delayed event that was delegated before: %w", err)
			}
		}
	}
	s.mu.Lock()
	t := s.seats[k]
	if t == nil {
		s.mu.Unlock()
		return errUnauthorized // put out at this moment
	}
	t.DelayID, t.DelayMS = delayID, after.Milliseconds()
	d := newDelegation(t.Seat)
	if s.present(&d.row) {
		d.here = true // and is restarted at once
	}
	s.delegations[k] = d
	s.mu.Unlock()
	return s.record(ctx, k)
}

// present is whether the device of a membership is in the call. One that is known by a hash may be there by the older identity, too, by
// which clients publish that are to be found by older ones. The caller holds mu.
func (s *Service) present(row *Seat) bool {
	if t := s.seats[key{row.Alias, row.Identity}]; t != nil && t.here > 0 {
		return true
	}
	if row.Legacy {
		return false
	}
	t := s.seats[key{row.Alias, LegacyIdentity(row.UserID, row.DeviceID)}]
	return t != nil && t.here > 0 && t.UserID == row.UserID && t.DeviceID == row.DeviceID
}

// arrived looks whose delayed events are to be restarted, now that somebody has come. The caller holds mu.
func (s *Service) arrived(t *seat) {
	for _, d := range s.delegations {
		if d.of(t) && !d.here && !d.sending && s.present(&d.row) {
			d.here, d.restartAt = true, time.Time{}
			ring(s.due)
		}
	}
}

// departed looks whose delayed events are to be sent, now that somebody has gone. The caller holds mu.
func (s *Service) departed(t *seat) {
	for _, d := range s.delegations {
		if d.of(t) && d.here && !s.present(&d.row) {
			d.here, d.sending = false, true
			ring(s.due)
		}
	}
}

// of is whether a seat is of the device whose membership it is.
func (d *delegation) of(t *seat) bool {
	return d.row.Alias == t.Alias && d.row.UserID == t.UserID && d.row.DeviceID == t.DeviceID
}

// endDelegation forgets the delayed event of a seat. The caller holds mu.
func (s *Service) endDelegation(k key) {
	delete(s.delegations, k)
	if t := s.seats[k]; t != nil {
		t.DelayID, t.DelayMS = "", 0
	}
}

// watchDelays restarts and sends delayed events until ctx ends. Those of who is in a call then are in the ledger.
func (s *Service) watchDelays(ctx context.Context) {
	ticker := time.NewTicker(delaysEvery)
	defer ticker.Stop()
	for {
		for _, a := range s.dueDelays(time.Now()) {
			s.actOnDelay(ctx, a)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.due:
		case <-ticker.C:
		}
	}
}

// delayAct is what is to be done with a delayed event.
type delayAct struct {
	key
	row  Seat
	send bool
}

func (s *Service) dueDelays(now time.Time) []delayAct {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []delayAct
	for k, d := range s.delegations {
		switch {
		case now.Before(d.retryAt):
		case d.sending:
			due = append(due, delayAct{k, d.row, true})
		case !d.here && !now.Before(d.arriveBy):
			d.sending = true
			due = append(due, delayAct{k, d.row, true})
		case d.here && !now.Before(d.restartAt):
			d.restartAt = now.Add(d.interval())
			due = append(due, delayAct{k, d.row, false})
		}
	}
	return due
}

// delayRetry is how long to wait after the database failed.
const delayRetry = time.Second

func (s *Service) actOnDelay(ctx context.Context, a delayAct) {
	act := s.cfg.Delays.RestartDelayed
	if a.send {
		act = s.cfg.Delays.SendDelayed
	}
	err := act(ctx, a.row.UserID, a.row.DelayID)
	_, final := refused(err)
	s.mu.Lock()
	d := s.delegations[a.key]
	if d == nil || d.row.DelayID != a.row.DelayID { // another has been delegated by now
		s.mu.Unlock()
		return
	}
	if err != nil && !final {
		d.retryAt, d.restartAt = time.Now().Add(delayRetry), time.Time{}
		s.mu.Unlock()
		if ctx.Err() == nil {
			s.cfg.Log.Err(err).Stringer("room_id", a.row.RoomID).Msg("A delayed event could not be restarted or sent, and is tried again")
		}
		return
	}
	if err == nil && !a.send {
		s.mu.Unlock()
		return
	}
	// It is sent, or it is not there any more: its client has sent or cancelled it, or the room does not take it.
	s.endDelegation(a.key)
	s.mu.Unlock()
	if err := s.record(ctx, a.key); err != nil && ctx.Err() == nil {
		s.cfg.Log.Err(err).Msg("That a delayed event was sent could not be recorded")
	}
}
