package testserver_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// passenger is somebody with a membership at each of two messages, between which the history visibility changes.
type passenger struct {
	name   string
	at     [2]string // the membership at the messages
	joined bool      // has been in the room at some time
	stays  bool      // and is in it now
}

var passengers = []passenger{
	{name: "stranger"},
	{name: "invited", at: [2]string{"invite", "invite"}},
	{name: "awaited", at: [2]string{"invite", "invite"}, joined: true, stays: true}, // joins after both
	{name: "late", joined: true, stays: true},                                       // joins after both
	{name: "middle", at: [2]string{"", "join"}, joined: true, stays: true},
	{name: "joined", at: [2]string{"join", "join"}, joined: true, stays: true},
	{name: "left", at: [2]string{"join", "leave"}, joined: true},
	{name: "banned", at: [2]string{"join", "ban"}, joined: true},
}

// may tells whether the passenger sees message n, sent while the visibility was v, in a room that now has the visibility now.
// Client-Server API, "Room History Visibility": the rules in their order, for who may look into the room at all.
func (p passenger) may(n int, v, now string) bool {
	if !p.joined && now != "world_readable" {
		return false
	}
	switch {
	case v == "world_readable":
		return true
	case p.at[n] == "join":
		return true
	case v == "shared" && p.stays: // joined after it, or was there
		return true
	case v == "invited" && p.at[n] == "invite":
		return true
	}
	return false
}

// TestWhoMayReadAfterAChange has the history visibility change from each to each.
func TestWhoMayReadAfterAChange(t *testing.T) {
	var names []string
	for _, p := range passengers {
		names = append(names, p.name)
	}
	visibilities := []string{"world_readable", "shared", "invited", "joined"}
	each(t, "alice "+strings.Join(names, " "), func(s *script) {
		outer := s.t
		for _, from := range visibilities {
			for _, to := range visibilities {
				if from == to {
					continue
				}
				s.t = outer
				s.changingRoom(from, to)
				outer.Run(from+" to "+to, func(t *testing.T) {
					s.t = t
					for _, p := range passengers {
						s.lookBack(p, from, to)
					}
				})
			}
		}
	})
}

