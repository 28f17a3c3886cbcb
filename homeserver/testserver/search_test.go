package testserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// finds is the request of POST /search for a term, with other criteria.
func finds(term, criteria string) string {
	if criteria != "" {
		criteria = "," + criteria
	}
	return fmt.Sprintf(`{"search_categories":{"room_events":{"search_term":%s%s}}}`, quoted(term), criteria)
}

func quoted(text string) string {
	raw, _ := json.Marshal(text) // a string can always be marshalled
	return string(raw)
}

const found = "search_categories/room_events/"

// bodies returns what the results of a search say.
func bodies(page any) []string {
	all := []string{}
	for _, body := range at(page, found+"results/*/result/content/body") {
		all = append(all, plain(body))
	}
	return all
}

func (s *script) utter(who, room, text string) string {
	s.t.Helper()
	return s.sayEvent(who, room, fmt.Sprintf(`{"msgtype":"m.text","body":%s}`, quoted(text)))
}

func (s *script) sayEvent(who, room, content string) string {
	s.t.Helper()
	s.said++
	return s.text(fmt.Sprintf("%s PUT /rooms/<%s>/send/m.room.message/say%d", who, room, s.said), content, "event_id")
}

func (s *script) room(who, name, body string) {
	s.t.Helper()
	s.words[name] = s.text(who+" POST /createRoom", body, "room_id")
}

// TestSearchWords looks for words of all kinds. Both engines find the same.
func TestSearchWords(t *testing.T) {
	texts := []string{
		"Hello, World!", "Größe and café", "Ёлка на площади", "日本語の文章です", "don't panic", "a \"quoted\" AND (b OR c*) NEAR",
		"version 1.10-rc2", "👍 thumbs", strings.Repeat("long", 30), "emphasis *bold*", "ΟΔΥΣΣΕΎΣ", "한국어를 배워요",
		"hello hello hello again", "the and of to", "nul\x00here",
	}
	each(t, "alice", func(s *script) {
		s.room("alice", "room", `{}`)
		for _, text := range texts {
			if !strings.Contains(text, "\x00") {
				s.utter("alice", "room", text)
			}
		}
		for _, test := range []struct {
			term string
			want []int // of texts, newest first
		}{
			{"hello", []int{12, 0}}, {"HELLO world", []int{0}}, {"world hello", []int{0}}, {"hell", nil},
			{"grösse", []int{1}}, {"GRÖẞE", []int{1}}, {"grosse", []int{1}}, {"cafe", []int{1}}, {"café", []int{1}},
			{"елка", []int{2}}, {"площад", nil},
			{"日本", []int{3}}, {"本", []int{3}}, {"文章", []int{3}}, {"日語", nil}, {"日本語の文章です", []int{3}}, {"日本 章", []int{3}},
			{"don't", []int{4}}, {"don’t panic", []int{4}}, {"dont", nil},
			{"quoted and", []int{5}}, {`"quoted" AND`, []int{5}}, {"NEAR(", []int{5}}, {"c*", []int{5}}, {"*", nil}, {`"`, nil}, {"-quoted", []int{5}},
			{"^quoted:", []int{5}}, {"quoted OR nothing", nil}, {"NOT quoted", nil}, {"'quoted'", []int{5}}, {`qu\oted`, nil}, {"a & b | c", []int{5}},
			{"1.10", []int{6}}, {"rc2", []int{6}}, {"👍", nil}, {"👍 thumbs", []int{7}},
			{strings.Repeat("long", 30), []int{8}}, {strings.Repeat("long", 25), []int{8}}, {strings.Repeat("long", 15), nil},
			{"bold", []int{9}}, {"οδυσσευς", []int{10}}, {"한국", []int{11}}, {"국어", []int{11}}, {"the", []int{13}}, {"of the", []int{13}},
			{"", nil}, {" ", nil}, {"a\x00b", []int{5}}, {strings.Repeat("hello ", 300), []int{12, 0}}, {"content body msgtype", nil}, {"m.text", nil},
		} {
			page := s.get("alice POST /search", finds(test.term, `"order_by":"recent"`))
			want := []string{}
			for _, i := range test.want {
				want = append(want, texts[i])
			}
			if got := bodies(page); !slices.Equal(got, want) {
				t.Errorf("%.40q: got %q, want %q", test.term, got, want)
			}
			if got := plain(at(page, found+"count")[0]); got != fmt.Sprint(len(want)) {
				t.Errorf("%.40q: count %s, want %d", test.term, got, len(want))
			}
		}
	})
}

