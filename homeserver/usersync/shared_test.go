package usersync

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// TestReadAhead compares what is read for many users at once with what is read for each: members and strangers, users who ignore
// others, ghosts, users with keys and without.
func TestReadAhead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, users := w.crowd(20)
		from := w.upto()
		others := w.room(users[1], "shared")
		w.ignore(users[2], `{"ignored_users":{"@alice:test":{}}}`)
		w.ignore(users[3], `{"ignored_users":{}}`)
		w.write(func(tx *store.Tx) error {
			for i, u := range users[:4] {
				nid, err := tx.LookupNID(string(u))
				if err != nil {
					return err
				}
				device := id.DeviceID("PHONE")
				err = tx.InsertOneTimeKeys(nid, device, []store.OneTimeKey{{KeyID: store.KeyID{Algorithm: "signed_curve25519", ID: "A"}, JSON: []byte(`{}`)}})
				if err != nil {
					return err
				}
				if err := tx.CountKeys(nid, device, int64(i)); err != nil {
					return err
				}
			}
			return nil
		})
		p.text(alice, "news")
		p.read(users[6], store.ReceiptRead, p.last)
		middle := w.upto()
		p.read(users[7], store.ReceiptReadPrivate, p.last)
		others.read(users[1], store.ReceiptRead, others.last)
		p.member(alice, users[4], "leave")
		others.member(users[1], users[5], "invite")
		asked := append([]id.UserID{alice, bob}, users...)
		upto := w.upto()
		var joints []*joint
		for _, u := range asked {
			joints = append(joints, &joint{who: asking{userNID: w.nid(u), device: "PHONE", after: from, rooms: []int64{others.nid}}})
		}
		joints = append(joints, &joint{}, &joint{who: asking{userNID: w.nid(alice), device: "OTHER", after: from}}, &joint{who: asking{userNID: w.nid(alice), after: 1 << 50}})
		w.view(func(plain *store.Tx) error {
			return w.db.View(t.Context(), func(tx *store.Tx) error {
				if err := share(tx, joints); err != nil {
					return err
				}
				for _, u := range asked {
					nid := w.nid(u)
					ask := func(what string, fn func(*store.Tx) (any, error)) {
						t.Helper()
						sameAnswer(t, u, what, fn, tx, plain)
					}
					if nid != 0 && askerOf(tx, nid) == nil {
						t.Errorf("%s: nothing was read ahead", u)
					}
					for _, after := range []int64{from - 1, from, middle} {
						ask("seats", func(tx *store.Tx) (any, error) { return seatsChanged(tx, nid, after, upto) })
						ask("rooms read", func(tx *store.Tx) (any, error) { return roomsRead(tx, nid, after, upto, true) })
						ask("rooms with receipts", func(tx *store.Tx) (any, error) {
							rooms, err := roomsWithReceipts(tx, nid, after, upto, true)
							slices.Sort(rooms)
							return rooms, err
						})
						ask("receipts", func(tx *store.Tx) (any, error) { return receiptsIn(tx, p.nid, nid, after, upto, 10) })
					}
					ask("joined among", func(tx *store.Tx) (any, error) {
						rooms, err := joinedAmong(tx, nid, []int64{p.nid, others.nid})
						slices.Sort(rooms)
						return rooms, err
					})
					for _, room := range []*place{p, others} {
						ask("seat", func(tx *store.Tx) (any, error) {
							seat, err := seatIn(tx, nid, room.nid)
							if errors.Is(err, store.ErrNotFound) {
								err = nil
							}
							return seat, err
						})
					}
					ask("person", func(tx *store.Tx) (any, error) { return isPerson(tx, nid) })
					ask("ignored", func(tx *store.Tx) (any, error) { return ignoredUsers(tx, u) })
					ask("erased", func(tx *store.Tx) (any, error) { return anyErased(tx) })
					ask("push", func(tx *store.Tx) (any, error) { return pushActionsAfter(tx, p.nid, from, upto, 10) })
					for _, device := range []id.DeviceID{"PHONE", "OTHER"} {
						ask("keys", func(tx *store.Tx) (any, error) { return deviceKeys(tx, nid, device) })
					}
				}
				return nil
			})
		})
	})
}

// sameAnswer compares an answer from a shared snapshot, twice, with the one of a plain one.
func sameAnswer(t *testing.T, user id.UserID, what string, ask func(*store.Tx) (any, error), shared, plain *store.Tx) {
	t.Helper()
	want, err := ask(plain)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := ask(shared)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s: got %+v, %v, want %+v", user, what, got, err, want)
		}
	}
}

func (w *world) upto() (pos int64) {
	w.t.Helper()
	w.view(func(tx *store.Tx) (err error) {
		pos, err = tx.StreamPos()
		return err
	})
	return pos
}

// TestComingBack has a device come back with its token: it is parked without a look at the database just when nothing is new.
func TestComingBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		upToDate := func(since string) bool {
			t.Helper()
			l := look{s: w.s, req: &Request{User: bob, Device: "B", Since: since, Timeout: time.Minute}, filter: defaultFilter}
			if since != "" {
				var err error
				if l.known, err = parseSyncToken("since", since); err != nil {
					t.Fatal(err)
				}
			}
			return l.upToDate()
		}
		// A reading that has nothing to tell learns of the bells.
		comeBack := func() string {
			t.Helper()
			since := w.sync(Request{User: bob, Device: "B"}).NextBatch
			ctx, cancel := context.WithCancel(t.Context())
			bus := &parkedBus{Local: w.bus}
			bus.parked.Add(1)
			w.s.bus = bus
			done := make(chan error, 1)
			go func() {
				_, err := w.s.Sync(ctx, Request{User: bob, Device: "B", Since: since, Timeout: time.Minute})
				done <- err
			}()
			bus.parked.Wait()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			return since
		}
		since := comeBack()
		if !upToDate(since) {
			t.Error("nothing is new, and it looks")
		}
		if upToDate("") || upToDate(token(w.upto()+1)) {
			t.Error("a device that knows nothing, or has a token of another database, is taken to know everything")
		}
		for _, news := range []struct {
			name   string
			happen func()
		}{
			{"a message", func() { p.text(alice, "news") }},
			{"another's room", func() { w.room(alice, "shared") }},
			{"account data", func() { w.ignore(bob, `{"ignored_users":{}}`) }},
			{"coming into a room", func() { w.room(bob, "shared") }},
			{"a receipt", func() { p.read(alice, store.ReceiptRead, p.last) }},
		} {
			since := comeBack()
			news.happen()
			if upToDate(since) {
				t.Errorf("%s: it does not look", news.name)
			}
			told := w.sync(Request{User: bob, Device: "B", Since: since}).NextBatch
			if !upToDate(told) {
				t.Errorf("%s: told of it, it looks", news.name)
			}
			nid := w.nid(bob)
			w.view(func(tx *store.Tx) error {
				rooms, err := tx.JoinedRooms(nid)
				if got, want := len(w.s.ears.known(nid, 0)), len(rooms)+1; got != want {
					t.Errorf("%s: %d bells, want %d", news.name, got, want)
				}
				return err
			})
		}
	})
}
