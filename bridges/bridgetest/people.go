package bridgetest

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"maunium.net/go/mautrix/id"
)

// User is the full ID of a user of this homeserver.
func (h *Homeserver) User(localpart string) id.UserID { return id.NewUserID(localpart, h.ServerName) }

// JoinAlias lets a user join by alias, after asking the bridge for it when it is unknown. It fails the test
// when the bridge refuses.
func (h *Homeserver) JoinAlias(user id.UserID, alias id.RoomAlias) id.RoomID {
	h.t.Helper()
	h.mu.Lock()
	room, known := h.aliases[alias]
	h.mu.Unlock()
	if !known {
		if status, body := h.QueryAlias(alias); status != http.StatusOK {
			h.t.Fatalf("query of %s: %d %s", alias, status, body)
		}
		h.mu.Lock()
		room, known = h.aliases[alias]
		h.mu.Unlock()
		if !known {
			h.t.Fatalf("the bridge says that %s exists, but did not create it", alias)
		}
	}
	h.SetMember(user, room, user, "join", "")
	return room
}

// SetMember sends an m.room.member event about target.
func (h *Homeserver) SetMember(sender id.UserID, room id.RoomID, target id.UserID, membership, reason string) {
	key := string(target)
	content := map[string]any{"membership": membership}
	if reason != "" {
		content["reason"] = reason
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(&Event{Room: room, Sender: sender, Type: "m.room.member", StateKey: &key, Content: content})
}

// Say sends a text message.
func (h *Homeserver) Say(user id.UserID, room id.RoomID, text string) *Event {
	return h.Send(user, room, "m.room.message", map[string]any{"msgtype": "m.text", "body": text})
}

// Send sends any event that is no state.
func (h *Homeserver) Send(user id.UserID, room id.RoomID, eventType string, content map[string]any) *Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(&Event{Room: room, Sender: user, Type: eventType, Content: content})
}

// SendState sends a state event.
func (h *Homeserver) SendState(user id.UserID, room id.RoomID, eventType, key string, content map[string]any) *Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(&Event{Room: room, Sender: user, Type: eventType, StateKey: &key, Content: content})
}

// Events returns what was recorded so far and fits.
func (h *Homeserver) Events(fits func(e *Event) bool) []*Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*Event
	for _, e := range h.events {
		if fits(e) {
			list = append(list, e)
		}
	}
	return list
}

// Messages are the texts in a room of senders other than these.
func (h *Homeserver) Messages(room id.RoomID, except ...id.UserID) []*Event {
	return h.Events(func(e *Event) bool {
		return e.Room == room && e.Type == "m.room.message" && !slices.Contains(except, e.Sender)
	})
}

// State returns a state event of a room, or nil.
func (h *Homeserver) State(room id.RoomID, eventType, key string) *Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state[room][[2]string{eventType, key}]
}

// Joined are the users in a room, sorted.
func (h *Homeserver) Joined(room id.RoomID) []id.UserID {
	h.mu.Lock()
	defer h.mu.Unlock()
	var users []id.UserID
	for key, e := range h.state[room] {
		if key[0] == "m.room.member" && e.Membership() == "join" {
			users = append(users, id.UserID(key[1]))
		}
	}
	slices.Sort(users)
	return users
}

// Listed reports whether a room is in the directory.
func (h *Homeserver) Listed(room id.RoomID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listed[room]
}

// ListedOn reports whether a room is in the directory of a network.
func (h *Homeserver) ListedOn(network string, room id.RoomID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listedOn[[2]string{network, string(room)}]
}

// Presence is the presence that a user set, and their words about it.
func (h *Homeserver) Presence(user id.UserID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.presence[user]
}

// DisplayName is what a user set in their profile.
func (h *Homeserver) DisplayName(user id.UserID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[user]
}

// Await waits until the condition holds; it is tried after each change.
func (h *Homeserver) Await(what string, holds func() bool) {
	h.t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	for {
		h.mu.Lock()
		change := h.change
		h.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-change:
		case <-timer.C:
			h.t.Fatalf("waited %v in vain for: %s", Patience, what)
		}
	}
}

// AwaitEvent waits for the first event that fits, from the beginning of the record.
func (h *Homeserver) AwaitEvent(what string, fits func(e *Event) bool) *Event {
	h.t.Helper()
	var found *Event
	h.Await(what, func() bool {
		list := h.Events(fits)
		if len(list) > 0 {
			found = list[0]
		}
		return found != nil
	})
	return found
}

// AwaitText waits for a message with this body in a room.
func (h *Homeserver) AwaitText(room id.RoomID, text string) *Event {
	h.t.Helper()
	return h.AwaitEvent(fmt.Sprintf("message %q", text), func(e *Event) bool {
		return e.Room == room && e.Type == "m.room.message" && e.Text() == text
	})
}

// AwaitMembership waits until a user's membership in a room is this.
func (h *Homeserver) AwaitMembership(room id.RoomID, user id.UserID, membership string) *Event {
	h.t.Helper()
	var e *Event
	h.Await(fmt.Sprintf("%s: %s", user, membership), func() bool {
		e = h.State(room, "m.room.member", string(user))
		return e != nil && e.Membership() == membership
	})
	return e
}

// AwaitAcknowledged waits until the bridge has acknowledged every event recorded so far.
func (h *Homeserver) AwaitAcknowledged() {
	h.t.Helper()
	h.mu.Lock()
	goal := len(h.events)
	h.mu.Unlock()
	h.Await("acknowledgement of all events", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.cursor >= goal
	})
}

// Acknowledged reports whether the bridge has acknowledged every event recorded so far.
func (h *Homeserver) Acknowledged() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cursor >= len(h.events)
}
