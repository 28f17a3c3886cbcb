package bridges

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// askableNetwork knows one chat and one person. Whatever else is asked for is a failure.
type askableNetwork struct{ *loopNetwork }

var errAsked = errors.New("was asked")

func (askableNetwork) ThirdParty() ThirdParty {
	return ThirdParty{
		Name: "loop", UserFields: []string{"name"}, LocationFields: []string{"chat", "net"}, Icon: "mxc://hs.test/icon",
		FieldTypes: map[string]ThirdPartyField{
			"name": {Regexp: "a|b", Placeholder: "a"}, "chat": {Regexp: "[a-z]+", Placeholder: "chat"}, "net": {Regexp: "x", Placeholder: "x"},
		},
		Instances: []ThirdPartyInstance{{NetworkID: "x", Desc: "X", Fields: map[string]string{"net": "x"}}},
	}
}

func (n askableNetwork) FindLocations(_ context.Context, fields map[string]string) ([]ThirdPartyLocation, error) {
	switch fields["chat"] {
	case "chat":
		return []ThirdPartyLocation{{Alias: "#loop_chat:hs.test", Fields: fields}}, nil
	case "many":
		return make([]ThirdPartyLocation, 2*maxThirdParties), nil
	case "none":
		return nil, nil
	}
	return nil, errAsked
}

func (n askableNetwork) FindUsers(_ context.Context, fields map[string]string) ([]ThirdPartyUser, error) {
	if fields["name"] == "a" && len(fields) == 1 {
		return []ThirdPartyUser{{UserID: "@loop_a:hs.test"}}, nil
	}
	return nil, errAsked
}

func (n askableNetwork) LocationsOf(_ context.Context, alias id.RoomAlias) ([]ThirdPartyLocation, error) {
	if alias == "#loop_chat:hs.test" {
		return []ThirdPartyLocation{{Alias: alias, Fields: map[string]string{"chat": "chat"}}}, nil
	}
	return nil, errAsked
}

func (n askableNetwork) UsersOf(_ context.Context, user id.UserID) ([]ThirdPartyUser, error) {
	if user == "@loop_a:hs.test" {
		return []ThirdPartyUser{{UserID: user, Fields: map[string]string{"name": "a"}}}, nil
	}
	return nil, errAsked
}

// TestThirdParty asks about a network. Application Service API, Third-party networks.
func TestThirdParty(t *testing.T) {
	const (
		chat = `[{"alias":"#loop_chat:hs.test","protocol":"loop","fields":{"chat":"chat"}}]`
		none = "M_NOT_FOUND"
	)
	w := startOn(t, askableNetwork{newLoopNetwork()})
	long := strings.Repeat("a", maxFieldBytes+1)
	for _, test := range []struct {
		name, path string
		status     int
		want       string // of the body
	}{
		{"what it is", "protocol/loop", 200, `"user_fields":["name"],"location_fields":["chat","net"],"icon":"mxc://hs.test/icon"`},
		{"its instances", "protocol/loop", 200, `"instances":[{"network_id":"x","desc":"X","fields":{"net":"x"}}]`},
		{"another", "protocol/irc", 404, none},
		{"a place", "location/loop?chat=chat", 200, chat},
		{"a place and more", "location/loop?chat=chat&name=a&access_token=x", 200, chat},
		{"no place", "location/loop?chat=none", 404, none},
		{"many places", "location/loop?chat=many", 200, ``},
		{"a place of another network", "location/irc?chat=chat", 404, none},
		{"of no fields", "location/loop", 404, none},
		{"a field that is none", "location/loop?name=a", 404, none},
		{"a part of a field", "location/loop?chat=chat1", 404, none},
		{"a line too many", "location/loop?chat=chat%0a", 404, none},
		{"a wrong second field", "location/loop?chat=chat&net=y", 404, none},
		{"a field twice", "location/loop?chat=chat&chat=chat", 404, none},
		{"a long field", "location/loop?chat=" + long, 404, none},
		{"a long question", "location/loop?chat=chat&x=" + strings.Repeat("a", maxQuestionBytes), 404, none},
		{"a failure", "location/loop?chat=broken", 500, "M_UNKNOWN"},
		{"somebody", "user/loop?name=a", 200, `[{"userid":"@loop_a:hs.test","protocol":"loop","fields":{}}]`},
		{"an alternative", "user/loop?name=ba", 404, none},
		{"what place", "location?alias=%23loop_chat:hs.test", 200, chat},
		{"another's place", "location?alias=%23other:hs.test", 404, none},
		{"a place elsewhere", "location?alias=%23loop_chat:other.test", 404, none},
		{"a long alias", "location?alias=%23loop_" + long + ":hs.test", 404, none},
		{"no alias", "location", 404, none},
		{"whom", "user?userid=%40loop_a:hs.test", 200, `[{"userid":"@loop_a:hs.test","protocol":"loop","fields":{"name":"a"}}]`},
		{"a person", "user?userid=%40alice:hs.test", 404, none},
		{"the bot", "user?userid=" + url.QueryEscape(string(w.Bot())), 404, none},
		{"no user", "user", 404, none},
		{"something else", "other/loop", 404, none},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := w.ask(test.path, w.Registration().HSToken)
			if status != test.status || !strings.Contains(body, test.want) || strings.Contains(body, errAsked.Error()) {
				t.Errorf("got %d %s, want %d with %s", status, body, test.status, test.want)
			}
			var things []json.RawMessage
			if json.Unmarshal([]byte(body), &things) == nil && len(things) > maxThirdParties {
				t.Errorf("got %d things", len(things))
			}
			for _, token := range []string{"", "wrong", w.Registration().ASToken} {
				if status, body := w.ask(test.path, token); status != 401 && status != 403 {
					t.Errorf("a stranger got %d %s", status, body)
				}
			}
		})
	}
	if got := w.Registration().Protocols; len(got) != 1 || got[0] != "loop" {
		t.Errorf("got the protocols %q in the registration, want loop", got)
	}
}

// TestNotAskable is a network about which nothing can be asked.
func TestNotAskable(t *testing.T) {
	w := startOn(t, newLoopNetwork())
	for _, path := range []string{"protocol/loop", "user/loop?name=a", "user?userid=%40loop_a:hs.test", "location?alias=%23loop_chat:hs.test"} {
		if status, body := w.ask(path, w.Registration().HSToken); status != 404 || !strings.Contains(body, "M_NOT_FOUND") {
			t.Errorf("%s: got %d %s, want M_NOT_FOUND", path, status, body)
		}
	}
	if got := w.Registration().Protocols; len(got) != 0 {
		t.Errorf("got the protocols %q in the registration, want none", got)
	}
}

// startOn is startWorld with another network.
func startOn(t *testing.T, network bridgev2.NetworkConnector) *world {
	t.Helper()
	return startWith(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), func(o *Options) { o.Network = network }, nil)
}

// ask asks the bridge about a third-party network, as a homeserver.
func (w *world) ask(path, token string) (status int, body string) {
	r := httptest.NewRequest(http.MethodGet, "/_matrix/app/v1/thirdparty/"+path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer := httptest.NewRecorder()
	w.Handler().ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}
