package bridgetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"maunium.net/go/mautrix/id"
)

// request is a client-server request of the application service.
type request struct {
	*http.Request
	user id.UserID // whom it acts as
	body map[string]any
}

func (r *request) room() id.RoomID { return id.RoomID(r.PathValue("room")) }

func (r *request) text(field string) string { s, _ := r.body[field].(string); return s }

// failure is an error answer.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.message }

func answerError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errcode": code, "error": message})
}

// routes are the requests bridgev2 makes; each handler runs under the lock. How large files may be is not told: bridgev2 writes that down after its
// start, while others read it.
func (h *Homeserver) routes() {
	const v3 = "/_matrix/client/v3"
	for pattern, f := range map[string]func(r *request) (any, error){
		"GET /_matrix/client/versions":                   h.versions,
		"POST " + v3 + "/register":                       h.register,
		"GET " + v3 + "/account/whoami":                  h.whoami,
		"GET " + v3 + "/capabilities":                    h.capabilities,
		"GET " + v3 + "/profile/{user}":                  h.getProfile,
		"GET " + v3 + "/profile/{user}/displayname":      h.getProfile,
		"PUT " + v3 + "/profile/{user}/displayname":      h.setName,
		"POST " + v3 + "/createRoom":                     h.createRoom,
		"POST " + v3 + "/join/{room}":                    h.join,
		"POST " + v3 + "/rooms/{room}/join":              h.join,
		"POST " + v3 + "/rooms/{room}/leave":             h.leave,
		"POST " + v3 + "/rooms/{room}/kick":              h.kick,
		"POST " + v3 + "/rooms/{room}/invite":            h.invite,
		"PUT " + v3 + "/rooms/{room}/send/{type}/{txn}":  h.sendEvent,
		"PUT " + v3 + "/rooms/{room}/state/{type}/{key}": h.sendState,
		"PUT " + v3 + "/rooms/{room}/state/{type}":       h.sendState,
		"PUT " + v3 + "/rooms/{room}/state/{type}/{$}":   h.sendState,
		"GET " + v3 + "/rooms/{room}/state/{type}/{key}": h.getState,
		"GET " + v3 + "/rooms/{room}/state/{type}":       h.getState,
		"GET " + v3 + "/rooms/{room}/state/{type}/{$}":   h.getState,
		"GET " + v3 + "/rooms/{room}/state":              h.allState,
		"GET " + v3 + "/rooms/{room}/members":            h.members,
		"GET " + v3 + "/rooms/{room}/joined_members":     h.joinedMembers,
		"GET " + v3 + "/joined_rooms":                    h.joinedRooms,

		"POST /_matrix/client/unstable/causeway/service_users": h.serviceUsers,

		"PUT " + v3 + "/rooms/{room}/typing/{user}":        h.setTyping,
		"PUT " + v3 + "/rooms/{room}/redact/{event}/{txn}": h.redact,
		"GET " + v3 + "/rooms/{room}/event/{event}":        h.getEvent,
		"GET " + v3 + "/directory/room/{alias}":            h.getAlias,
		"PUT " + v3 + "/directory/room/{alias}":            h.setAlias,
		"DELETE " + v3 + "/directory/room/{alias}":         h.deleteAlias,
		"GET " + v3 + "/rooms/{room}/aliases":              h.roomAliases,
		"PUT " + v3 + "/presence/{user}/status":            h.setPresence,
		"POST " + v3 + "/rooms/{room}/unban":               h.kick,
		"PUT " + v3 + "/directory/list/room/{room}":        h.setListed,

		"PUT " + v3 + "/directory/list/appservice/{network}/{room}": h.setListedOn,
	} {
		h.mux.HandleFunc(pattern, h.handler(pattern, f))
	}
	h.mux.HandleFunc("POST /_matrix/client/v1/appservice/{id}/ping", h.ping)
	h.mux.HandleFunc("POST /_matrix/media/v3/upload", h.upload)
	h.mux.HandleFunc("GET /_matrix/client/v1/media/download/{server}/{file}", h.download)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, http.StatusNotFound, "M_UNRECOGNIZED", r.Method+" "+r.URL.Path)
	})
}

