package e2ee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// bench is a Service with accounts on an empty store, and a clock.
type bench struct {
	t    *testing.T
	db   *store.DB
	bus  *notify.Local
	s    *Service
	now  time.Time
	txns int
}

var (
	alice = By{User: "@alice:test", Device: "A", Scope: "A"}
	bob   = By{User: "@bob:test", Device: "B", Scope: "B"}
	carol = By{User: "@carol:test", Device: "C", Scope: "C"}
)

func each(t *testing.T, test func(b *bench)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := &bench{t: t, db: db, bus: new(notify.Local), now: time.UnixMilli(1e12)}
		b.s = New(Config{ServerName: "test", DB: db, Bus: b.bus, Now: func() time.Time { return b.now }})
		for _, by := range []By{alice, bob, carol} {
			b.write(func(tx *store.Tx) error {
				u := store.User{UserID: by.User, CreatedTS: 1}
				if err := tx.InsertUser(&u); err != nil {
					return err
				}
				return tx.EnsureDevice(u.NID, by.Device, "", 1)
			})
		}
		test(b)
	})
}

func (b *bench) write(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.db.Write(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) view(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.db.View(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) send(from, to By, n int) {
	b.t.Helper()
	b.txns++
	content := json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
	if err := b.s.Send(context.Background(), from, "t", fmt.Sprint(b.txns), Messages{to.User: {to.Device: content}}); err != nil {
		b.t.Fatal(err)
	}
}

// waiting returns what waits for a device, as "sender n".
func (b *bench) waiting(to By) (all []string, upto int64) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		nid, err := tx.LookupNID(string(to.User))
		if err != nil {
			return err
		}
		if upto, err = tx.StreamPos(); err != nil {
			return err
		}
		messages, err := tx.ToDeviceAfter(nid, to.Device, 0, upto, 10_000)
		for _, m := range messages {
			var content struct {
				N int `json:"n"`
			}
			if err := json.Unmarshal(m.Content, &content); err != nil {
				return err
			}
			all = append(all, fmt.Sprintf("%s %d", m.Sender.Localpart(), content.N))
		}
		return err
	})
	return all, upto
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e mautrix.RespError
	if !errors.As(err, &e) || e.ErrCode != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func TestAcknowledge(t *testing.T) {
	each(t, func(b *bench) {
		ctx := context.Background()
		ack := func(by By, upto int64, want int) {
			b.t.Helper()
			if err := b.s.Acknowledge(ctx, by.User, by.Device, upto); err != nil {
				b.t.Fatal(err)
			}
			if got, _ := b.waiting(bob); len(got) != want {
				b.t.Errorf("after %d: %q are left, want %d", upto, got, want)
			}
		}
		_, before := b.waiting(bob)
		ack(bob, before, 0)
		b.send(alice, bob, 1)
		_, first := b.waiting(bob)
		b.send(alice, bob, 2)
		b.send(carol, bob, 3)
		_, last := b.waiting(bob)
		ack(bob, before, 3)
		ack(By{User: bob.User}, last, 3)
		ack(By{User: bob.User, Device: "OTHER"}, last, 3)
		ack(carol, last, 3)
		ack(By{User: "@none:test", Device: "B"}, last, 3)
		ack(bob, last+1, 3) // the database was restored since that token was made
		ack(bob, first, 2)
		ack(bob, first, 2)
		ack(bob, before, 2)
		ack(bob, last, 0)
		b.send(alice, bob, 4)
		ack(bob, last, 1)
		// Another process knows nothing of what this one remembers.
		b.s = New(Config{ServerName: "test", DB: b.db, Bus: b.bus, Now: b.s.now})
		ack(bob, last, 1)
		_, last = b.waiting(bob)
		ack(bob, last, 0)
	})
}

