package room_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"causeway/homeserver/retention"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// sayAt says something at a time, in milliseconds.
func (x *server) sayAt(roomID id.RoomID, ts int64) id.EventID {
	x.Helper()
	eventID, err := x.s.Send(x.Context(), room.By{User: ann, TS: ts}, roomID, "m.room.message", "", json.RawMessage(`{"body":"x"}`))
	x.ok(err)
	return eventID
}

func (x *server) name(roomID id.RoomID, name string) id.EventID {
	x.Helper()
	eventID, err := x.s.SendState(x.Context(), room.By{User: ann}, roomID, "m.room.name", "", json.RawMessage(fmt.Sprintf(`{"name":%q}`, name)))
	x.ok(err)
	return eventID
}

// What is left of a history: messages before the point are gone, redactions of what stays are not, and of the state events of that
// time those that nothing needs are.
func TestPurgeHistoryBeforeAnEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		unneeded := x.name(roomID, "first")
		superseded := x.name(roomID, "second")
		secret := x.say(roomID, "secret")
		redactionOfSecret := x.redact(roomID, secret)
		redactionOfState := x.redact(roomID, superseded)
		current := x.name(roomID, "third")
		redactionOfCurrent := x.redact(roomID, current)
		x.say(roomID, "old")
		point := x.say(roomID, "point")
		redactionOfPoint := x.redact(roomID, point)

		_, err := x.s.PurgeHistory(t.Context(), roomID, room.Before{EventID: point})
		x.ok(err)
		for name, e := range map[string]id.EventID{
			"superseded state": unneeded, "redacted superseded state": superseded, "message": secret,
			"redaction of a message that is gone": redactionOfSecret, "redaction of state that is gone": redactionOfState,
		} {
			if x.stored(e) != nil {
				t.Errorf("%s is still stored", name)
			}
		}
		for name, e := range map[string]id.EventID{"current state": current, "redaction of current state": redactionOfCurrent} {
			row := x.stored(e)
			if row == nil || row.Pos != 0 || row.Status != store.Outlier || row.StateBefore != 0 || row.StateAfter != 0 || row.Replaces != 0 {
				t.Errorf("%s: %+v, want an outlier", name, row)
			}
		}
		if row := x.stored(current); row.RedactedBy != x.stored(redactionOfCurrent).NID {
			t.Error("the current state is not marked as redacted any more")
		}
		if row := x.stored(point); row == nil || row.Pos == 0 || row.RedactedBy != x.stored(redactionOfPoint).NID {
			t.Errorf("the point itself: %+v", row)
		}
		x.ok(db.View(t.Context(), func(tx *store.Tx) error {
			r, err := tx.Room(roomID)
			if err != nil {
				return err
			}
			if gaps, err := tx.Gaps(r.NID); err != nil || len(gaps) != 1 || gaps[0].EventID != point {
				t.Errorf("gaps: %v, %v; want the point", gaps, err)
			}
			if before, err := tx.StateIDAt(r.NID, x.stored(current).NID-1); err != nil || before != 0 {
				t.Errorf("the state before the history began: %d, %v; want 0", before, err)
			}
			now, err := tx.StateIDAt(r.NID, x.stored(point).Pos)
			if err != nil || now == 0 || now != r.StateID {
				t.Errorf("the state at the point: %d, %v; want %d", now, err, r.StateID)
			}
			return nil
		}))
		if done, err := x.s.PurgeHistory(t.Context(), roomID, room.Before{EventID: point}); err != nil || done != (store.Purged{}) {
			t.Errorf("again: %+v, %v; want nothing", done, err)
		}
		x.name(roomID, "fourth")
		x.say(roomID, "new")
		// Whatever the point, the newest stays.
		last := x.say(roomID, "last")
		x.pass(time.Hour)
		_, err = x.s.PurgeHistory(t.Context(), roomID, room.Before{TS: x.s.Now().UnixMilli()})
		x.ok(err)
		if x.stored(last) == nil || x.stored(point) != nil {
			t.Error("the newest event must stay, and all others go")
		}
		x.say(roomID, "and on it goes")
		for _, missing := range []struct {
			name   string
			roomID id.RoomID
			before room.Before
		}{{"room", "!nowhere:test", room.Before{TS: 1}}, {"event", roomID, room.Before{EventID: secret}}, {"outlier", roomID, room.Before{EventID: current}}} {
			if _, err := x.s.PurgeHistory(t.Context(), missing.roomID, missing.before); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s that is not there: %v, want ErrNotFound", missing.name, err)
			}
		}
	})
}