func (h *Homeserver) handler(pattern string, f func(r *request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req := &request{Request: r}
		if raw, _ := io.ReadAll(r.Body); len(raw) > 0 {
			if err := json.Unmarshal(raw, &req.body); err != nil {
				answerError(w, http.StatusBadRequest, "M_NOT_JSON", err.Error())
				return
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.requests[pattern]++
		req.user = id.UserID(r.URL.Query().Get("user_id"))
		if req.user == "" {
			req.user = h.bot
		}
		answer, err := f(req)
		if fail, ok := err.(*failure); ok {
			answerError(w, fail.status, fail.code, fail.message)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// Requests counts the requests of one pattern of routes, for instance "POST /_matrix/client/v3/createRoom".
func (h *Homeserver) Requests(pattern string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests[pattern]
}

type object = map[string]any

func (h *Homeserver) versions(*request) (any, error) {
	return object{"versions": []string{"v1.4", "v1.7", "v1.11", "v1.16"}, "unstable_features": object{}}, nil
}

func (h *Homeserver) register(r *request) (any, error) {
	user := h.User(r.text("username"))
	if h.users[user] {
		return nil, &failure{http.StatusBadRequest, "M_USER_IN_USE", "taken"}
	}
	h.users[user] = true
	return object{"user_id": user}, nil
}

func (h *Homeserver) whoami(r *request) (any, error) { return object{"user_id": r.user}, nil }

func (h *Homeserver) capabilities(*request) (any, error) {
	return object{"capabilities": object{"m.room_versions": object{"default": "12",
		"available": object{"12": "stable"}}}}, nil
}

func (h *Homeserver) getProfile(r *request) (any, error) {
	return object{"displayname": h.names[id.UserID(r.PathValue("user"))]}, nil
}

func (h *Homeserver) setName(r *request) (any, error) {
	h.names[id.UserID(r.PathValue("user"))] = r.text("displayname")
	close(h.change)
	h.change = make(chan struct{})
	return object{}, nil
}

func (h *Homeserver) setPresence(r *request) (any, error) {
	if h.presence == nil {
		h.presence = map[id.UserID]string{}
	}
	h.presence[id.UserID(r.PathValue("user"))] = r.text("presence") + " " + r.text("status_msg")
	close(h.change)
	h.change = make(chan struct{})
	return object{}, nil
}

func (h *Homeserver) createRoom(r *request) (any, error) {
	h.count++
	room := id.RoomID(fmt.Sprintf("!room%d", h.count))
	empty := ""
	creation, _ := r.body["creation_content"].(object)
	if creation == nil {
		creation = object{}
	}
	creation["room_version"] = "12"
	h.add(&Event{Room: room, Sender: r.user, Type: "m.room.create", StateKey: &empty, Content: creation})
	h.member(r.user, room, r.user, "join", "")
	levels, _ := r.body["power_level_content_override"].(object)
	if levels == nil {
		levels = object{}
	}
	h.add(&Event{Room: room, Sender: r.user, Type: "m.room.power_levels", StateKey: &empty, Content: levels})
	initial, _ := r.body["initial_state"].([]any)
	for _, item := range initial {
		e, _ := item.(object)
		key, _ := e["state_key"].(string)
		eventType, _ := e["type"].(string)
		content, _ := e["content"].(object)
		h.add(&Event{Room: room, Sender: r.user, Type: eventType, StateKey: &key, Content: content})
	}
	return object{"room_id": room}, nil
}

func (h *Homeserver) member(sender id.UserID, room id.RoomID, target id.UserID, membership, reason string) *Event {
	key := string(target)
	content := object{"membership": membership, "displayname": h.names[target]}
	if reason != "" {
		content["reason"] = reason
	}
	return h.add(&Event{Room: room, Sender: sender, Type: "m.room.member", StateKey: &key, Content: content})
}

func (h *Homeserver) isJoined(user id.UserID, room id.RoomID) bool {
	e := h.state[room][[2]string{"m.room.member", string(user)}]
	return e != nil && e.Membership() == "join"
}

func (h *Homeserver) isBanned(user id.UserID, room id.RoomID) bool {
	e := h.state[room][[2]string{"m.room.member", string(user)}]
	return e != nil && e.Membership() == "ban"
}

func (h *Homeserver) join(r *request) (any, error) {
	if room, known := h.aliases[id.RoomAlias(r.PathValue("room"))]; known {
		r.SetPathValue("room", string(room))
	}
	if h.state[r.room()] == nil {
		return nil, &failure{http.StatusNotFound, "M_NOT_FOUND", "no such room"}
	}
	if !h.users[r.user] {
		return nil, &failure{http.StatusForbidden, "M_FORBIDDEN", "not registered"}
	}
	if h.isBanned(r.user, r.room()) {
		return nil, &failure{http.StatusForbidden, "M_FORBIDDEN", string(r.user) + " is banned"}
	}
	if !h.isJoined(r.user, r.room()) {
		h.member(r.user, r.room(), r.user, "join", "")
	}
	return object{"room_id": r.room()}, nil
}

func (h *Homeserver) leave(r *request) (any, error) {
	h.member(r.user, r.room(), r.user, "leave", r.text("reason"))
	return object{}, nil
}

func (h *Homeserver) kick(r *request) (any, error) {
	h.member(r.user, r.room(), id.UserID(r.text("user_id")), "leave", r.text("reason"))
	return object{}, nil
}

func (h *Homeserver) invite(r *request) (any, error) {
	h.member(r.user, r.room(), id.UserID(r.text("user_id")), "invite", "")
	return object{}, nil
}

func (h *Homeserver) timestamp(r *request) int64 {
	ts, _ := strconv.ParseInt(r.URL.Query().Get("ts"), 10, 64)
	return ts
}

func (h *Homeserver) sendEvent(r *request) (any, error) {
	if !h.isJoined(r.user, r.room()) {
		return nil, &failure{http.StatusForbidden, "M_FORBIDDEN", string(r.user) + " is not in the room"}
	}
	// Client-Server API, Transaction identifiers.
	txn := string(r.user) + " " + r.PathValue("txn")
	if known, ok := h.txns[txn]; ok {
		return object{"event_id": known}, nil
	}
	e := h.add(&Event{Room: r.room(), Sender: r.user, Type: r.PathValue("type"), Content: r.body,
		TS: h.timestamp(r), TxnID: r.PathValue("txn")})
	h.txns[txn] = e.ID
	return object{"event_id": e.ID}, nil
}

func (h *Homeserver) sendState(r *request) (any, error) {
	key := r.PathValue("key")
	eventType := r.PathValue("type")
	if !h.isJoined(r.user, r.room()) && !(eventType == "m.room.member" && key == string(r.user)) {
		return nil, &failure{http.StatusForbidden, "M_FORBIDDEN", string(r.user) + " is not in the room"}
	}
	if eventType == "m.room.member" && h.isBanned(id.UserID(key), r.room()) && r.user != h.bot {
		return nil, &failure{http.StatusForbidden, "M_FORBIDDEN", key + " is banned"}
	}
	e := h.add(&Event{Room: r.room(), Sender: r.user, Type: eventType, StateKey: &key, Content: r.body,
		TS: h.timestamp(r)})
	return object{"event_id": e.ID}, nil
}

func (h *Homeserver) getState(r *request) (any, error) {
	e := h.state[r.room()][[2]string{r.PathValue("type"), r.PathValue("key")}]
	if e == nil {
		return nil, &failure{http.StatusNotFound, "M_NOT_FOUND", "no such state"}
	}
	if r.URL.Query().Get("format") == "event" {
		return clientForm(e), nil
	}
	return e.Content, nil
}

func (h *Homeserver) getEvent(r *request) (any, error) {
	for _, e := range h.events {
		if string(e.ID) == r.PathValue("event") && e.Room == r.room() {
			return clientForm(e), nil
		}
	}
	return nil, &failure{http.StatusNotFound, "M_NOT_FOUND", "no such event"}
}

func (h *Homeserver) allState(r *request) (any, error) {
	list := []any{}
	for _, e := range h.state[r.room()] {
		list = append(list, clientForm(e))
	}
	return list, nil
}

func (h *Homeserver) members(r *request) (any, error) {
	list := []any{}
	for key, e := range h.state[r.room()] {
		if key[0] == "m.room.member" {
			list = append(list, clientForm(e))
		}
	}
	return object{"chunk": list}, nil
}

func (h *Homeserver) joinedMembers(r *request) (any, error) {
	joined := object{}
	for key, e := range h.state[r.room()] {
		if key[0] == "m.room.member" && e.Membership() == "join" {
			joined[key[1]] = object{"display_name": h.names[id.UserID(key[1])]}
		}
	}
	return object{"joined": joined}, nil
}

func (h *Homeserver) serviceUsers(r *request) (any, error) {
	if h.foreign == nil {
		return nil, &failure{http.StatusNotFound, "M_UNRECOGNIZED", "this homeserver does not tell"}
	}
	found := []any{}
	asked, _ := r.body["users"].([]any)
	for _, user := range asked {
		if name, _ := user.(string); h.foreign[id.UserID(name)] {
			found = append(found, user)
		}
	}
	return object{"users": found}, nil
}

func (h *Homeserver) joinedRooms(r *request) (any, error) {
	rooms := []id.RoomID{}
	for room := range h.state {
		if h.isJoined(r.user, room) {
			rooms = append(rooms, room)
		}
	}
	return object{"joined_rooms": rooms}, nil
}

func (h *Homeserver) getAlias(r *request) (any, error) {
	room, ok := h.aliases[id.RoomAlias(r.PathValue("alias"))]
	if !ok {
		return nil, &failure{http.StatusNotFound, "M_NOT_FOUND", "no such alias"}
	}
	return object{"room_id": room, "servers": []string{h.ServerName}}, nil
}

func (h *Homeserver) setListed(r *request) (any, error) {
	if h.listed == nil {
		h.listed = map[id.RoomID]bool{}
	}
	h.listed[r.room()] = r.text("visibility") == "public"
	close(h.change)
	h.change = make(chan struct{})
	return object{}, nil
}

func (h *Homeserver) setListedOn(r *request) (any, error) {
	if h.listedOn == nil {
		h.listedOn = map[[2]string]bool{}
	}
	h.listedOn[[2]string{r.PathValue("network"), string(r.room())}] = r.text("visibility") == "public"
	close(h.change)
	h.change = make(chan struct{})
	return object{}, nil
}

func (h *Homeserver) setAlias(r *request) (any, error) {
	alias := id.RoomAlias(r.PathValue("alias"))
	if _, taken := h.aliases[alias]; taken {
		return nil, &failure{http.StatusConflict, "M_UNKNOWN", "alias is taken"}
	}
	h.aliases[alias] = id.RoomID(r.text("room_id"))
	return object{}, nil
}

func (h *Homeserver) deleteAlias(r *request) (any, error) {
	delete(h.aliases, id.RoomAlias(r.PathValue("alias")))
	return object{}, nil
}

func (h *Homeserver) roomAliases(r *request) (any, error) {
	list := []id.RoomAlias{}
	for alias, room := range h.aliases {
		if room == r.room() {
			list = append(list, alias)
		}
	}
	return object{"aliases": list}, nil
}

// ping goes there and back, and must not hold the lock meanwhile.
func (h *Homeserver) ping(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if status, answer := h.call(http.MethodPost, "/_matrix/app/v1/ping", body); status != http.StatusOK {
		answerError(w, http.StatusBadGateway, "M_BAD_STATUS", answer)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"duration_ms":1}`)
}
