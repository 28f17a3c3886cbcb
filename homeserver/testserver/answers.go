package testserver

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

//go:embed testdata/answers.txt
var answersText string

// endpoint is a row of testdata/answers.txt.
type endpoint struct {
	method string
	path   []string
	fields []field
}

// field is something that an answer must have.
type field struct {
	path []string
	kind string
}

var endpoints = sync.OnceValue(func() []endpoint {
	var all []endpoint
	for line := range strings.Lines(answersText) {
		parts := strings.Fields(line)
		if len(parts) < 2 || parts[0] == "#" {
			continue
		}
		e := endpoint{method: parts[0], path: strings.Split(parts[1], "/")}
		for _, f := range parts[2:] {
			at := strings.LastIndexByte(f, ':')
			e.fields = append(e.fields, field{path: strings.Split(f[:at], "/"), kind: f[at+1:]})
		}
		all = append(all, e)
	}
	return all
})

// Endpoints returns the client-server endpoints of the specification, each "METHOD /path".
func Endpoints() []string {
	var all []string
	for _, e := range endpoints() {
		all = append(all, e.method+" "+strings.Join(e.path, "/"))
	}
	return all
}

// answered are the endpoints that have answered with 200, or with 302 where that is the answer, in all tests of the process.
var answered sync.Map

// Unanswered returns the endpoints that have not answered with status 200 to any request of this process.
func Unanswered() []string {
	var all []string
	for _, name := range Endpoints() {
		if _, ok := answered.Load(name); !ok {
			all = append(all, name)
		}
	}
	return all
}

// checkAnswer compares an answer with what the specification requires of it: "" or what is wrong. Paths that it does not have are
// passed over.
func checkAnswer(method, path string, a Answer) string {
	path, query, _ := strings.Cut(path, "?")
	if strings.Contains(query, "org.matrix.msc4140.delay=") {
		return "" // a proposal's answer
	}
	path = strings.Replace(path, "/_matrix/client/r0/", "/_matrix/client/v3/", 1)
	e := findEndpoint(method, strings.Split(path, "/"))
	if e == nil {
		return ""
	}
	if a.Status/100 == 4 || a.Status/100 == 5 {
		if a.Code() == "" && a.Status != http.StatusUnauthorized { // a challenge need not have one
			return fmt.Sprintf("%d without an errcode", a.Status)
		}
		return ""
	}
	if a.Status == http.StatusFound && len(e.fields) == 0 { // what some are for is to send a browser on
		answered.Store(e.method+" "+strings.Join(e.path, "/"), true)
	}
	if a.Status != http.StatusOK {
		return ""
	}
	answered.Store(e.method+" "+strings.Join(e.path, "/"), true)
	var body any
	if err := json.Unmarshal(a.Body, &body); err != nil {
		return err.Error()
	}
	if path == "/_matrix/client/v3/events" {
		dropBeside(body)
	}
	for _, f := range e.fields {
		if problem := f.check(body, f.path); problem != "" {
			return strings.Join(f.path, "/") + ": " + problem
		}
	}
	return ""
}

// dropBeside takes from an answer of GET /events what is not of the form of events, which the specification has for all that is in it, though
// typing, receipts and presence came by it as well while it was not deprecated.
func dropBeside(body any) {
	answer, _ := body.(map[string]any)
	chunk, _ := answer["chunk"].([]any)
	kept := make([]any, 0, len(chunk))
	for _, element := range chunk {
		e, _ := element.(map[string]any)
		if kind, _ := e["type"].(string); kind != "m.typing" && kind != "m.receipt" && kind != "m.presence" {
			kept = append(kept, element)
		}
	}
	if len(kept) < len(chunk) {
		answer["chunk"] = kept
	}
}

// findEndpoint returns the endpoint of a path, nil when there is none. Rows without parameters go first.
func findEndpoint(method string, path []string) *endpoint {
	var found *endpoint
	for _, e := range endpoints() {
		if e.method != method || len(e.path) != len(path) {
			continue
		}
		exact, fits := true, true
		for i, part := range e.path {
			if strings.HasPrefix(part, "{") {
				exact = false
				fits = fits && (path[i] != "" || part == "{stateKey}")
			} else if part != path[i] {
				fits = false
			}
		}
		if fits && (found == nil || exact) {
			found = &e
		}
	}
	return found
}

// check looks for a field below a value.
func (f field) check(v any, path []string) string {
	if len(path) == 0 {
		if !isOf(v, f.kind) {
			return fmt.Sprintf("%v is not of type %s", v, f.kind)
		}
		return ""
	}
	name, optional := strings.CutSuffix(path[0], "?")
	name, each := strings.CutSuffix(name, "[]")
	name, optional2 := strings.CutSuffix(name, "?")
	if name == "*" {
		return f.members(v, path[1:])
	}
	if name != "" {
		object, ok := v.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is not an object with %s", v, name)
		}
		if v, ok = object[name]; !ok {
			if optional || optional2 {
				return ""
			}
			return "there is no " + name
		}
	}
	if !each {
		return f.check(v, path[1:])
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprintf("%s is not an array", name)
	}
	for _, element := range list {
		if problem := f.check(element, path[1:]); problem != "" {
			return problem
		}
	}
	return ""
}

// members checks the rest of a path in each member of an object.
func (f field) members(v any, path []string) string {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprintf("%v is not an object", v)
	}
	for _, member := range object {
		if problem := f.check(member, path); problem != "" {
			return problem
		}
	}
	return ""
}

func isOf(v any, kinds string) bool {
	for kind := range strings.SplitSeq(kinds, "|") {
		ok := true
		switch kind {
		case "string":
			_, ok = v.(string)
		case "boolean":
			_, ok = v.(bool)
		case "number":
			_, ok = v.(float64)
		case "integer":
			n, isNumber := v.(float64)
			ok = isNumber && n == float64(int64(n))
		case "array":
			_, ok = v.([]any)
		case "object":
			_, ok = v.(map[string]any)
		}
		if ok {
			return true
		}
	}
	return false
}
