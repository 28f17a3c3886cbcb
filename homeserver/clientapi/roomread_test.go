package clientapi

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"causeway/homeserver/account"
	"causeway/homeserver/ephemeral"
	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/notify"
	"causeway/homeserver/push"
	"causeway/homeserver/room"
	"causeway/homeserver/storetest"
	"causeway/homeserver/usersync"
	"causeway/registration"
)

// roomServer is the client-server API with the accounts of alice and bob, whose tokens are ALICE and BOB in requests. Other
// words in capitals are what keep has kept.
type roomServer struct {
	t       *testing.T
	mux     http.Handler
	words   map[string]string
	closing chan struct{}
}

func newRoomServer(t *testing.T) *roomServer {
	t.Helper()
	ctx := context.Background()
	db, bus := storetest.New(t), new(notify.Local)
	accounts := account.New(account.Config{ServerName: "test"}, db, bus, func() *registration.Set { return new(registration.Set) })
	pushes := push.New(push.Config{DB: db, Bus: bus})
	key := &event.Key{ServerName: "test", KeyID: "ed25519:t", Private: ed25519.NewKeyFromSeed(make([]byte, 32))}
	api := &API{Services{
		ServerName: "test", Accounts: accounts, Push: pushes,
		Rooms: room.New(room.Config{ServerName: "test", Key: key, DB: db, Bus: bus}),
		Sync:  usersync.New(usersync.Config{DB: db, Bus: bus, Push: pushes}),

		Presence: ephemeral.NewPresence(ephemeral.PresenceConfig{}, db, bus),
	}}
	s := &roomServer{t: t, words: make(map[string]string), closing: make(chan struct{})}
	s.mux = httpapi.NewMux(api.Routes(), httpapi.Options{Identifier: Identifier(accounts), Closing: s.closing})
	for _, name := range []string{"alice", "bob"} {
		if _, err := accounts.CreateUser(ctx, name, "secret", false); err != nil {
			t.Fatal(err)
		}
		login, err := accounts.Login(ctx, account.LoginRequest{Type: "m.login.password", User: name, Password: "secret", DeviceID: "D"})
		if err != nil {
			t.Fatal(err)
		}
		s.words[strings.ToUpper(name)] = login.AccessToken
	}
	return s
}

var inCapitals = regexp.MustCompile(`\b[A-Z]{3,}\b`)

// do sends "METHOD /path token" with a body, and returns the status and the answer.
func (s *roomServer) do(request, body string) (int, string) {
	s.t.Helper()
	part := strings.Fields(request)
	path := inCapitals.ReplaceAllStringFunc(part[1], func(w string) string { return url.PathEscape(s.words[w]) })
	r := httptest.NewRequest(part[0], "/_matrix/client/v3"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.words[part[2]])
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// keep remembers a field of an answer.
func (s *roomServer) keep(word, field, answer string) {
	s.t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(answer), &all); err != nil {
		s.t.Fatalf("%v in %s", err, answer)
	}
	value, _ := all[field].(string)
	if value == "" {
		s.t.Fatalf("no %s in %s", field, answer)
	}
	s.words[word] = value
}

