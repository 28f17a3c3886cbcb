package room

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// sizeOf adds up what a head keeps, as it is now.
func sizeOf(h *head) (places, all int) {
	for k, e := range h.state {
		places += weight(k, e)
	}
	recent := 0
	for _, k := range h.recentKeys {
		recent += txnWeight(k)
	}
	all = headBytes + places + recent + len(h.annotations)*annotationBytes
	for _, tip := range h.tips {
		all += tip.weight()
	}
	return places, all
}

// checkSizes compares what is counted with what is there, and returns the rooms that are in memory.
func checkSizes(t *testing.T, s *Service) map[id.RoomID]bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, rooms := 0, make(map[id.RoomID]bool)
	for roomID, h := range s.heads {
		places, all := sizeOf(h)
		if h.places != places || h.kept != all {
			t.Errorf("%s: %d bytes of state and %d in all are counted, want %d and %d", roomID, h.places, h.kept, places, all)
		}
		sum += all
		rooms[roomID] = true
	}
	if s.kept != sum || s.idle.Len() != len(s.heads) {
		t.Errorf("%d bytes and %d idle rooms are counted, want %d and %d", s.kept, s.idle.Len(), sum, len(s.heads))
	}
	return rooms
}

const largeBytes = 60_000

// sendLarge sends state events of largeBytes, each in a place of its own.
func sendLarge(t *testing.T, s *Service, roomID id.RoomID, n int) {
	t.Helper()
	content := json.RawMessage(`{"x":"` + strings.Repeat("x", largeBytes) + `"}`)
	for i := range n {
		if _, err := s.SendState(t.Context(), as(alice), roomID, "large", fmt.Sprint(i), content); err != nil {
			t.Fatal(err)
		}
	}
}

// However large what is kept of rooms, all rooms together take no more memory than they may, and those that were forgotten for it come
// back.
func TestBytesInMemoryAreBounded(t *testing.T) {
	db := storetest.New(t)
	s := newService(db)
	const each = 40
	rooms := make([]id.RoomID, maxKeptBytes/(each*largeBytes)+3)
	for i := range rooms {
		rooms[i] = mustCreate(t, s, CreateRequest{})
		sendLarge(t, s, rooms[i], each)
	}
	kept := checkSizes(t, s)
	if s.kept > maxKeptBytes {
		t.Errorf("%d bytes are kept, want at most %d", s.kept, maxKeptBytes)
	}
	first, last := rooms[0], rooms[len(rooms)-1]
	if kept[first] || !kept[last] {
		t.Errorf("the room that was used first is in memory: %t, want false; the last: %t, want true", kept[first], kept[last])
	}
	if len(kept) < len(rooms)/2 {
		t.Errorf("%d rooms are in memory, want more than half of %d", len(kept), len(rooms))
	}
	sendLarge(t, s, first, 1) // the event is there already
	if got := checkSizes(t, s); !got[first] {
		t.Error("the room that was used first has not come back")
	}
	if n := len(timeline(t, db, first)); n < each {
		t.Errorf("%d events in the room, want at least %d", n, each)
	}
	s.sweep(s.Now().UnixMilli() + 1)
	if len(s.heads) != 0 || s.kept != 0 || s.idle.Len() != 0 {
		t.Errorf("%d rooms of %d bytes are in memory, %d idle, want none", len(s.heads), s.kept, s.idle.Len())
	}
}

// The state of one room that is kept is bounded by its size, too.
func TestBytesOfOneRoomAreBounded(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{})
	sendLarge(t, s, roomID, 2*maxPlacesBytes/largeBytes)
	checkSizes(t, s)
	if got, want := s.heads[roomID].places, maxPlacesBytes+2*largeBytes; got > want {
		t.Errorf("%d bytes of state are in memory, want at most %d", got, want)
	}
}

// What is counted stays true whatever is sent: transaction ids, reactions, redactions of the state, refusals, and failed writes.
func TestSizesAreTrue(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
	for i := range maxRecent + 10 {
		content := fmt.Sprintf(`{"m.relates_to":{"rel_type":"m.annotation","event_id":"$%d","key":"k"}}`, i)
		if _, err := s.Send(t.Context(), as(alice), roomID, "m.reaction", fmt.Sprint(i), json.RawMessage(content)); err != nil {
			t.Fatal(err)
		}
	}
	checkSizes(t, s)
	topic, err := s.SendState(t.Context(), as(alice), roomID, "m.room.topic", "", json.RawMessage(`{"topic":"a topic that is redacted"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redact(t.Context(), as(alice), roomID, topic, "r", ""); err != nil {
		t.Fatal(err)
	}
	checkSizes(t, s)
	if _, err := s.SendState(t.Context(), as(bob), roomID, "m.room.topic", "", json.RawMessage(`{}`)); code(err) != "M_FORBIDDEN" {
		t.Errorf("a stranger's topic: %v", err)
	}
	checkSizes(t, s)
	d := draft{Type: "x", Sender: alice, Content: json.RawMessage(`{}`), TS: 1}
	if _, err := s.append(t.Context(), roomID, []draft{d}, func(*store.Tx) error { return store.ErrExists }); err == nil {
		t.Error("a write that fails has gone well")
	}
	if kept := checkSizes(t, s); kept[roomID] {
		t.Error("a room whose write failed is in memory")
	}
}

// Rooms that are forgotten whenever nobody uses them lose nothing, and a repeat is still known for one.
func TestForgettingLosesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		const rooms, senders, sends = 3, 6, 20 // two senders for each transaction id
		var ids [rooms]id.RoomID
		for i := range ids {
			ids[i] = mustCreate(t, s, CreateRequest{})
		}
		var got [senders][sends]id.EventID
		var all sync.WaitGroup
		for who := range senders {
			all.Go(func() {
				for i := range sends {
					txnID := fmt.Sprint(who/2, "-", i)
					eventID, err := s.Send(context.Background(), as(alice), ids[i%rooms], "m.room.message", txnID, body("x"))
					if err != nil {
						t.Errorf("send %s: %v", txnID, err)
					}
					got[who][i] = eventID
					s.mu.Lock()
					s.evict(0, 0)
					s.mu.Unlock()
				}
			})
		}
		all.Wait()
		for who := 0; who < senders; who += 2 {
			if got[who] != got[who+1] {
				t.Errorf("senders %d and %d have other events for the same transaction ids", who, who+1)
			}
		}
		messages := 0
		for _, roomID := range ids {
			for _, e := range timeline(t, db, roomID) {
				if e.Type == "m.room.message" {
					messages++
				}
			}
		}
		if want := senders / 2 * sends; messages != want {
			t.Errorf("%d messages, want %d", messages, want)
		}
		checkSizes(t, s)
	})
}
