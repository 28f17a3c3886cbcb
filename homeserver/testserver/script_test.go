package testserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"
)

// script is a server under test, and what its answers have named so far. In the requests and bodies of a script, <word> stands
// for a kept value; in a path it is escaped.
type script struct {
	*testserver.Server
	calls  *testCalls
	t      *testing.T
	tokens map[string]string // by the name that requests begin with
	words  map[string]string
	said   int // messages
}

// newScript returns a script with an account for each name. The name and "<name>" stand for its token and its user ID.
func newScript(t *testing.T, db *store.DB, names []string, change ...func(*homeserver.Config)) *script {
	t.Helper()
	calls := newTestCalls()
	s := &script{
		Server: testserver.New(t, db, append([]func(*homeserver.Config){calls.configure}, change...)...), calls: calls, t: t, words: make(map[string]string),
		tokens: map[string]string{"nobody": "", "unknown": "syt_no_such_token"},
	}
	calls.Server = s.Server.Server
	for _, name := range names {
		user := s.Register(name)
		s.tokens[name], s.words[name] = user.Token, string(user.ID)
	}
	return s
}

// step is one request and what it must be answered with.
type step struct {
	name    string
	request string // "name METHOD /path": the path is under /_matrix/client/v3, unless it begins with /_
	body    string
	status  int
	want    string // as check reads it
	keep    string // "word=path", what later steps call <word>; "token name=path" is the token of who begins requests as name
}

var wordPattern = regexp.MustCompile(`<[a-z][a-z0-9_ ]*>`)

func (s *script) fill(text string, escape func(string) string) string {
	return wordPattern.ReplaceAllStringFunc(text, func(w string) string {
		value, ok := s.words[w[1:len(w)-1]]
		if !ok {
			s.t.Fatalf("nothing was kept as %s in %s", w, text)
		}
		return escape(value)
	})
}

// ask makes one request of the form that step has.
func (s *script) ask(request, body string) testserver.Answer {
	s.t.Helper()
	part := strings.SplitN(request, " ", 3)
	token, ok := s.tokens[part[0]]
	if !ok {
		s.t.Fatalf("nobody is called %q in %s", part[0], request)
	}
	path := strings.NewReplacer(`{`, "%7B", `}`, "%7D", `"`, "%22").Replace(s.fill(part[2], url.PathEscape))
	if !strings.HasPrefix(path, "/_") && !strings.HasPrefix(path, "/.well-known") {
		path = "/_matrix/client/v3" + path
	}
	var raw any
	if body != "" {
		raw = s.fill(body, func(v string) string { return v })
	}
	return s.Do(part[1], path, token, raw)
}

// get makes a request that must be answered with 200, and returns the decoded body.
func (s *script) get(request, body string) any {
	s.t.Helper()
	a := s.ask(request, body)
	if a.Status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", request, a.Status, a.Body)
	}
	return decode(s.t, a.Body)
}

// text makes a request that must be answered with 200, and returns a string of the body.
func (s *script) text(request, body, path string) string {
	s.t.Helper()
	return textAt(s.t, s.get(request, body), path)
}

// run takes the steps in order, each as a sub-test.
func (s *script) run(steps []step) {
	s.t.Helper()
	outer := s.t
	defer func() { s.t = outer }()
	for _, step := range steps {
		outer.Run(step.name, func(t *testing.T) {
			s.t = t
			a := s.ask(step.request, step.body)
			if a.Status != step.status {
				t.Fatalf("%s: got %d %s, want %d", step.request, a.Status, a.Body, step.status)
			}
			if problem := check(decode(t, a.Body), s.fill(step.want, func(v string) string { return v })); problem != "" {
				t.Fatalf("%s: %s in %s", step.request, problem, a.Body)
			}
			if word, path, ok := strings.Cut(step.keep, "="); ok {
				s.words[word] = textAt(t, decode(t, a.Body), path)
				if name, token := strings.CutPrefix(word, "token "); token {
					s.tokens[name] = s.words[word]
				}
			}
		})
	}
}

// each runs a script on each engine.
func each(t *testing.T, names string, test func(s *script), change ...func(*homeserver.Config)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		test(newScript(t, db, strings.Fields(names), change...))
	})
}

func decode(t *testing.T, body []byte) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		t.Fatalf("%v: the body is not one JSON value: %s", err, body)
	}
	return v
}

func textAt(t *testing.T, v any, path string) string {
	t.Helper()
	found := at(v, path)
	if len(found) == 1 {
		if text, ok := found[0].(string); ok {
			return text
		}
	}
	t.Fatalf("no string %s in %v", path, v)
	return ""
}

