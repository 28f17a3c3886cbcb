package store

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// scribe writes events of one room straight into a store.
type scribe struct {
	t      *testing.T
	db     *DB
	roomID id.RoomID
	nid    int64
	n      int64
}

func newScribe(t *testing.T) *scribe {
	t.Helper()
	db, err := Open(t.Context(), t.TempDir()+"/db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &scribe{t: t, db: db, roomID: "!r:test"}
	s.write(func(tx *Tx) (err error) {
		s.nid, err = tx.InsertRoom(s.roomID, s.version(), false)
		return err
	})
	return s
}

func (s *scribe) version() *event.RoomVersion {
	s.t.Helper()
	v, err := event.LookupVersion("10")
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *scribe) write(fn func(*Tx) error) {
	s.t.Helper()
	if err := s.db.Write(s.t.Context(), fn); err != nil {
		s.t.Fatal(err)
	}
}

// build makes an event that relates to another, if relType is not "".
func (s *scribe) build(relType string, parent id.EventID) *event.PDU {
	s.t.Helper()
	s.n++
	content := map[string]any{"n": s.n, "m.new_content": map[string]any{}}
	if relType != "" {
		content["m.relates_to"] = map[string]any{"rel_type": relType, "event_id": parent, "key": "k"}
	}
	raw, err := json.Marshal(content)
	if err != nil {
		s.t.Fatal(err)
	}
	b := event.Builder{RoomID: s.roomID, Sender: "@a:test", Type: "m.room.message", Content: raw, OriginServerTS: s.n, Depth: s.n}
	pdu, err := b.Build(s.version(), &event.Key{ServerName: "test", KeyID: "ed25519:t", Private: ed25519.NewKeyFromSeed(make([]byte, 32))})
	if err != nil {
		s.t.Fatal(err)
	}
	return pdu
}

// put stores an event in the room's timeline.
func (s *scribe) put(tx *Tx, pdu *event.PDU) (*Event, error) {
	nid, err := tx.NextPos()
	if err != nil {
		return nil, err
	}
	e := &Event{PDU: pdu, NID: nid, RoomNID: s.nid, Pos: nid}
	return e, tx.InsertEvent(e)
}

// rows are the tables of relations as text.
func (s *scribe) rows() (all []string) {
	s.t.Helper()
	err := s.db.View(s.t.Context(), func(tx *Tx) error {
		for _, query := range []string{
			`SELECT event_nid || ' ' || parent_nid || ' ' || COALESCE(awaits, '') || ' ' || rel_type || ' ' || pos || ' ' || fit || ' ' || key_hash FROM relations ORDER BY event_nid`,
			`SELECT 'thread ' || root_nid || ' ' || latest || ' ' || events FROM threads ORDER BY root_nid`,
		} {
			some, err := tx.texts(query)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A database of before migration 7 comes to have the rows that it would have, had they been written with the events.
func TestRelationsAreFilled(t *testing.T) {
	s := newScribe(t)
	relTypes := []string{"", event.RelThread, event.RelReplace, event.RelAnnotation, "x.y"}
	s.write(func(tx *Tx) error {
		var events []*Event
		for i := range 1500 {
			parent := id.EventID("$unknown")
			if i > 0 && i%10 != 0 {
				parent = events[i*3/4].EventID
			}
			e, err := s.put(tx, s.build(relTypes[i%len(relTypes)], parent))
			if err != nil {
				return err
			}
			if events = append(events, e); i%7 == 0 {
				pruned, err := e.Redact()
				if err != nil {
					return err
				}
				if err := tx.RedactEvent(e.NID, events[0].NID, pruned.JSON()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	want := s.rows()
	s.write(func(tx *Tx) error {
		for _, query := range []string{`DELETE FROM relations`, `DELETE FROM threads`, `INSERT INTO chores (name) VALUES ('relations')`} {
			if _, err := tx.Exec(query); err != nil {
				return err
			}
		}
		return nil
	})
	if err := s.db.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.rows(); !slices.Equal(got, want) || len(got) < 1000 {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// What relates to an event may come before it does, and may stay when it goes.
func TestRelationsWait(t *testing.T) {
	s := newScribe(t)
	root := s.build("", "")
	var first, second, parent *Event
	s.write(func(tx *Tx) (err error) {
		if first, err = s.put(tx, s.build(event.RelThread, root.EventID)); err != nil {
			return err
		}
		second, err = s.put(tx, s.build(event.RelThread, root.EventID))
		return err
	})
	child := func(e *Event, parent int64, awaits id.EventID) string {
		return fmt.Sprintf("%d %d %s m.thread %d 1 0", e.NID, parent, awaits, e.Pos)
	}
	check := func(when string, want ...string) {
		t.Helper()
		if got := s.rows(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	check("before the parent", child(first, 0, root.EventID), child(second, 0, root.EventID))
	s.threads(map[*Event]id.EventID{first: root.EventID})

	s.write(func(tx *Tx) (err error) {
		if parent, err = s.put(tx, root); err != nil {
			return err
		}
		return tx.AdoptChildren(parent)
	})
	check("with the parent", child(first, parent.NID, ""), child(second, parent.NID, ""), fmt.Sprintf("thread %d %d 2", parent.NID, second.Pos))

	s.write(func(tx *Tx) error {
		_, err := tx.deleteEvents(s.nid, []*Event{second})
		return err
	})
	check("without the newest", child(first, parent.NID, ""), fmt.Sprintf("thread %d %d 1", parent.NID, first.Pos))

	s.write(func(tx *Tx) error { return tx.demote(s.nid, []*Event{parent}) })
	check("with the parent an outlier", child(first, parent.NID, ""), fmt.Sprintf("thread %d %d 1", parent.NID, first.Pos))

	s.write(func(tx *Tx) error {
		_, err := tx.deleteEvents(s.nid, []*Event{parent})
		return err
	})
	check("without the parent", child(first, 0, root.EventID))

	s.write(func(tx *Tx) error { return tx.demote(s.nid, []*Event{first}) })
	check("out of the timeline")
}

// A parent in another room is none, whichever comes first.
func TestRelationsStayInTheRoom(t *testing.T) {
	s := newScribe(t)
	here, first := s.nid, s.build("", "")
	second := s.build("", "")
	s.write(func(tx *Tx) (err error) {
		if s.nid, err = tx.InsertRoom("!other:test", s.version(), false); err != nil {
			return err
		}
		if _, err := s.put(tx, first); err != nil {
			return err
		}
		elsewhere := s.nid
		s.nid = here
		for _, parent := range []*event.PDU{first, second} {
			if _, err := s.put(tx, s.build(event.RelThread, parent.EventID)); err != nil {
				return err
			}
		}
		s.nid = elsewhere
		e, err := s.put(tx, second)
		if err != nil {
			return err
		}
		return tx.AdoptChildren(e)
	})
	if got := s.rows(); len(got) > 0 {
		t.Errorf("got %q, want nothing", got)
	}
}

// Client-Server API, "Threaded read receipts": which thread an event is in.
func TestThreadOf(t *testing.T) {
	s := newScribe(t)
	var root, reply, reaction, edit, deep, deeper, deepest, aside *Event
	s.write(func(tx *Tx) (err error) {
		for _, step := range []struct {
			into    **Event
			relType string
			parent  **Event
		}{
			{&root, "", nil}, {&reply, event.RelThread, &root}, {&reaction, event.RelAnnotation, &reply}, {&edit, event.RelReplace, &root},
			{&deep, "x.y", &reaction}, {&deeper, "x.y", &deep}, {&deepest, "x.y", &deeper}, {&aside, event.RelReference, &edit},
		} {
			var parent id.EventID
			if step.parent != nil {
				parent = (*step.parent).EventID
			}
			if *step.into, err = s.put(tx, s.build(step.relType, parent)); err != nil {
				return err
			}
		}
		return nil
	})
	in := root.EventID
	s.threads(map[*Event]id.EventID{root: "", reply: in, reaction: in, edit: "", deep: in, deeper: in, deepest: "", aside: ""})
}

func (s *scribe) threads(want map[*Event]id.EventID) {
	s.t.Helper()
	err := s.db.View(s.t.Context(), func(tx *Tx) error {
		for e, thread := range want {
			got, err := tx.ThreadOf(e)
			if err != nil {
				return err
			}
			if thread == "" {
				thread = event.MainThread
			}
			if got.ID != string(thread) {
				s.t.Errorf("%s is in %q, want %q", e.Content, got.ID, thread)
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