// TestSearchPages goes through results in pages, in both orders, as a whole and by groups.
func TestSearchPages(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.room("alice", "one", `{"preset":"public_chat"}`)
		s.room("alice", "two", `{"preset":"public_chat"}`)
		s.get("bob POST /join/<one>", `{}`)
		var ids []string
		for i := range 23 {
			who, room := "alice", "one"
			if i%3 == 0 {
				room = "two"
			} else if i%2 == 0 {
				who = "bob"
			}
			ids = append(ids, s.utter(who, room, fmt.Sprintf("%snumber %d", strings.Repeat("word ", i%4+1), i)))
		}
		pages := func(criteria, next string) (all []string) {
			for {
				request := "alice POST /search"
				if next != "" {
					request += "?next_batch=" + next
				}
				page := s.get(request, finds("word", criteria))
				if count := plain(at(page, found+"count")[0]); count != "23" {
					t.Errorf("%s: count %s, want 23", criteria, count)
				}
				for _, eventID := range at(page, found+"results/*/result/event_id") {
					all = append(all, plain(eventID))
				}
				tokens := at(page, found+"next_batch")
				if len(tokens) == 0 {
					return all
				}
				next = plain(tokens[0])
			}
		}
		recent := slices.Clone(ids)
		slices.Reverse(recent)
		for _, limit := range []int{1, 5, 10, 23, 100} {
			if got := pages(fmt.Sprintf(`"order_by":"recent","filter":{"limit":%d}`, limit), ""); !slices.Equal(got, recent) {
				t.Errorf("recent, by %d: got %v, want %v", limit, got, recent)
			}
			got := pages(fmt.Sprintf(`"filter":{"limit":%d}`, limit), "")
			if len(got) != 23 || got[0] != ids[19] { // the newest of those that say it four times
				t.Errorf("by rank, by %d: got %d, the first of which is %s", limit, len(got), got[0])
			}
			slices.Sort(got)
			if got = slices.Compact(got); len(got) != 23 {
				t.Errorf("by rank, by %d: some are there more than once", limit)
			}
		}
		for _, order := range []string{"recent", "rank"} {
			criteria := fmt.Sprintf(`"order_by":%q,"filter":{"limit":4},"groupings":{"group_by":[{"key":"room_id"},{"key":"sender"}]}`, order)
			page := s.get("alice POST /search", finds("word", criteria))
			for _, group := range []struct{ key, value string }{{"room_id", "<one>"}, {"room_id", "<two>"}, {"sender", "<alice>"}, {"sender", "<bob>"}} {
				path := found + "groups/" + group.key + "/" + s.fill(group.value, plainText) + "/"
				var got []string
				for _, eventID := range at(page, path+"results/*") {
					got = append(got, plain(eventID))
				}
				if len(got) == 0 {
					continue
				}
				if len(at(page, path+"order")) != 1 {
					t.Errorf("%s %v: no order", order, group)
				}
				got = append(got, pages(criteria, plain(at(page, path+"next_batch")[0]))...)
				want := map[string]int{"<one>": 15, "<two>": 8, "<alice>": 15, "<bob>": 8}[group.value]
				slices.Sort(got)
				if got = slices.Compact(got); len(got) != want {
					t.Errorf("%s %v: got %d, want %d", order, group, len(got), want)
				}
			}
		}
	})
}

// TestSearchForms is about what a request may say, and what an answer says.
func TestSearchForms(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.room("alice", "room", `{"preset":"public_chat","name":"The fish room","topic":"All about fishes"}`)
		s.get("bob POST /join/<room>", `{}`)
		s.words["first"] = s.utter("alice", "room", "first message")
		s.utter("bob", "room", "second message")
		s.words["fish"] = s.utter("alice", "room", "fish and chips")
		s.utter("bob", "room", "fourth message")
		s.utter("alice", "room", "fifth message")
		s.words["cipher"] = s.text("alice PUT /rooms/<room>/send/m.room.encrypted/c1", `{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"fish","body":"fish"}`, "event_id")
		s.words["edit"] = s.sayEvent("alice", "room", s.fill(`{"body":"* halibut","msgtype":"m.text","m.new_content":{"body":"halibut","msgtype":"m.text"},"m.relates_to":{"rel_type":"m.replace","event_id":"<first>"}}`, plainText))
		s.run(searchForms)
	})
}