// check says what is wrong with a body, "" for nothing. want is an error code, "{}" or "[]" for just that, or a list of demands
// with spaces between: "path:kind" for what is there, of a kind that kinds has, and "path=text" for what a string must be. A path
// is keys or indices with slashes between; * stands for all of an array or object, of which there must be at least one.
func check(body any, want string) string {
	switch {
	case strings.HasPrefix(want, "M_"):
		want = "errcode=" + want + " error:string"
	case want == "{}" || want == "[]":
		if got, err := json.Marshal(body); err != nil || string(got) != want {
			return "want " + want
		}
		return ""
	}
	for demand := range strings.FieldsSeq(want) {
		if problem := meet(body, demand); problem != "" {
			return problem
		}
	}
	return ""
}

var demandPattern = regexp.MustCompile(`\A(.*?)(=(.*)|:([a-z]+))\z`)

func meet(body any, demand string) string {
	part := demandPattern.FindStringSubmatch(demand)
	if part == nil {
		return "cannot read the demand " + demand
	}
	found := at(body, part[1])
	if part[4] == "absent" {
		if len(found) > 0 {
			return part[1] + " should not be there"
		}
		return ""
	}
	if len(found) == 0 {
		return "no " + part[1]
	}
	for _, v := range found {
		if part[4] == "" {
			if got := plain(v); got != part[3] {
				return fmt.Sprintf("%s is %s, want %s", part[1], got, part[3])
			}
			continue
		}
		kind, ok := kinds[part[4]]
		if !ok {
			return "no kind " + part[4]
		}
		if problem := kind(v); problem != "" {
			return fmt.Sprintf("%s: %s", part[1], problem)
		}
	}
	return ""
}

// plain is a value as a demand writes it.
func plain(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// at returns what a path leads to.
func at(v any, path string) []any {
	key, rest, more := strings.Cut(path, "/")
	if path == "" {
		return []any{v}
	}
	var found []any
	for _, child := range children(v, key) {
		if !more {
			rest = ""
		}
		found = append(found, at(child, rest)...)
	}
	return found
}

func children(v any, key string) []any {
	switch v := v.(type) {
	case []any:
		if key == "*" {
			return v
		}
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(v) {
			return v[i : i+1]
		}
	case map[string]any:
		if key != "*" {
			if child, ok := v[key]; ok {
				return []any{child}
			}
			return nil
		}
		var all []any
		for _, child := range v {
			all = append(all, child)
		}
		return all
	}
	return nil
}

func is[T any](v any) string {
	if _, ok := v.(T); ok {
		return ""
	}
	return fmt.Sprintf("%v is a %T", v, v)
}

// kinds are the types of JSON, and those objects that the specification uses again and again.
var kinds map[string]func(any) string

func init() {
	kinds = map[string]func(any) string{
		"string": is[string], "array": is[[]any], "object": is[map[string]any], "bool": is[bool], "float": is[json.Number],
		"null": func(v any) string {
			if v != nil {
				return fmt.Sprintf("%v is not null", v)
			}
			return ""
		},
		"integer": func(v any) string {
			n, _ := v.(json.Number)
			if _, err := strconv.ParseInt(string(n), 10, 64); err != nil {
				return fmt.Sprintf("%v is no integer", v)
			}
			return ""
		},
		"empty": func(v any) string {
			if list, ok := v.([]any); ok && len(list) == 0 {
				return ""
			}
			return fmt.Sprintf("%v is no empty array", v)
		},
		// ClientEventWithoutRoomID, ClientEvent, and both of the state.
		"syncevent": func(v any) string {
			return check(v, "event_id:eventid type:string sender:userid origin_server_ts:integer content:object unsigned:object room_id:absent")
		},
		"event": func(v any) string {
			return check(v, "event_id:eventid type:string sender:userid origin_server_ts:integer content:object room_id:roomid")
		},
		"syncstate": func(v any) string { return kinds["syncevent"](v) + check(v, "state_key:string") },
		"state":     func(v any) string { return kinds["event"](v) + check(v, "state_key:string") },
		"stripped": func(v any) string {
			return check(v, "content:object sender:userid state_key:string type:string event_id:absent")
		},
		"eventid": sigil("$"), "userid": sigil("@"), "roomid": sigil("!"), "alias": sigil("#"),
	}
}

func sigil(s string) func(any) string {
	return func(v any) string {
		if text, ok := v.(string); ok && strings.HasPrefix(text, s) {
			return ""
		}
		return fmt.Sprintf("%v does not begin with %s", v, s)
	}
}

// said returns the bodies of the messages in an array of events, in order.
func said(events []any) []string {
	bodies := []string{}
	for _, e := range events {
		if body := at(e, "content/body"); len(body) == 1 {
			bodies = append(bodies, plain(body[0]))
		}
	}
	return bodies
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