// TestReadingRooms runs the steps in order. The answers are regular expressions.
func TestReadingRooms(t *testing.T) {
	const (
		found   = `.*`
		id      = `"[^"]+"`
		message = `"content":{"body":"hello","msgtype":"m.text"},"event_id":` + id
	)
	steps := []struct {
		name, request, body string
		status              int
		want                string
		word, field         string // to keep
	}{
		{"create", "POST /createRoom ALICE", `{"preset":"private_chat","name":"N"}`, 200, found, "ROOM", "room_id"},
		{"first sync", "GET /sync ALICE", "", 200, `{"next_batch":"s\d+","rooms":{"join":{"!.*"type":"m.push_rules".*`, "ASINCE", "next_batch"},
		{"stranger's sync", "GET /sync BOB", "", 200, `{"next_batch":"s\d+","account_data":.*`, "BSINCE", "next_batch"},
		{"send", "PUT /rooms/ROOM/send/m.room.message/t1 ALICE", `{"msgtype":"m.text","body":"hello"}`, 200, found, "EVENT", "event_id"},
		{"sync", "GET /sync?since=ASINCE&timeout=30000 ALICE", "", 200, `.*"state":{"events":\[\]},"timeline":{"events":\[{` + message + `.*"transaction_id":"t1".*`, "", ""},
		{"sync with state_after", "GET /sync?since=ASINCE&use_state_after=true&org.matrix.msc4222.use_state_after=true ALICE", "", 200, `.*{"state_after":{"events":\[\]},"timeline".*`, "", ""},
		{"sync with the old state_after", "GET /sync?since=ASINCE&org.matrix.msc4222.use_state_after=true ALICE", "", 200, `.*{"org.matrix.msc4222.state_after":{"events":\[\]},"timeline".*`, "", ""},
		{"sync with a filter", "GET /sync?since=ASINCE&filter=%7B%22room%22:%7B%22rooms%22:%5B%5D%7D%7D ALICE", "", 200, `{"next_batch":"s\d+","account_data".*`, "", ""},
		{"make a filter", "POST /user/@alice:test/filter ALICE", `{"room":{"rooms":[]}}`, 200, found, "FILTER", "filter_id"},
		{"sync with a filter's id", "GET /sync?since=ASINCE&filter=FILTER ALICE", "", 200, `{"next_batch":"s\d+","account_data".*`, "", ""},
		{"sync with no such filter", "GET /sync?filter=99 ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"sync with a bad filter", "GET /sync?filter=%7B ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"sync with a bad token", "GET /sync?since=x ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"sync with a bad timeout", "GET /sync?timeout=soon ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"sync with a bad full_state", "GET /sync?full_state=1 ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"sync with a bad use_state_after", "GET /sync?use_state_after=1 ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},

		{"event", "GET /rooms/ROOM/event/EVENT ALICE", "", 200, `{` + message + `.*"room_id":` + id + `,"sender":"@alice:test","type":"m.room.message".*`, "", ""},
		{"event for a stranger", "GET /rooms/ROOM/event/EVENT BOB", "", 404, `{"errcode":"M_NOT_FOUND".*`, "", ""},
		{"no event", "GET /rooms/ROOM/event/$x ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`, "", ""},
		{"context", "GET /rooms/ROOM/context/EVENT?limit=1 ALICE", "", 200, `{"event":{` + message + `.*"events_before":\[\],"events_after":\[\],"start":"s\d+","end":"s\d+","state":\[{.*`, "", ""},
		{"context for a stranger", "GET /rooms/ROOM/context/EVENT BOB", "", 404, `{"errcode":"M_NOT_FOUND".*`, "", ""},
		{"messages", "GET /rooms/ROOM/messages?dir=b&limit=1 ALICE", "", 200, `{"chunk":\[{` + message + `[^\]]*\],"start":"s\d+","end":"s\d+"}`, "END", "end"},
		{"more messages", "GET /rooms/ROOM/messages?dir=b&from=END&limit=100 ALICE", "", 200, `{"chunk":\[.*"type":"m.room.create".*\],"start":"s\d+"}`, "", ""},
		{"messages without dir", "GET /rooms/ROOM/messages ALICE", "", 400, `{"errcode":"M_MISSING_PARAM".*`, "", ""},
		{"messages to the side", "GET /rooms/ROOM/messages?dir=x ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"messages without limit", "GET /rooms/ROOM/messages?dir=b&limit=-1 ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"messages with a bad filter", "GET /rooms/ROOM/messages?dir=b&filter=1 ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"messages for a stranger", "GET /rooms/ROOM/messages?dir=b BOB", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},
		{"messages of no room", "GET /rooms/!x/messages?dir=b ALICE", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},

		{"state", "GET /rooms/ROOM/state ALICE", "", 200, `\[{.*"type":"m.room.create".*}\]`, "", ""},
		{"state for a stranger", "GET /rooms/ROOM/state BOB", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},
		{"name", "GET /rooms/ROOM/state/m.room.name ALICE", "", 200, `{"name":"N"}`, "", ""},
		{"name, with a slash", "GET /rooms/ROOM/state/m.room.name/ ALICE", "", 200, `{"name":"N"}`, "", ""},
		{"name, whole", "GET /rooms/ROOM/state/m.room.name/?format=event ALICE", "", 200, `{"content":{"name":"N"},"event_id".*`, "", ""},
		{"name, how?", "GET /rooms/ROOM/state/m.room.name/?format=x ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"member", "GET /rooms/ROOM/state/m.room.member/@alice:test ALICE", "", 200, `{.*"membership":"join"}`, "", ""},
		{"no such state", "GET /rooms/ROOM/state/m.room.topic ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`, "", ""},
		{"name for a stranger", "GET /rooms/ROOM/state/m.room.name BOB", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},

		{"invite", "POST /rooms/ROOM/invite ALICE", `{"user_id":"@bob:test"}`, 200, `{}`, "", ""},
		{"invited", "GET /sync?since=BSINCE BOB", "", 200, `.*"invite":{"!.*"invite_state":{"events":\[{.*"type":"m.room.create"}.*"membership":"invite".*`, "", ""},
		{"members for who is invited", "GET /rooms/ROOM/members BOB", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},
		{"members", "GET /rooms/ROOM/members?membership=invite ALICE", "", 200, `{"chunk":\[{"content":{[^}]*"membership":"invite"[^\[]*"state_key":"@bob:test"[^\[]*\]}`, "", ""},
		{"members, bad membership", "GET /rooms/ROOM/members?not_membership=x ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"members, bad time", "GET /rooms/ROOM/members?at=x ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`, "", ""},
		{"no rooms", "GET /joined_rooms BOB", "", 200, `{"joined_rooms":\[\]}`, "", ""},
		{"join", "POST /rooms/ROOM/join BOB", ``, 200, found, "", ""},
		{"joined", "GET /sync?since=BSINCE BOB", "", 200, `.*"join":{"!.*"m.joined_member_count":2.*`, "", ""},
		{"rooms", "GET /joined_rooms BOB", "", 200, `{"joined_rooms":\["![^"]+"\]}`, "", ""},
		{"joined members", "GET /rooms/ROOM/joined_members BOB", "", 200, `{"joined":{"@alice:test":{.*},"@bob:test":{.*}}}`, "", ""},
		{"joined members of no room", "GET /rooms/!x/joined_members BOB", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},
		{"kick", "POST /rooms/ROOM/kick ALICE", `{"user_id":"@bob:test"}`, 200, `{}`, "", ""},
		{"kicked", "GET /sync?since=BSINCE BOB", "", 200, `.*"leave":{"!.*"membership":"leave".*`, "", ""},
		{"joined members for who left", "GET /rooms/ROOM/joined_members BOB", "", 403, `{"errcode":"M_FORBIDDEN".*`, "", ""},
		{"state for who left", "GET /rooms/ROOM/state/m.room.name BOB", "", 200, `{"name":"N"}`, "", ""},
	}
	s := newRoomServer(t)
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			status, got := s.do(step.request, step.body)
			if status != step.status || !regexp.MustCompile(`\A`+step.want+`\z`).MatchString(got) {
				t.Fatalf("%s %s\n got %d %s\nwant %d %s", step.request, step.body, status, got, step.status, step.want)
			}
			if step.word != "" {
				s.keep(step.word, step.field, got)
			}
		})
	}
}

// TestParkedSync has a request wait for a message, and another for the server to stop.
func TestParkedSync(t *testing.T) {
	s := newRoomServer(t)
	_, got := s.do("POST /createRoom ALICE", `{"preset":"public_chat"}`)
	s.keep("ROOM", "room_id", got)
	s.do("POST /rooms/ROOM/join BOB", "")
	park := func() <-chan string {
		_, got := s.do("GET /sync BOB", "")
		s.keep("SINCE", "next_batch", got)
		answered := make(chan string, 1)
		go func() {
			_, got := s.do("GET /sync?since=SINCE&timeout=600000 BOB", "")
			answered <- got
		}()
		return answered
	}
	answered := park()
	s.do("PUT /rooms/ROOM/send/m.room.message/t ALICE", `{"body":"wake"}`)
	if got := <-answered; !strings.Contains(got, `"body":"wake"`) {
		t.Errorf("got %s", got)
	}
	answered = park()
	close(s.closing)
	if got := <-answered; !strings.Contains(got, s.words["SINCE"]) {
		t.Errorf("got %s, want next_batch %s", got, s.words["SINCE"])
	}
}