// Who left before the point still has the end of their stay, and may see what they saw then.
func TestPurgeHistoryKeepsFarewells(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		x.name(roomID, "then")
		x.leave(roomID, ben, false)
		x.name(roomID, "now")
		point := x.say(roomID, "point")
		_, err := x.s.PurgeHistory(t.Context(), roomID, room.Before{EventID: point})
		x.ok(err)
		x.ok(db.View(t.Context(), func(tx *store.Tx) error {
			roomNID, err := tx.RoomNID(roomID)
			if err != nil {
				return err
			}
			m, err := tx.Membership(roomNID, ben)
			if err != nil {
				return err
			}
			e, err := tx.EventByNID(m.EventNID)
			if err != nil {
				return err
			}
			k, err := tx.LookupStateNID("m.room.name", "")
			if err != nil {
				return err
			}
			set, err := tx.StateValues(e.StateAfter, k)
			if err != nil {
				return err
			}
			name, err := tx.EventByNID(set[k])
			if err != nil || e.Pos == 0 || name.ContentString("name") != "then" {
				t.Errorf("the farewell is at %d, with the name %v (%v)", e.Pos, name, err)
			}
			return nil
		}))
		x.ok(x.s.Forget(t.Context(), room.By{User: ben}, roomID))
		if _, err = x.s.PurgeHistory(t.Context(), roomID, room.Before{EventID: point}); err != nil {
			t.Error(err)
		}
		x.ok(db.View(t.Context(), func(tx *store.Tx) error {
			roomNID, _ := tx.RoomNID(roomID)
			m, err := tx.Membership(roomNID, ben)
			if err != nil {
				return err
			}
			if e, err := tx.EventByNID(m.EventNID); err != nil || e.Pos != 0 {
				t.Errorf("who has forgotten the room needs no place in it: %+v, %v", e, err)
			}
			return nil
		}))
	})
}

// A point in time: senders who claim another time than the true one can keep what is old, and not have anything go that is young.
func TestPurgeHistoryBeforeATime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		start := x.s.Now().UnixMilli()
		const hour = 3_600_000
		farFuture := x.sayAt(roomID, start+1_000_000*hour)
		old := x.sayAt(roomID, start+1*hour)
		at := x.sayAt(roomID, start+2*hour)
		backdated := x.sayAt(roomID, start-1000*hour)
		young := x.sayAt(roomID, start+3*hour)
		x.pass(4 * time.Hour)
		_, err := x.s.PurgeHistory(t.Context(), roomID, room.Before{TS: start + 2*hour})
		x.ok(err)
		for name, e := range map[string]struct {
			eventID id.EventID
			stays   bool
		}{
			"far future": {farFuture, false}, "old": {old, false}, "just then": {at, true}, "backdated": {backdated, true}, "young": {young, true},
		} {
			if stays := x.stored(e.eventID) != nil; stays != e.stays {
				t.Errorf("%s: stays %v, want %v", name, stays, e.stays)
			}
		}
	})
}