var searchForms = []step{
	{"a topic with markup", "alice PUT /rooms/<room>/state/m.room.topic/", `{"topic":"All about fishes","m.topic":{"m.text":[{"mimetype":"text/html","body":"[b x]"},{"body":"plaice"}]}}`, 200, "event_id:eventid", ""},
	{"by its plain form", "bob POST /search", finds("plaice fishes", ""), 200, found + "count=1", ""},
	{"but not by its markup", "bob POST /search", finds("b x", ""), 200, found + "count=0", ""},
	{"all keys", "bob POST /search", finds("fish", ""), 200, found + "count=2 " + found + "results/0/rank:float " + found + "results/0/result/room_id=<room> " + found + "results/0/result/event_id:string " + found + "results/0/result/origin_server_ts:integer " + found + "results/0/result/sender:userid " + found + "results/0/result/content:object " + found + "results/0/context:absent " + found + "results/2:absent " + found + "highlights/0=fish " + found + "next_batch:absent " + found + "state:absent " + found + "groups:absent", ""},
	{"the body", "bob POST /search", finds("fish", `"keys":["content.body"]`), 200, found + "count=1 " + found + "results/0/result/event_id=<fish>", ""},
	{"the name", "bob POST /search", finds("FISH", `"keys":["content.name"]`), 200, found + "count=1 " + found + "results/0/result/type=m.room.name", ""},
	{"the topic", "bob POST /search", finds("fishes", `"keys":["content.topic","content.name"]`), 200, found + "count=2 " + found + "results/0/result/type=m.room.topic", ""},
	{"no key", "bob POST /search", finds("fish", `"keys":[]`), 200, found + "count=0 " + found + "results:empty", ""},
	{"other keys", "bob POST /search", finds("fish", `"keys":["content.msgtype"]`), 200, found + "count=0", ""},
	{"an edit", "bob POST /search", finds("halibut", ""), 200, found + "count=1 " + found + "results/0/result/event_id=<edit>", ""},
	{"context", "bob POST /search", finds("chips", `"event_context":{"before_limit":1,"after_limit":2,"include_profile":true}`), 200, found + "results/0/context/events_before/0/sender=<bob> " + found + "results/0/context/events_before/1:absent " + found + "results/0/context/events_after/1/sender=<alice> " + found + "results/0/context/events_after/2:absent " + found + "results/0/context/start:string " + found + "results/0/context/end:string " + found + "results/0/context/profile_info/<bob>:object", ""},
	{"context of the usual size", "bob POST /search", finds("chips", `"event_context":{}`), 200, found + "results/0/context/events_before/4:object " + found + "results/0/context/events_before/5:absent " + found + "results/0/context/events_after/3:object " + found + "results/0/context/profile_info:absent", ""},
	{"context of nothing", "bob POST /search", finds("chips", `"event_context":{"before_limit":0,"after_limit":-3}`), 200, found + "results/0/context/events_before:empty " + found + "results/0/context/events_after:empty", ""},
	{"state", "bob POST /search", finds("chips", `"include_state":true`), 200, found + "state/<room>/0/type=m.room.create", ""},
	{"groups", "bob POST /search", finds("fish", `"order_by":"recent","groupings":{"group_by":[{"key":"sender"}]}`), 200, found + "groups/sender/<alice>/order=1 " + found + "groups/sender/<alice>/results/0=<fish> " + found + "groups/sender/<alice>/next_batch:absent", ""},
	{"a filter of types", "bob POST /search", finds("fish", `"filter":{"types":["m.room.name"]}`), 200, found + "count=1", ""},
	{"a filter of senders", "bob POST /search", finds("message", `"filter":{"senders":["<bob>"]}`), 200, found + "count=2", ""},
	{"a filter of rooms", "bob POST /search", finds("fish", `"filter":{"rooms":["!none:test"]}`), 200, found + "count=0", ""},
	{"a filter of other rooms", "bob POST /search", finds("fish", `"filter":{"not_rooms":["<room>"]}`), 200, found + "count=0", ""},
	{"a null filter", "bob POST /search", finds("fish", `"filter":null`), 200, found + "count=2", ""},
	{"a filter that is none", "bob POST /search", finds("fish", `"filter":{"types":1}`), 400, "M_INVALID_PARAM", ""},
	{"a limit that is none", "bob POST /search", finds("fish", `"filter":{"limit":"x"}`), 400, "M_INVALID_PARAM", ""},
	{"no category", "bob POST /search", `{"search_categories":{}}`, 200, "search_categories:object search_categories/room_events:absent", ""},
	{"no categories", "bob POST /search", `{}`, 400, "M_MISSING_PARAM", ""},
	{"no term", "bob POST /search", `{"search_categories":{"room_events":{}}}`, 400, "M_MISSING_PARAM", ""},
	{"a term that is none", "bob POST /search", `{"search_categories":{"room_events":{"search_term":1}}}`, 400, "M_BAD_JSON", ""},
	{"an order that is none", "bob POST /search", finds("fish", `"order_by":"x"`), 400, "M_INVALID_PARAM", ""},
	{"a group that is none", "bob POST /search", finds("fish", `"groupings":{"group_by":[{"key":"x"}]}`), 400, "M_INVALID_PARAM", ""},
	{"a token that is none", "bob POST /search?next_batch=x", finds("fish", ""), 400, "M_INVALID_PARAM", ""},
	{"without a token", "nobody POST /search", finds("fish", ""), 401, "M_MISSING_TOKEN", ""},
	{"no JSON", "bob POST /search", `x`, 400, "M_NOT_JSON", ""},
	{"another method", "bob GET /search", ``, 405, "M_UNRECOGNIZED", ""},
}