// TestTransactions repeats requests, and forgets them in time.
func TestTransactions(t *testing.T) {
	each(t, func(b *bench) {
		send := func(by By, eventType, txn string, want int) {
			b.t.Helper()
			err := b.s.Send(context.Background(), by, eventType, txn, Messages{bob.User: {"*": json.RawMessage(`{"n":1}`)}})
			if err != nil {
				b.t.Fatal(err)
			}
			if got, _ := b.waiting(bob); len(got) != want {
				b.t.Errorf("%s %s %s: got %d messages, want %d", by.User, eventType, txn, len(got), want)
			}
		}
		send(alice, "t", "1", 1)
		send(alice, "t", "1", 1)
		send(carol, "t", "1", 2)
		send(alice, "u", "1", 3)
		send(By{User: alice.User, Scope: "as:x"}, "t", "1", 4)
		b.s = New(Config{ServerName: "test", DB: b.db, Bus: b.bus, Now: b.s.now})
		send(alice, "t", "1", 4)
		b.now = b.now.Add(rememberTxns - time.Second)
		send(alice, "t", "2", 5)
		send(alice, "t", "1", 5)
		b.now = b.now.Add(2 * time.Second)
		send(alice, "t", "2", 5)
		send(alice, "t", "1", 6)
	})
}

// TestWaitingIsBounded floods a device: what others have sent stays.
func TestWaitingIsBounded(t *testing.T) {
	const bound = 20
	each(t, func(b *bench) {
		b.s.maxWaiting = bound
		b.send(carol, bob, 0)
		for n := range 3 * trimEvery {
			b.send(alice, bob, n)
		}
		b.send(carol, bob, 1)
		got, _ := b.waiting(bob)
		if n := len(got) - 2; n < bound || n > bound+trimEvery {
			b.t.Errorf("%d messages of the flood wait, want about %d", n, bound)
		}
		if got[0] != "carol 0" || got[len(got)-1] != "carol 1" || got[len(got)-2] != fmt.Sprintf("alice %d", 3*trimEvery-1) {
			b.t.Errorf("got %q", got)
		}
	})
}

func TestSendBounds(t *testing.T) {
	each(t, func(b *bench) {
		send := func(m Messages) error { return b.s.Send(context.Background(), alice, "t", "1", m) }
		many := make(map[id.DeviceID]json.RawMessage)
		for n := range maxRecipients + 1 {
			many[id.DeviceID(fmt.Sprint(n))] = json.RawMessage(`{}`)
		}
		wantCode(b.t, "many recipients", send(Messages{bob.User: many}), "M_TOO_LARGE")
		b.write(func(tx *store.Tx) error {
			nid, err := tx.LookupNID(string(carol.User))
			for n := range maxRequestBytes/maxMessageBytes + 2 {
				if err == nil {
					err = tx.EnsureDevice(nid, id.DeviceID(fmt.Sprint(n)), "", 1)
				}
			}
			return err
		})
		large := json.RawMessage(`{"x":"` + strings.Repeat("x", maxMessageBytes-8) + `"}`)
		wantCode(b.t, "a large message to all of many devices", send(Messages{carol.User: {"*": large}}), "M_TOO_LARGE")
		if got, _ := b.waiting(carol); len(got) != 0 {
			b.t.Errorf("%d messages wait of a request that was refused", len(got))
		}
		if err := send(Messages{bob.User: {"*": large}}); err != nil {
			b.t.Errorf("the largest message, by the transaction id of one that was refused: %v", err)
		}
		if got, _ := b.waiting(bob); len(got) != 1 {
			b.t.Errorf("%d messages wait, want 1", len(got))
		}
	})
}

