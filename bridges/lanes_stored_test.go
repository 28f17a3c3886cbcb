package bridges

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"causeway/bridges/bridgetest"
)

// What a network does not take waits in the inbox when there is much of it: other rooms go on, and nothing is lost, doubled or
// overtaken, also over a restart.
func TestMuchInOneRoom(t *testing.T) {
	const much = 40
	hs := bridgetest.NewHomeserver(t, "hs.test")
	dir := t.TempDir()
	w := startWorld(t, hs, dir, func(w *world) {
		w.net.hold, w.ackWait = true, time.Millisecond
		w.lanes.most, w.lanes.mostInLane = 8, 4
	})
	slow, quick := w.portal(t, "slow"), w.portal(t, "quick")
	hs.AwaitAcknowledged()
	w.awaitHandled()
	var said, want []string
	for n := range much + maxUnfinished {
		said = append(said, fmt.Sprint("s", n))
		hs.Say(w.alice, slow, said[n])
	}
	w.net.await(t, maxUnfinished)
	hs.AwaitAcknowledged() // the rest is stored
	hs.Say(w.alice, quick, "q")
	got := w.net.await(t, maxUnfinished+1)
	if want = append(slices.Clone(said[:maxUnfinished]), "q"); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q: another room need not wait", got, want)
	}
	if got := w.Status().Waiting; got != len(said)+1 {
		t.Errorf("%d events wait, want %d", got, len(said)+1)
	}
	w.net.finish("q")
	for _, text := range said[:10] {
		w.net.finish(text)
	}
	got = w.net.await(t, maxUnfinished+11)
	if want = append(want, said[maxUnfinished:maxUnfinished+10]...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	hs.AwaitAcknowledged()
	w.stop()

	w = startWorld(t, hs, dir, func(w *world) { w.lanes.most, w.lanes.mostInLane = 8, 4 })
	hs.Say(w.alice, slow, "last")
	hs.AwaitAcknowledged()
	if got, want := w.net.await(t, len(said)-10+1), append(said[10:], "last"); !slices.Equal(got, want) {
		t.Errorf("after a restart got %q, want %q", got, want)
	}
}

// awaitHandled waits until the events that have come are handled: some are acknowledged before.
func (w *world) awaitHandled() {
	w.lanes.mu.Lock()
	tickets := slices.Collect(maps.Values(w.lanes.tickets))
	w.lanes.mu.Unlock()
	for _, one := range tickets {
		<-one.done
	}
}

// An event that ends while its transaction is taken once more is not handled once more.
func TestEndsWhileRepeated(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), func(w *world) { w.net.hold, w.ackWait = true, time.Millisecond })
	room := w.portal(t, "chat")
	hs.Say(w.alice, room, "hello")
	w.net.await(t, 1)
	hs.AwaitAcknowledged()
	said := hs.Messages(room)[0]
	text, err := json.Marshal(map[string]any{
		"event_id": said.ID, "room_id": room, "sender": said.Sender, "type": said.Type, "content": said.Content,
	})
	if err != nil {
		t.Fatal(err)
	}
	letters, events := w.open([]json.RawMessage{text})
	w.txnMu.Lock()
	defer w.txnMu.Unlock()
	states, err := w.inbox.put(t.Context(), letters)
	if err != nil || states[0] != letterPending {
		t.Fatalf("got %v, %v, want an event that is on its way", states, err)
	}
	ticket, _ := w.lanes.find(events[0], letters[0].seq)
	w.net.finish("hello")
	<-ticket.done
	if again, err := w.queue(t.Context(), events[0], letters[0].seq, states[0]); again != nil || err != nil {
		t.Errorf("got %v, %v, want nothing to be done", again, err)
	}
}

// Events of before there was a column for the room, and such as are none any more.
func TestOldInbox(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	dir := t.TempDir()
	w := startWorld(t, hs, dir, func(w *world) { w.net.hold, w.ackWait = true, time.Millisecond })
	room := w.portal(t, "chat")
	hs.Say(w.alice, room, "one")
	hs.Say(w.alice, room, "two")
	w.net.await(t, 2)
	hs.AwaitAcknowledged()
	w.stop()
	b, err := New(Options{ID: "loop", ServerName: hs.ServerName, Network: newLoopNetwork(), DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`UPDATE host_inbox SET room_id=''`,
		`INSERT INTO host_inbox (event_id, seq, done_ts, event) VALUES ('$x', 100000, 0, '{"room_id":"!x"}'), ('$y', 100001, 0, 'y')`,
	} {
		if _, err := b.raw.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	w = startWorld(t, hs, dir, nil)
	if got, want := w.net.await(t, 2), []string{"one", "two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
