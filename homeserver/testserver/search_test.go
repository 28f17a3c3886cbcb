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
