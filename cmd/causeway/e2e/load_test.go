package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"maunium.net/go/mautrix/id"
)

const (
	// writers is how many users write at the same time.
	writers = 6
	// typeNote is a type of state that everyone may set: each writer has its own key.
	typeNote = "test.note"
)

// sharedVersions are the room versions of the rooms that all writers are in: a
// room each.
var sharedVersions = []string{"1", "6", "10", "12"}

// load is users who write into rooms, and the record of what they were told.
type load struct {
	server  *causeway
	keeper  *writer // is in all shared rooms from the beginning, and only reads
	writers []*writer

	acked atomic.Int64 // requests that were answered with success, since begin
}

// kind is what a request is to do.
type kind int

// The kinds of requests.
const (
	message kind = iota
	redaction
	note
	join
	leave
	creation
)

// operation is one request of a writer.
type operation struct {
	kind   kind
	place  *place
	method string
	path   string
	body   map[string]any
	nonce  string     // is in the content of a message or note
	target *operation // of a redaction
	// eventID is what the answer said; "" before there was one, and for the
	// kinds that have none.
	eventID id.EventID
	// late tells that it was in doubt at first: it may have been done before
	// others that came after it.
	late bool
}

// repeatable tells whether the request has a transaction id, so that its
// repetition is the same event.
func (o *operation) repeatable() bool { return o.kind == message || o.kind == redaction }

// place is a room as one writer knows it.
type place struct {
	roomID id.RoomID
	in     bool // whether the writer is joined
	lost   bool // whether in is not known: a join or leave got no answer, or an error
	moves  int  // acknowledged joins and leaves
	unsure int  // those of which nothing is known
	note   *operation
}

// writer is one user. While it writes, one goroutine owns it.
type writer struct {
	load   *load
	name   string
	token  string
	userID id.UserID
	client *http.Client
	random *rand.Rand
	places []*place
	sent   []*operation // acknowledged, in order; all that have an event id
	unsure []*operation // those that got no answer, or an error of the server
	count  int
	fresh  int // where in sent the operations begin that no audit has seen
}

// newLoad registers the users and makes the shared rooms.
func newLoad(t *testing.T, server *causeway, seed uint64) *load {
	t.Helper()
	l := &load{server: server}
	l.keeper = l.newWriter(t, "keeper", seed)
	for i := range writers {
		l.writers = append(l.writers, l.newWriter(t, fmt.Sprintf("writer%d", i), seed+uint64(i)+1))
	}
	for _, version := range sharedVersions {
		shared := l.keeper.must(t, l.keeper.creation(version))
		for _, w := range l.writers {
			p := &place{roomID: shared}
			w.places = append(w.places, p)
			w.must(t, w.move(p))
		}
	}
	return l
}

func (l *load) newWriter(t *testing.T, name string, seed uint64) *writer {
	return &writer{
		load: l, name: name, userID: id.UserID("@" + name + ":" + serverName), token: l.server.registerHTTP(t, name),
		client: &http.Client{Transport: &http.Transport{}, Timeout: patience},
		random: rand.New(rand.NewPCG(seed, seed)),
	}
}

// must performs an operation that has to succeed and returns the room's id.
func (w *writer) must(t *testing.T, o *operation) id.RoomID {
	t.Helper()
	if a, err := w.perform(t.Context(), o); err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: %s %s is %d %s, %v", w.name, o.method, o.path, a.status, a.raw, err)
	}
	return o.place.roomID
}

// next draws an operation.
func (w *writer) next() *operation {
	const makeRoom = 98
	p := w.places[w.random.IntN(len(w.places))]
	draw := w.random.IntN(100)
	switch {
	case p.lost || draw >= makeRoom:
		return w.creation(sharedVersions[w.random.IntN(len(sharedVersions))])
	case !p.in:
		return w.move(p)
	case draw < 8:
		return w.note(p)
	case draw < 15:
		if target := w.redactable(p); target != nil {
			return w.redaction(target)
		}
	case draw < 25 && w.shared(p):
		return w.move(p)
	}
	return w.message(p)
}

// shared tells whether others are in the room too; a writer does not leave those
// where nobody else can look.
func (w *writer) shared(p *place) bool {
	for i := range sharedVersions {
		if w.places[i] == p {
			return true
		}
	}
	return false
}