// TestSearchSight is about who finds what: each word is said at another time of the stay of those who look for it.
func TestSearchSight(t *testing.T) {
	names := "alice stranger invited member left banned late forgetful ignorer again"
	each(t, names, func(s *script) {
		s.room("alice", "room", `{"preset":"private_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"joined"}}]}`)
		in := func(who string) {
			s.get("alice POST /rooms/<room>/invite", `{"user_id":"<`+who+`>"}`)
			s.get(who+" POST /join/<room>", `{}`)
		}
		s.utter("alice", "room", "needle before")
		for _, who := range strings.Fields("member left banned forgetful ignorer again") {
			in(who)
		}
		s.utter("alice", "room", "needle during")
		s.get("left POST /rooms/<room>/leave", `{}`)
		s.get("again POST /rooms/<room>/leave", `{}`)
		s.get("alice POST /rooms/<room>/ban", `{"user_id":"<banned>"}`)
		s.get("forgetful POST /rooms/<room>/leave", `{}`)
		s.get("forgetful POST /rooms/<room>/forget", `{}`)
		s.get("ignorer PUT /user/<ignorer>/account_data/m.ignored_user_list", `{"ignored_users":{"<alice>":{}}}`)
		s.utter("alice", "room", "needle after")
		in("late")
		in("again")
		s.utter("alice", "room", "needle late")
		s.get("alice POST /rooms/<room>/invite", `{"user_id":"<invited>"}`)
		for who, want := range map[string]string{
			"alice": "late after during before", "stranger": "", "invited": "", "member": "late after during", "left": "during",
			"banned": "during", "late": "late", "forgetful": "", "ignorer": "", "again": "late during",
		} {
			page := s.get(who+" POST /search", finds("needle", `"order_by":"recent","event_context":{}`))
			var got []string
			for _, body := range bodies(page) {
				got = append(got, strings.TrimPrefix(body, "needle "))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s found %v, want %s", who, got, want)
			}
			if count := plain(at(page, found+"count")[0]); count != fmt.Sprint(len(got)) {
				t.Errorf("%s: count %s, want %d", who, count, len(got))
			}
		}
		// What left has left is not to be read around what they find, even when all may read the room.
		s.get("alice PUT /rooms/<room>/state/m.room.history_visibility/", `{"history_visibility":"world_readable"}`)
		s.utter("alice", "room", "needle open")
		for who, want := range map[string]int{"stranger": 0, "left": 1, "member": 4, "late": 2} {
			if got := bodies(s.get(who+" POST /search", finds("needle", ""))); len(got) != want {
				t.Errorf("in an open room %s found %v, want %d", who, got, want)
			}
		}
	})
}

// TestSearchRedacted looks for what was redacted before and after the index had it, and in rooms that were upgraded.
func TestSearchRedacted(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.room("alice", "old", `{"preset":"public_chat","room_version":"9"}`)
		s.words["early"] = s.utter("alice", "old", "pebble early")
		s.get("alice PUT /rooms/<old>/redact/<early>/r1", `{}`)
		s.words["later"] = s.utter("alice", "old", "pebble later")
		s.utter("alice", "old", "pebble stays")
		if got := bodies(s.get("alice POST /search", finds("pebble", `"order_by":"recent"`))); len(got) != 2 {
			t.Errorf("got %v", got)
		}
		s.get("alice PUT /rooms/<old>/redact/<later>/r2", `{}`)
		if got := bodies(s.get("alice POST /search", finds("pebble", ""))); !slices.Equal(got, []string{"pebble stays"}) {
			t.Errorf("after the redaction: got %v", got)
		}
		s.words["new"] = s.text("alice POST /rooms/<old>/upgrade", `{"new_version":"11"}`, "replacement_room")
		s.utter("alice", "new", "pebble new")
		for _, filter := range []string{`{}`, `{"rooms":["<new>"]}`, `{"rooms":["<old>","<new>"]}`} {
			got := bodies(s.get("alice POST /search", finds("pebble", `"order_by":"recent","filter":`+filter)))
			if !slices.Equal(got, []string{"pebble new", "pebble stays"}) {
				t.Errorf("%s: got %v", filter, got)
			}
		}
		if got := bodies(s.get("alice POST /search", finds("pebble", `"filter":{"rooms":["<old>"]}`))); len(got) != 1 {
			t.Errorf("in the old room: got %v", got)
		}
	})
}
