package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"
)

// maxRepeats is how many of a writer's last requests an audit makes again.
const maxRepeats = 30

// listed is an event of a room's history.
type listed struct {
	ID       id.EventID `json:"event_id"`
	Type     string     `json:"type"`
	Sender   id.UserID  `json:"sender"`
	StateKey *string    `json:"state_key"`
	Content  struct {
		Nonce      string `json:"nonce"`
		Body       string `json:"body"`
		Membership string `json:"membership"`
	} `json:"content"`
}

// audit compares the server with what the writers were told: every acknowledged
// event is in its room once and in order, what was redacted says nothing, state is
// what was set last, and no request was done twice. What got no answer is
// either done or not; it is settled here, so that writing can go on.
func (l *load) audit(t *testing.T) {
	t.Helper()
	for _, w := range l.writers {
		w.settle(t)
		w.repeat(t)
	}
	histories := map[id.RoomID][]listed{}
	for _, w := range l.writers {
		for _, p := range w.places {
			if histories[p.roomID] == nil {
				histories[p.roomID] = w.reader(p).history(t, p)
				checkOnce(t, p.roomID, histories[p.roomID])
			}
			w.checkPlace(t, p, histories[p.roomID])
		}
	}
}

// settle learns what became of the operations in doubt. What can be repeated is
// repeated until it is answered.
func (w *writer) settle(t *testing.T) {
	t.Helper()
	unsure := w.unsure
	w.unsure = nil
	for _, p := range w.places {
		if p.lost {
			w.settleMove(t, p)
		}
	}
	for _, o := range unsure {
		o.late = true
		switch o.kind {
		case message, redaction:
			if !o.place.in {
				w.must(t, w.move(o.place))
			}
			w.insist(t, o)
		case note:
			w.settleNote(t, o)
		}
	}
	if slices.ContainsFunc(unsure, func(o *operation) bool { return o.kind == creation }) {
		w.settleRooms(t)
	}
}

// insist makes a request until it is answered with success.
func (w *writer) insist(t *testing.T, o *operation) {
	t.Helper()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for {
		a, err := w.request(t.Context(), o.method, o.path, o.body)
		if err == nil && a.status == http.StatusOK {
			var said struct {
				EventID id.EventID `json:"event_id"`
			}
			if err := json.Unmarshal(a.raw, &said); err != nil {
				t.Fatal(err)
			}
			w.acknowledged(o, said.EventID, "")
			return
		}
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatalf("%s: %s %s is still %d %s, %v", w.name, o.method, o.path, a.status, a.raw, err)
		}
	}
}

// get reads something that must be readable.
func (w *writer) get(t *testing.T, path string, out any) {
	t.Helper()
	a, err := w.request(t.Context(), "GET", path, nil)
	if err != nil {
		t.Fatalf("%s: GET %s: %v", w.name, path, err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("%s: GET %s is %d %s", w.name, path, a.status, a.raw)
	}
	if err := json.Unmarshal(a.raw, out); err != nil {
		t.Fatalf("%s: GET %s: %v", w.name, path, err)
	}
}

// settleNote finds out whether a note was made, by the room's current state: no
// other came after it.
func (w *writer) settleNote(t *testing.T, o *operation) {
	t.Helper()
	var state []listed
	w.reader(o.place).get(t, roomPath(o.place, "/state"), &state)
	for _, e := range state {
		if e.Type == typeNote && *e.StateKey == w.name && e.Content.Nonce == o.nonce {
			w.acknowledged(o, e.ID, "")
		}
	}
}

func (w *writer) settleMove(t *testing.T, p *place) {
	t.Helper()
	var content struct {
		Membership string `json:"membership"`
	}
	w.load.keeper.get(t, roomPath(p, "/state/m.room.member/"+url.PathEscape(string(w.userID))), &content)
	p.in, p.lost = content.Membership == "join", false
}

// settleRooms takes over rooms whose creation was not acknowledged. Each must be
// whole: with its first events, and its creator in it.
func (w *writer) settleRooms(t *testing.T) {
	t.Helper()
	var answer struct {
		Rooms []id.RoomID `json:"joined_rooms"`
	}
	w.get(t, "/_matrix/client/v3/joined_rooms", &answer)
	for _, roomID := range answer.Rooms {
		if slices.ContainsFunc(w.places, func(p *place) bool { return p.roomID == roomID }) {
			continue
		}
		p := &place{roomID: roomID, in: true}
		w.checkWhole(t, p)
		w.places = append(w.places, p)
	}
}

// checkWhole checks that a room has all that createRoom makes.
func (w *writer) checkWhole(t *testing.T, p *place) {
	t.Helper()
	var state []listed
	w.get(t, roomPath(p, "/state"), &state)
	for _, want := range []string{"m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules",
		"m.room.history_visibility", "m.room.name"} {
		if !slices.ContainsFunc(state, func(e listed) bool { return e.Type == want }) {
			t.Errorf("%s has no %s: a part of a room", p.roomID, want)
		}
	}
}

// repeat makes requests again, as a client does that has not heard the answer:
// each is answered with the event that it made.
func (w *writer) repeat(t *testing.T) {
	t.Helper()
	again := w.sent[max(w.fresh, len(w.sent)-maxRepeats):]
	w.fresh = len(w.sent)
	for _, o := range again {
		if !o.repeatable() || !o.place.in {
			continue
		}
		a, err := w.request(t.Context(), o.method, o.path, o.body)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%s: repeated %s %s is %d %s, %v", w.name, o.method, o.path, a.status, a.raw, err)
		}
		var said struct {
			EventID id.EventID `json:"event_id"`
		}
		if err := json.Unmarshal(a.raw, &said); err != nil {
			t.Fatal(err)
		}
		if said.EventID != o.eventID {
			t.Errorf("%s: repeated %s %s is event %s, want %s", w.name, o.method, o.path, said.EventID, o.eventID)
		}
	}
}