func TestDropOld(t *testing.T) {
	each(t, func(b *bench) {
		const day = 24 * time.Hour
		for n := range 4 {
			b.send(alice, bob, n)
			b.now = b.now.Add(day)
		}
		drop := func(keep time.Duration, want int64, left int) {
			b.t.Helper()
			done, err := b.s.DropOld(context.Background(), keep)
			if err != nil || done.ToDevice != want || (want > 0) != (done.Bytes > 0) {
				b.t.Errorf("keep %v: got %+v and %v, want %d", keep, done, err, want)
			}
			if got, _ := b.waiting(bob); len(got) != left {
				b.t.Errorf("keep %v: got %q, want %d", keep, got, left)
			}
		}
		drop(0, 0, 4)
		drop(10*day, 0, 4)
		drop(2*day, 2, 2)
		drop(2*day, 0, 2)
		// What waits for a dehydrated device waits.
		b.write(func(tx *store.Tx) error {
			nid, err := tx.LookupNID(string(bob.User))
			if err != nil {
				return err
			}
			return tx.SetDehydratedDevice(nid, bob.Device, json.RawMessage(`{}`))
		})
		drop(time.Hour, 0, 2)
		b.write(func(tx *store.Tx) error {
			nid, err := tx.LookupNID(string(bob.User))
			if err != nil {
				return err
			}
			return tx.SetDehydratedDevice(nid, "another", json.RawMessage(`{}`))
		})
		drop(time.Hour, 2, 0)
	})
}

// TestNoRowIsLeft has an account do everything and sign out: nothing is left of its devices, what refers to others stays sound, and texts
// that are in use are not swept.
func TestNoRowIsLeft(t *testing.T) {
	each(t, func(b *bench) {
		ctx := context.Background()
		keys := json.RawMessage(`{"user_id":"@bob:test","device_id":"B","algorithms":[],"keys":{"ed25519:B":"x"},"signatures":{}}`)
		one := map[string]json.RawMessage{"a:1": json.RawMessage(`"k"`), "a:2": json.RawMessage(`"l"`)}
		if _, err := b.s.Upload(ctx, bob, UploadRequest{DeviceKeys: keys, OneTimeKeys: one, Fallback: map[string]json.RawMessage{"a:3": json.RawMessage(`"m"`)}}); err != nil {
			b.t.Fatal(err)
		}
		if _, err := b.s.Claim(ctx, ClaimRequest{OneTimeKeys: map[id.UserID]map[id.DeviceID]string{bob.User: {"B": "a"}}}); err != nil {
			b.t.Fatal(err)
		}
		b.send(alice, bob, 1)
		b.send(bob, alice, 2)
		sound := func(when string) {
			b.t.Helper()
			b.view(func(tx *store.Tx) error {
				orphans, err := tx.AuditOrphans(10)
				for _, o := range orphans {
					b.t.Errorf("%s: %+v", when, o)
				}
				return err
			})
		}
		sound("before")
		var change store.DeviceChange
		b.write(func(tx *store.Tx) (err error) {
			nid, err := tx.LookupNID(string(bob.User))
			if err == nil {
				change, err = tx.DeleteDevice(nid, "B")
			}
			return err
		})
		if change.Pos == 0 {
			b.t.Error("that a device with keys is gone is no change")
		}
		sound("after")
		if got, _ := b.waiting(bob); len(got) != 0 {
			b.t.Errorf("%q wait for a device that is gone", got)
		}
		_, err := b.s.Upload(ctx, bob, UploadRequest{OneTimeKeys: one})
		wantCode(b.t, "keys of a device that is gone", err, "M_UNKNOWN_TOKEN")
		got, err := b.s.Claim(ctx, ClaimRequest{OneTimeKeys: map[id.UserID]map[id.DeviceID]string{bob.User: {"B": "a"}}})
		if err != nil || len(got.OneTimeKeys) != 0 {
			b.t.Errorf("claimed %+v and %v of a device that is gone", got, err)
		}
		if err := b.db.Compact(ctx); err != nil {
			b.t.Fatal(err)
		}
		if got, _ := b.waiting(alice); len(got) != 1 || got[0] != "bob 2" {
			b.t.Errorf("got %q after the texts were swept", got)
		}
		sound("compacted")
	})
}
