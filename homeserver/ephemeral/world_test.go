package ephemeral

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

const (
	ann    = id.UserID("@ann:test")
	ben    = id.UserID("@ben:test")
	roomID = id.RoomID("!room:test")
)

// world is a room of ann and ben, by nothing but rows, in a bubble with a clock of its own.
type world struct {
	*testing.T
	db      *store.DB
	bus     *notify.Local
	roomNID int64
}

func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, db: storetest.New(t), bus: new(notify.Local)}
		version, err := event.LookupVersion("10")
		if err != nil {
			t.Fatal(err)
		}
		w.write(func(tx *store.Tx) (err error) {
			w.roomNID, err = tx.InsertRoom(roomID, version, false)
			return err
		})
		w.membership(ann, "join")
		w.membership(ben, "join")
		test(w)
	})
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.Helper()
	if err := w.db.Write(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// membership sets a user's membership and rings as the room service does.
func (w *world) membership(user id.UserID, membership string) (nid int64) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) {
		if nid, err = tx.NID(string(user)); err != nil {
			return err
		}
		pos, err := tx.NextPos()
		if err != nil {
			return err
		}
		return tx.SetMembership(store.Membership{RoomNID: w.roomNID, UserNID: nid, Membership: membership, Pos: pos})
	})
	w.bus.Publish(notify.Signal{Key: notify.Key{Kind: notify.User, NID: nid}})
	return nid
}

// run runs a part until the test ends.
func (w *world) run(part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	}
	w.Cleanup(stop)
	synctest.Wait()
	return stop
}

// rings tells how often a room rings while do runs and everyone comes to rest, at most once.
func (w *world) rings(do func()) bool {
	w.Helper()
	bell := w.bus.Register(notify.Key{Kind: notify.Room, NID: w.roomNID})
	defer bell.Close()
	do()
	synctest.Wait()
	select {
	case <-bell.C:
		return true
	default:
		return false
	}
}

func (w *world) sleep(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}