// history is all events of a room, the oldest first.
func (w *writer) history(t *testing.T, p *place) []listed {
	t.Helper()
	var events []listed
	for from := ""; ; {
		var page struct {
			Chunk []listed `json:"chunk"`
			End   string   `json:"end"`
		}
		w.get(t, roomPath(p, "/messages?dir=b&limit=500&from="+url.QueryEscape(from)), &page)
		events = append(events, page.Chunk...)
		if page.End == "" || len(page.Chunk) == 0 {
			slices.Reverse(events)
			return events
		}
		from = page.End
	}
}

// checkOnce checks that no event, and no nonce, is in a room twice.
func checkOnce(t *testing.T, roomID id.RoomID, history []listed) {
	t.Helper()
	seen := map[string]id.EventID{}
	for _, e := range history {
		for _, key := range []string{string(e.ID), e.Content.Nonce} {
			if other, ok := seen[key]; ok && key != "" {
				t.Errorf("%s has %q twice, in %s and %s", roomID, key, other, e.ID)
			}
			seen[key] = e.ID
		}
	}
	if len(history) == 0 || history[0].Type != "m.room.create" {
		t.Errorf("the history of %s, of %d events, does not begin with its creation", roomID, len(history))
	}
}

// checkPlace checks what one writer did in a room.
func (w *writer) checkPlace(t *testing.T, p *place, history []listed) {
	t.Helper()
	position := map[id.EventID]int{}
	moves := 0
	for i, e := range history {
		position[e.ID] = i
		if e.Type == "m.room.member" && *e.StateKey == string(w.userID) {
			moves++
		}
	}
	last, redacted := -1, map[*operation]bool{}
	for _, o := range w.sent {
		if o.place != p {
			continue
		}
		i, ok := position[o.eventID]
		if !ok {
			t.Errorf("%s: the acknowledged event %s (%s) is not in %s", w.name, o.eventID, o.path, p.roomID)
			continue
		}
		if i <= last && !o.late {
			t.Errorf("%s: %s (%s) is out of order in %s", w.name, o.eventID, o.path, p.roomID)
		}
		last = max(last, i)
		if o.kind == redaction {
			redacted[o.target] = true
		}
	}
	for o := range redacted {
		if e := history[position[o.eventID]]; e.Content.Nonce != "" || e.Content.Body != "" {
			t.Errorf("%s: %s was redacted and still says %q", w.name, o.eventID, e.Content.Body)
		}
	}
	if w.shared(p) && (moves < p.moves || moves > p.moves+p.unsure) {
		t.Errorf("%s came and went %d times in %s, want %d to %d", w.name, moves, p.roomID, p.moves, p.moves+p.unsure)
	}
	w.checkState(t, p)
}

// checkState compares the room's current state with what the writer set.
func (w *writer) checkState(t *testing.T, p *place) {
	t.Helper()
	var state []listed
	w.reader(p).get(t, roomPath(p, "/state"), &state)
	membership, note := "", id.EventID("")
	for _, e := range state {
		switch {
		case e.Type == "m.room.member" && *e.StateKey == string(w.userID):
			membership = e.Content.Membership
		case e.Type == typeNote && *e.StateKey == w.name:
			note = e.ID
		}
	}
	if (membership == "join") != p.in {
		t.Errorf("%s: membership of %s is %q, want it in the room: %t", w.name, p.roomID, membership, p.in)
	}
	if p.note != nil && note != p.note.eventID {
		t.Errorf("%s: the note of %s is %s, want %s", w.name, p.roomID, note, p.note.eventID)
	}
}

// doctor has the database of a server that does not run verified.
func (c *causeway) doctor(t *testing.T) {
	t.Helper()
	output, err := c.command("doctor", "--config", c.config).CombinedOutput()
	if err == nil {
		return
	}
	if exit, ok := err.(*exec.ExitError); ok {
		t.Errorf("causeway doctor exits with %d, want 0:\n%s", exit.ExitCode(), output)
		return
	}
	t.Errorf("causeway doctor: %v", err)
}