func (s *script) changingRoom(from, to string) {
	s.t.Helper()
	visibility := func(v string) string { return `{"history_visibility":"` + v + `"}` }
	s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[
		{"type":"m.room.history_visibility","content":`+visibility(from)+`}]}`, "room_id")
	s.alice("invite", "invited")
	s.alice("invite", "awaited")
	for _, name := range []string{"joined", "left", "banned"} {
		s.get(name+" POST /rooms/<room>/join", "")
	}
	s.say(1, "one")
	s.get("left POST /rooms/<room>/leave", "")
	s.alice("ban", "banned")
	s.words["change"] = s.text("alice PUT /rooms/<room>/state/m.room.history_visibility", visibility(to), "event_id")
	s.get("middle POST /rooms/<room>/join", "")
	s.say(2, "two")
	s.get("late POST /rooms/<room>/join", "")
	s.get("awaited POST /rooms/<room>/join", "")
}

func (s *script) lookBack(p passenger, from, to string) {
	s.t.Helper()
	var byEvent, page string
	for n, v := range []string{from, to} {
		body := fmt.Sprint(n + 1)
		if p.may(n, v, to) {
			byEvent += body
			if p.stays || !p.joined || n == 0 { // pages end where the user left
				page += body
			}
		}
	}
	got := ""
	for n := range 2 {
		body := fmt.Sprint(n + 1)
		if a := s.ask(p.name+" GET /rooms/<room>/event/<message "+body+">", ""); a.Status == http.StatusOK {
			got += body
		} else {
			s.refused(p.name+": event "+body, a.Status, a.Code(), http.StatusNotFound, "M_NOT_FOUND")
		}
	}
	if got != byEvent {
		s.t.Errorf("%s by event: got %q, want %q", p.name, got, byEvent)
	}
	// The change itself is seen by who could see it under the old or the new visibility, all of them as of before the second message.
	before := p
	before.at[0] = p.at[1]
	if p.name == "middle" {
		before.at[0] = ""
	}
	before.at[1] = before.at[0]
	want := before.may(0, from, to) || before.may(0, to, to)
	if a := s.ask(p.name+" GET /rooms/<room>/event/<change>", ""); (a.Status == http.StatusOK) != want {
		s.t.Errorf("%s: the change: got %d, want to see it %t", p.name, a.Status, want)
	}
	a := s.ask(p.name+" GET /rooms/<room>/messages?limit=100&dir=f", "")
	if !p.joined && to != "world_readable" {
		s.refused(p.name+": messages", a.Status, a.Code(), http.StatusForbidden, "M_FORBIDDEN")
		return
	}
	if got := strings.Join(said(at(decode(s.t, a.Body), "chunk/*")), ""); got != page {
		s.t.Errorf("%s in pages: got %q, want %q", p.name, got, page)
	}
}

// TestWhatIsLeft has messages be redacted, and the account of their sender erased: who was in the room when an erased user spoke sees
// what they said, whoever came later sees that there was something (Client-Server API, POST /account/deactivate, erase).
func TestWhatIsLeft(t *testing.T) {
	each(t, "alice ghost there late", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","topic":"T"}`, "room_id")
		s.get("ghost POST /rooms/<room>/join", "")
		s.get("there POST /rooms/<room>/join", "")
		for _, sender := range []string{"alice", "ghost"} {
			for _, what := range []string{"kept", "redacted"} {
				s.words[sender+" "+what] = s.text(sender+" PUT /rooms/<room>/send/m.room.message/"+what, `{"body":"`+sender+` `+what+`"}`, "event_id")
			}
			s.get("alice PUT /rooms/<room>/redact/<"+sender+" redacted>/r"+sender, `{"reason":"spam"}`)
		}
		err := s.DB.Write(context.Background(), func(tx *store.Tx) error { return tx.SetErased(id.UserID(s.words["ghost"]), true) })
		if err != nil {
			s.t.Fatal(err)
		}
		s.get("late POST /rooms/<room>/join", "")
		for reader, want := range map[string][]string{
			"alice": {"alice kept", "", "ghost kept", ""}, "there": {"alice kept", "", "ghost kept", ""}, "late": {"alice kept", "", "", ""},
		} {
			s.lookAtWhatIsLeft(reader, want)
		}
	})
}

func (s *script) lookAtWhatIsLeft(reader string, want []string) {
	s.t.Helper()
	words := []string{"alice kept", "alice redacted", "ghost kept", "ghost redacted"}
	around := s.get(reader+" GET /rooms/<room>/context/<alice kept>?limit=100", "")
	answers := map[string][]any{
		"messages": at(s.get(reader+" GET /rooms/<room>/messages?limit=100&dir=f", ""), "chunk/*"),
		"sync": at(s.get(reader+` GET /sync?filter={"room":{"timeline":{"limit":100}}}`, ""),
			"rooms/join/"+s.words["room"]+"/timeline/events/*"),
		"context": append(at(around, "event"), at(around, "events_after/*")...),
	}
	for _, word := range words {
		answers["event"] = append(answers["event"], s.get(reader+" GET /rooms/<room>/event/<"+word+">", ""))
	}
	for name, events := range answers {
		byID := make(map[string]any)
		for _, e := range events {
			byID[textAt(s.t, e, "event_id")] = e
		}
		for i, word := range words {
			e := byID[s.words[word]]
			if body := strings.Join(said([]any{e}), ""); e == nil || body != want[i] {
				s.t.Errorf("%s, %s: %s is %v, want the body %q", reader, name, word, e, want[i])
			}
			because := "unsigned/redacted_because:absent"
			if strings.HasSuffix(word, "redacted") {
				because = "unsigned/redacted_because/content/reason=spam"
			}
			if problem := check(e, because); problem != "" {
				s.t.Errorf("%s, %s: %s: %s", reader, name, word, problem)
			}
		}
	}
}