// reader is someone who surely is in a room where w was.
func (w *writer) reader(p *place) *writer {
	if w.shared(p) {
		return w.load.keeper
	}
	return w
}

// redactable is one of the last messages in the room that is not redacted yet, or nil.
func (w *writer) redactable(p *place) *operation {
	const maxBack = 50
	redacted := map[*operation]bool{}
	for i := len(w.sent) - 1; i >= max(0, len(w.sent)-maxBack); i-- {
		switch o := w.sent[i]; {
		case o.kind == redaction:
			redacted[o.target] = true
		case o.kind == message && o.place == p && !redacted[o]:
			return o
		}
	}
	return nil
}

func (w *writer) nonce() string {
	w.count++
	return fmt.Sprintf("%s-%d", w.name, w.count)
}

func roomPath(p *place, rest string) string {
	return "/_matrix/client/v3/rooms/" + url.PathEscape(string(p.roomID)) + rest
}

func (w *writer) message(p *place) *operation {
	nonce := w.nonce()
	return &operation{kind: message, place: p, nonce: nonce, method: "PUT", path: roomPath(p, "/send/m.room.message/"+nonce),
		body: map[string]any{"msgtype": "m.text", "body": "number " + nonce, "nonce": nonce}}
}

func (w *writer) note(p *place) *operation {
	nonce := w.nonce()
	return &operation{kind: note, place: p, nonce: nonce, method: "PUT", path: roomPath(p, "/state/"+typeNote+"/"+w.name),
		body: map[string]any{"nonce": nonce}}
}

func (w *writer) redaction(target *operation) *operation {
	return &operation{kind: redaction, place: target.place, target: target, method: "PUT",
		path: roomPath(target.place, "/redact/"+url.PathEscape(string(target.eventID))+"/"+w.nonce()), body: map[string]any{}}
}

// move joins the room, or leaves it.
func (w *writer) move(p *place) *operation {
	if p.in {
		return &operation{kind: leave, place: p, method: "POST", path: roomPath(p, "/leave"), body: map[string]any{}}
	}
	return &operation{kind: join, place: p, method: "POST", path: roomPath(p, "/join"), body: map[string]any{}}
}

func (w *writer) creation(version string) *operation {
	return &operation{kind: creation, place: &place{in: true}, method: "POST", path: "/_matrix/client/v3/createRoom", body: map[string]any{
		"preset": "public_chat", "room_version": version, "name": "a room of " + w.name,
		"power_level_content_override": map[string]any{"events": map[string]any{typeNote: 0, "m.room.redaction": 0}},
	}}
}

// perform makes the request of an operation and notes its outcome. The error is
// that of the connection.
func (w *writer) perform(ctx context.Context, o *operation) (answer, error) {
	a, err := w.request(ctx, o.method, o.path, o.body)
	if err != nil || a.status >= http.StatusInternalServerError {
		w.doubt(o)
		return a, err
	}
	if a.status != http.StatusOK {
		return a, nil
	}
	var said struct {
		EventID id.EventID `json:"event_id"`
		RoomID  id.RoomID  `json:"room_id"`
	}
	if err := json.Unmarshal(a.raw, &said); err != nil {
		return a, err
	}
	w.acknowledged(o, said.EventID, said.RoomID)
	return a, nil
}

func (w *writer) acknowledged(o *operation, eventID id.EventID, roomID id.RoomID) {
	switch o.kind {
	case join, leave:
		o.place.in = o.kind == join
		o.place.moves++
	case creation:
		o.place.roomID = roomID
		w.places = append(w.places, o.place)
	default:
		o.eventID = eventID
		w.sent = append(w.sent, o)
		if o.kind == note {
			o.place.note = o
		}
	}
	w.load.acked.Add(1)
}

// doubt notes that nobody knows whether the operation was done.
func (w *writer) doubt(o *operation) {
	w.unsure = append(w.unsure, o)
	if o.kind == join || o.kind == leave {
		o.place.lost = true
		o.place.unsure++
	}
}

// request makes one request. An error is one of the connection.
func (w *writer) request(ctx context.Context, method, path string, body any) (answer, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, method, w.load.server.url(path), bytes.NewReader(encoded))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+w.token)
	response, err := w.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.raw, err = io.ReadAll(response.Body); err != nil {
		return answer{}, err
	}
	if a.status >= http.StatusBadRequest {
		err = json.Unmarshal(a.raw, &a)
	}
	return a, err
}
