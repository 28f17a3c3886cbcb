package eventauth

import (
	"encoding/json"
	"maps"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestIgnoredUsers(t *testing.T) {
	users := func(list ...id.UserID) map[id.UserID]bool {
		all := make(map[id.UserID]bool)
		for _, user := range list {
			all[user] = true
		}
		return all
	}
	for _, test := range []struct {
		name, content string
		want          map[id.UserID]bool
	}{
		{"nothing", ``, nil},
		{"no JSON", `{`, nil},
		{"an array", `[]`, nil},
		{"null", `null`, nil},
		{"empty", `{}`, nil},
		{"nobody", `{"ignored_users":{}}`, nil},
		{"one", `{"ignored_users":{"@a:b":{}}}`, users("@a:b")},
		{"two, and more", `{"ignored_users":{"@a:b":{"since":1},"@c:d":{}},"other":7}`, users("@a:b", "@c:d")},
		{"values of any type", `{"ignored_users":{"@a:b":null,"@c:d":[7]}}`, users("@a:b", "@c:d")},
		{"what is no user ID is nobody's", `{"ignored_users":{"":{},"x":{}}}`, users("", "x")},
		{"a list", `{"ignored_users":["@a:b"]}`, nil},
		{"of the wrong type", `{"ignored_users":7}`, nil},
		{"null for users", `{"ignored_users":null}`, nil},
		{"the same twice", `{"ignored_users":{"@a:b":{},"@a:b":{}}}`, users("@a:b")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := IgnoredUsers(json.RawMessage(test.content)); !maps.Equal(got, test.want) || (got == nil) != (test.want == nil) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func FuzzIgnoredUsers(f *testing.F) {
	f.Add(`{"ignored_users":{"@a:b":{}}}`)
	f.Add(`{"ignored_users":[]}`)
	f.Fuzz(func(t *testing.T, content string) {
		if users := IgnoredUsers(json.RawMessage(content)); users != nil && len(users) == 0 {
			t.Error("an empty map")
		}
	})
}
