package homeserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// synced is the part of an answer of /sync that these tests look at.
type synced struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Join, Leave map[id.RoomID]struct {
			State, Timeline struct{ Events []clientEvent }
		}
	} `json:"rooms"`
}

type clientEvent struct {
	EventID  id.EventID `json:"event_id"`
	Type     string     `json:"type"`
	StateKey *string    `json:"state_key"`
	Content  struct {
		Body       string `json:"body"`
		Name       string `json:"name"`
		Membership string `json:"membership"`
	} `json:"content"`
}

func (e clientEvent) String() string {
	return strings.TrimSuffix(e.Type+" "+e.Content.Body+e.Content.Name+e.Content.Membership, " ")
}

func (k *talk) sync(user testserver.User, query string) (out synced) {
	k.t.Helper()
	k.OK("GET", "/_matrix/client/v3/sync?"+query, user.Token, nil, &out)
	return out
}

func (k *talk) set(eventType string, content any) {
	k.t.Helper()
	k.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/state/%s", k.roomID, eventType), k.user.Token, content, nil)
}

func (k *talk) join(user testserver.User) {
	k.t.Helper()
	k.set("m.room.join_rules", map[string]string{"join_rule": "public"})
	k.OK("POST", fmt.Sprintf("/_matrix/client/v3/join/%s", k.roomID), user.Token, map[string]any{}, nil)
}

// Clients that come back after history was purged get the room as it is: all of its state, and what is left of its timeline. Who left
// before then still has what they saw last.
func TestClientsAfterAPurgeOfHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := testserver.New(t, db)
		k := newTalk(t, s)
		bob := s.Register("bob")
		k.join(bob)
		k.set("m.room.name", map[string]string{"name": "then"})
		k.say("bob saw this")
		early := k.sync(k.user, "").NextBatch
		s.OK("POST", fmt.Sprintf("/_matrix/client/v3/rooms/%s/leave", k.roomID), bob.Token, map[string]any{}, nil)
		k.set("m.room.name", map[string]string{"name": "now"})
		k.say("gone")
		point := k.say("point")
		if _, err := s.Maintenance.PurgeHistory(t.Context(), k.roomID, homeserver.Before{EventID: point}); err != nil {
			t.Fatal(err)
		}
		k.say("after")
		for _, since := range []string{"", "since=" + early} {
			got := k.sync(k.user, since).Rooms.Join[k.roomID]
			if timeline := texts(got.Timeline.Events); !slices.Contains(timeline, "m.room.message after") || slices.Contains(timeline, "m.room.message gone") {
				t.Errorf("sync %s: timeline %v", since, timeline)
			}
			if all := texts(append(got.State.Events, got.Timeline.Events...)); !slices.Contains(all, "m.room.name now") || !slices.Contains(all, "m.room.member leave") {
				t.Errorf("sync %s: the state lacks something: %v", since, all)
			}
		}
		var page struct{ Chunk []clientEvent }
		k.OK("GET", fmt.Sprintf("/_matrix/client/v3/rooms/%s/messages?dir=b&limit=50", k.roomID), k.user.Token, nil, &page)
		for _, e := range page.Chunk {
			if e.Type == "m.room.message" && e.Content.Body == "gone" || e.Content.Body == "bob saw this" {
				t.Errorf("a page has %s", e)
			}
		}
		var state []clientEvent
		k.OK("GET", fmt.Sprintf("/_matrix/client/v3/rooms/%s/state", k.roomID), bob.Token, nil, &state)
		if names := texts(state); !slices.Contains(names, "m.room.name then") || slices.Contains(names, "m.room.name now") {
			t.Errorf("the state that bob saw last: %v", names)
		}
		left := k.sync(bob, `filter={"room":{"include_leave":true}}`).Rooms.Leave[k.roomID]
		if all := texts(append(left.State.Events, left.Timeline.Events...)); !slices.Contains(all, "m.room.member leave") || slices.Contains(all, "m.room.name now") {
			t.Errorf("bob's last moments: %v", all)
		}
	})
}

func texts(events []clientEvent) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.String()
	}
	return all
}

// A client whose room is purged hears that its user has left, and one that was away gets answers all the same.
func TestClientsOfARoomThatIsGone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := testserver.New(t, db)
		k, other := newTalk(t, s), newTalk(t, s)
		k.say("hello")
		bob := s.Register("bob")
		k.join(bob)
		away := k.sync(bob, "").NextBatch
		since := k.sync(k.user, "").NextBatch
		heard := make(chan bool, 1)
		go func() { // until it is told to leave, or the room is gone without a word
			told := false
			for next := since; !told && next != ""; {
				a := k.Do("GET", "/_matrix/client/v3/sync?timeout=20000&since="+next, k.user.Token, nil)
				var out synced
				_ = json.Unmarshal(a.Body, &out)
				_, told = out.Rooms.Leave[k.roomID]
				if next = out.NextBatch; len(out.Rooms.Join)+len(out.Rooms.Leave) == 0 {
					next = ""
				}
			}
			heard <- told
		}()
		if _, err := s.Maintenance.PurgeRoom(t.Context(), k.roomID, true); err != nil {
			t.Fatal(err)
		}
		if !<-heard {
			t.Error("the client that waited did not hear that its user has left")
		}
		for _, query := range []string{"", "since=" + away, "since=" + away + "&full_state=true"} {
			if got := k.sync(bob, query); got.Rooms.Join[k.roomID].Timeline.Events != nil {
				t.Errorf("sync %s: the room is still there", query)
			}
		}
		for _, path := range []string{"state", "messages?dir=b", "members", "joined_members"} {
			if a := k.Do("GET", fmt.Sprintf("/_matrix/client/v3/rooms/%s/%s", k.roomID, path), bob.Token, nil); a.Status != http.StatusForbidden {
				t.Errorf("%s: %d %s, want 403", path, a.Status, a.Body)
			}
		}
		other.say("still here")
	})
}