func TestRetention(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID, other := x.create(""), x.create("")
		const hour = 3_600_000
		content := json.RawMessage(fmt.Sprintf(`{"max_lifetime":%d}`, 10*hour))
		_, err := x.s.SendState(t.Context(), room.By{User: ann}, roomID, retention.EventType, "", content)
		x.ok(err)
		now := x.s.Now().UnixMilli() + 20*hour
		elsewhere := x.sayAt(other, now-15*hour)
		liar := x.sayAt(roomID, now+1000*hour)
		old := x.sayAt(roomID, now-15*hour)
		name := x.name(roomID, "old name")
		redactionOfName := x.redact(roomID, name)
		redacted := x.sayAt(roomID, now-14*hour)
		redaction := x.redact(roomID, redacted)
		young := x.sayAt(roomID, now-9*hour)
		backdated := x.sayAt(roomID, now-11*hour)
		youngLiar := x.sayAt(roomID, now+1000*hour)
		last := x.sayAt(roomID, now-12*hour)
		x.pass(20 * time.Hour)

		policy := retention.Policy{Enabled: true, Default: 100 * time.Hour}
		if done, err := x.s.ApplyRetention(t.Context(), retention.Policy{Default: time.Hour}); err != nil || done != (store.Purged{}) {
			t.Errorf("when it is off: %+v, %v", done, err)
		}
		_, err = x.s.ApplyRetention(t.Context(), policy)
		x.ok(err)
		tests := []struct {
			name    string
			eventID id.EventID
			stays   bool
		}{
			{"of a room that does not ask for it", elsewhere, true},
			{"message that says it is from the future", liar, false}, {"old message", old, false}, {"state", name, true},
			{"redaction of state", redactionOfName, true}, {"redacted message", redacted, false}, {"redaction of a message", redaction, false},
			{"young message", young, true}, {"backdated message", backdated, false},
			{"message of unknown age with nothing young after it", youngLiar, false}, {"newest event", last, true},
		}
		for _, test := range tests {
			if stays := x.stored(test.eventID) != nil; stays != test.stays {
				t.Errorf("%s: stays %v, want %v", test.name, stays, test.stays)
			}
		}
		if e := x.stored(redactionOfName); e.Pos == 0 {
			t.Error("the redaction of state has lost its place")
		}
		next := x.say(roomID, "next")
		if e := x.stored(next); e == nil || e.Depth < 2 {
			t.Errorf("the next event: %+v", e)
		}
		// The others' turn comes with the default.
		_, err = x.s.ApplyRetention(t.Context(), retention.Policy{Enabled: true, Default: time.Hour})
		x.ok(err)
		if x.stored(elsewhere) == nil {
			t.Error("the newest event of the other room is gone")
		}
		x.say(other, "next")
		_, err = x.s.ApplyRetention(t.Context(), retention.Policy{Enabled: true, Default: time.Hour})
		x.ok(err)
		if x.stored(elsewhere) != nil {
			t.Error("the old message of the other room is still there")
		}
	})
}

// Expired messages beyond what one transaction looks at and deletes go, too.
func TestRetentionOfManyMessages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		for i := range 2500 {
			x.say(roomID, fmt.Sprint(i))
		}
		x.pass(2 * time.Hour)
		done, err := x.s.ApplyRetention(t.Context(), retention.Policy{Enabled: true, Default: time.Hour})
		x.ok(err)
		if done.Events != 2499 { // all but the newest
			t.Errorf("%d events were deleted, want 2499", done.Events)
		}
	})
}

// What a redacted event said is kept for its time, and no longer.
func TestPurgeRedacted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		first := x.say(roomID, "first secret")
		x.redact(roomID, first)
		x.pass(time.Hour)
		second := x.say(roomID, "second secret")
		x.redact(roomID, second)
		originals := func() (n int) {
			x.ok(db.View(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Row(`SELECT COUNT(*) FROM redacted_originals`, nil, &n)
				return err
			}))
			return n
		}
		for _, step := range []struct {
			keep time.Duration
			want int
		}{{2 * time.Hour, 2}, {30 * time.Minute, 1}, {0, 0}} {
			done, err := x.s.PurgeRedacted(t.Context(), step.keep)
			if got := originals(); err != nil || got != step.want {
				t.Errorf("kept %s: %d originals, want %d (%+v, %v)", step.keep, got, step.want, done, err)
			}
		}
		// One that was kept of an event that is not there any more goes at once.
		x.ok(db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO redacted_originals (event_nid, room_nid, redacted_ts, json) VALUES (123456789, 1, $1, '{}')`, x.s.Now().UnixMilli())
			return err
		}))
		if done, err := x.s.PurgeRedacted(t.Context(), 2*time.Hour); err != nil || done.Originals != 1 || originals() != 0 {
			t.Errorf("of no event: %+v, %v", done, err)
		}
		if e := x.stored(first); e.Type != "m.room.message" || string(e.Content) != "{}" {
			t.Errorf("the redacted event: %s", e.JSON())
		}
	})
}
