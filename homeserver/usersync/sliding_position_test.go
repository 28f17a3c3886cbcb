package usersync

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/store"
)

// restart has another server take over the database.
func (w *world) restart() {
	w.s = New(Config{DB: w.db, Bus: w.bus, Now: func() time.Time { return time.UnixMilli(2_000_000) }})
}

func TestSlidingLostAnswers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "1"})
		d := w.device(alice, true)
		topic := obj{"type": "m.room.topic", "state_key": ""}
		d.sync(all(5, topic))
		p.set(alice, "m.room.topic", "", obj{"topic": "2"})
		for i := range 3 {
			r := d.lost(all(5, topic)).room(t, p)
			wantList(t, "timeline", brief(r.Timeline), list("topic=2"))
			wantList(t, "state", r.state(), list("topic=2"))
			if r.Initial || r.NumLive != 1 {
				t.Errorf("the answer that is lost %d: %s", i, r.raw)
			}
			if i == 1 {
				w.restart()
			}
		}
		d.sync(all(5, topic))
		d.sync(all(5, topic)).none(t)
		w.restart()
		d.sync(all(5, topic)).none(t)
	})
}

func TestSlidingUnknownPositions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		d := w.device(alice, true)
		first := d.sync(all(1)).Pos
		for name, change := range map[string]func(*device){
			"another user":   func(d *device) { d.user = bob },
			"another device": func(d *device) { d.name = "E" },
			"no position":    func(d *device) { d.pos = "x" },
			"a token":        func(d *device) { d.pos, _, _ = strings.Cut(d.pos, "_") },
			"the future":     func(d *device) { d.pos = "s99999999" + d.pos[strings.Index(d.pos, "_"):] },
			"another answer": func(d *device) { d.pos = d.pos[:strings.LastIndex(d.pos, "_")] + "_7" },
			"the beginning":  func(d *device) { d.pos = d.pos[:strings.LastIndex(d.pos, "_")] + "_0" },
			"minus":          func(d *device) { d.pos = d.pos[:strings.LastIndex(d.pos, "_")] + "_-1" },
		} {
			other := *d
			change(&other)
			if _, err := other.try(all(1)); err == nil {
				t.Errorf("%s: %s is taken", name, other.pos)
			} else {
				wantCode(t, err, "M_UNKNOWN_POS")
			}
		}
		p.text(bob, "1")
		second := d.sync(all(1)).Pos
		p.text(bob, "2")
		d.sync(all(1))
		d.pos = first // two answers ago
		_, err := d.try(all(1))
		wantCode(t, err, "M_UNKNOWN_POS")
		d.pos = second // the last but one may have been lost
		wantList(t, "timeline", brief(d.sync(all(1)).room(t, p).Timeline), list("2"))
		// Beginning anew ends the connection.
		old := d.pos
		d.pos = ""
		d.sync(all(1)).room(t, p)
		d.pos = old
		_, err = d.try(all(1))
		wantCode(t, err, "M_UNKNOWN_POS")
	})
}

// TestSlidingLostForGood has an answer that was given up arrive all the same.
func TestSlidingLostForGood(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		d := w.device(alice, true)
		d.sync(all(1))
		p.text(alice, "1")
		lost := d.lost(all(1)).Pos
		d.sync(all(1)).room(t, p)
		d.pos = lost
		_, err := d.try(all(1))
		wantCode(t, err, "M_UNKNOWN_POS")
	})
}

func TestSlidingConnectionBounds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.room(alice, "shared")
		now := int64(2_000_000)
		w.s = New(Config{DB: w.db, Bus: w.bus, Now: func() time.Time { return time.UnixMilli(now) }})
		d := w.device(alice, true)
		positions := make([]string, maxSlidingConnections+2)
		conn := func(i int) obj { b := all(1); b["conn_id"] = fmt.Sprint(i); return b }
		for i := range positions {
			now++
			d.pos = ""
			positions[i] = d.sync(conn(i)).Pos
		}
		w.restart()
		for i, pos := range positions {
			d.pos = pos
			_, err := d.try(conn(i))
			if i < 2 {
				wantCode(t, err, "M_UNKNOWN_POS")
			} else if err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		}
		if err := ExpireSliding(context.Background(), w.db, time.UnixMilli(now).Add(SlidingKeep+time.Second)); err != nil {
			t.Fatal(err)
		}
		w.restart()
		_, err := d.try(conn(len(positions) - 1))
		wantCode(t, err, "M_UNKNOWN_POS")
		w.view(func(tx *store.Tx) error {
			orphans, err := tx.AuditOrphans(5)
			for _, o := range orphans {
				if strings.HasPrefix(o.Table, "sliding") && o.Missing != "user" { // alice has no account here
					t.Errorf("orphans: %+v", o)
				}
			}
			return err
		})
	})
}

// TestSlidingManyConfigs has a client invent one required_state after the other.
func TestSlidingManyConfigs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		d := w.device(alice, true)
		for i := range 3 * maxSlidingConfigs {
			p.text(alice, "text")
			d.sync(all(1, obj{"type": fmt.Sprint("type", i)})).room(t, p)
		}
	})
}

func TestSlidingTokenPaginates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.texts(alice, "m", 3)
		d := w.device(alice, true)
		a := d.sync(all(1))
		for _, from := range []string{a.Pos, a.room(t, p).PrevBatch} {
			page := w.page(MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, From: from, Backwards: true, Limit: 2})
			want := list("m2", "m1")
			if from != a.Pos {
				want = list("m1", "m0")
			}
			wantList(t, "messages", page.brief(), want)
		}
	})
}
