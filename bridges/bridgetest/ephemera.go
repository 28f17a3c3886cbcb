package bridgetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"maunium.net/go/mautrix/id"
)

// What a homeserver does beside the events of rooms: typing, files.

// Typing tells the bridge who types in a room now.
func (h *Homeserver) Typing(room id.RoomID, users ...id.UserID) {
	h.t.Helper()
	if users == nil {
		users = []id.UserID{}
	}
	h.mu.Lock()
	h.count++
	txn := fmt.Sprint("typing", h.count)
	h.mu.Unlock()
	body, _ := json.Marshal(object{"events": []any{}, "ephemeral": []any{
		object{"type": "m.typing", "room_id": room, "content": object{"user_ids": users}},
	}})
	if status, answer := h.call(http.MethodPut, "/_matrix/app/v1/transactions/"+txn, body); status != http.StatusOK {
		h.t.Fatalf("typing: %d %s", status, answer)
	}
}

// Types reports whether a user has said to be typing in a room, and has not stopped.
func (h *Homeserver) Types(user id.UserID, room id.RoomID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.typists[[2]string{string(user), string(room)}]
}

// Upload is the content of a file that was uploaded.
func (h *Homeserver) Upload(uri string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.uploads[uri]
}

func (h *Homeserver) setTyping(r *request) (any, error) {
	if h.typists == nil {
		h.typists = map[[2]string]bool{}
	}
	on, _ := r.body["typing"].(bool)
	h.typists[[2]string{r.PathValue("user"), r.PathValue("room")}] = on
	close(h.change)
	h.change = make(chan struct{})
	return object{}, nil
}

// redact records a redaction as an event; the event that it is about keeps its content.
func (h *Homeserver) redact(r *request) (any, error) {
	if !h.isJoined(r.user, r.room()) {
		return nil, &failure{http.StatusForbidden, "M_FORBIDDEN", string(r.user) + " is not in the room"}
	}
	content := object{"redacts": r.PathValue("event")}
	if reason := r.text("reason"); reason != "" {
		content["reason"] = reason
	}
	e := h.add(&Event{Room: r.room(), Sender: r.user, Type: "m.room.redaction", Content: content, TxnID: r.PathValue("txn")})
	return object{"event_id": e.ID}, nil
}

// upload takes a file, whose body is no JSON.
func (h *Homeserver) upload(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		answerError(w, http.StatusBadRequest, "M_UNKNOWN", err.Error())
		return
	}
	h.mu.Lock()
	h.count++
	uri := fmt.Sprintf("mxc://%s/file%d", h.ServerName, h.count)
	if h.uploads == nil {
		h.uploads, h.kinds = map[string]string{}, map[string]string{}
	}
	h.uploads[uri], h.kinds[uri] = string(body), r.Header.Get("Content-Type")
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object{"content_uri": uri})
}

// download gives a file that was uploaded.
func (h *Homeserver) download(w http.ResponseWriter, r *http.Request) {
	uri := fmt.Sprintf("mxc://%s/%s", r.PathValue("server"), r.PathValue("file"))
	h.mu.Lock()
	content, known, kind := h.uploads[uri], h.kinds[uri] != "", h.kinds[uri]
	h.mu.Unlock()
	if !known {
		answerError(w, http.StatusNotFound, "M_NOT_FOUND", "there is no such file")
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = io.WriteString(w, content)
}
