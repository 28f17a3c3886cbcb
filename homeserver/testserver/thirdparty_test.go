package testserver_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"causeway/appservice/sender"
	"causeway/homeserver"
	"causeway/registration"

	"github.com/rs/zerolog"
)

// network is an application service that serves a network: it answers by path and query, and remembers what it was asked.
type network struct {
	answers map[string]string

	mu    sync.Mutex // guards asked
	asked []string
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked = append(n.asked, r.URL.RequestURI())
	n.mu.Unlock()
	body, ok := n.answers[strings.TrimPrefix(r.URL.RequestURI(), "/_matrix/app/v1/thirdparty/")]
	status := http.StatusOK
	if !ok {
		status, body = http.StatusNotFound, `{"errcode":"M_NOT_FOUND","error":"no"}`
	}
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// down cannot be reached.
type down struct{}

func (down) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// TestThirdPartyNetworks asks what application services say of their networks. Client-Server API, "Third-party Networks". Another
// service is down; sender has the test of one that hangs.
func TestThirdPartyNetworks(t *testing.T) {
	const person, place = `{"userid":"@irc_a:test","protocol":"irc","fields":{"nickname":"a"}}`, `{"alias":"#irc_x:test","protocol":"irc","fields":{"channel":"#x"}}`
	serves := &network{answers: map[string]string{
		"protocol/irc": `{"user_fields":["nickname"],"location_fields":["channel"],"icon":"mxc://test/a","field_types":{
			"nickname":{"regexp":".*","placeholder":"a"},"channel":{"regexp":".*","placeholder":"#x"}},"instances":[{"network_id":"net","desc":"Net","fields":{}}]}`,
		"user/irc?nickname=a+%26b":          "[" + person + "]",
		"user?userid=%40irc_a%3Atest":       "[" + person + "]",
		"location/irc?channel=%23x":         "[" + place + "]",
		"location?alias=%23irc_x%3Atest":    "[" + place + "]",
		"location/irc?channel=%23secret":    "[]",
		"user/irc?nickname=odd&ts=1&x=a%2F": "[" + person + "]",
	}}
	irc, limited := services(t).ByID("irc"), services(t).ByID("limited")
	irc.URL, irc.Protocols = "http://irc.invalid", []string{"irc"}
	limited.URL, limited.Protocols = "http://down.invalid", []string{"irc"}
	set, err := registration.NewSet(irc, limited)
	if err != nil {
		t.Fatal(err)
	}
	each(t, "alice", func(s *script) {
		s.tokens["irc"] = irc.ASToken
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`)
		s.words["room"] = s.text("irc POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("irc PUT /directory/list/appservice/net/<room>", `{"visibility":"public"}`)
		s.run([]step{
			{"networks", "alice GET /thirdparty/protocols", ``, 200, "irc/instances/0/network_id=net irc/icon=mxc://test/a irc/user_fields:array", ""},
			{"a network", "alice GET /thirdparty/protocol/irc", ``, 200, "instances/0/instance_id:string field_types/nickname/regexp=.*", "instance=instances/0/instance_id"},
			{"its rooms", "alice POST /publicRooms", `{"third_party_instance_id":"<instance>"}`, 200, "chunk/0/room_id=<room>", ""},
			{"all networks' rooms", "alice POST /publicRooms", `{"include_all_networks":true}`, 200, "chunk/0/room_id=<room>", ""},
			{"the server's own", "alice POST /publicRooms", `{}`, 200, "chunk:empty", ""},
			{"take it out by the other method", "irc DELETE /directory/list/appservice/net/<room>", ``, 200, "{}", ""},
			{"it is gone", "alice POST /publicRooms", `{"third_party_instance_id":"<instance>"}`, 200, "chunk:empty", ""},
			{"who", "alice GET /thirdparty/user/irc?nickname=a%20%26b", ``, 200, "0/userid=@irc_a:test 1:absent", ""},
			{"of whom", "alice GET /thirdparty/user?userid=@irc_a:test", ``, 200, "0/fields/nickname=a", ""},
			{"where", "alice GET /thirdparty/location/irc?channel=%23x", ``, 200, "0/alias=#irc_x:test", ""},
			{"what place", "alice GET /thirdparty/location?alias=%23irc_x:test", ``, 200, "0/fields/channel=#x", ""},
			{"as a service", "irc GET /thirdparty/location/irc?channel=%23x&user_id=@irc_a:test", ``, 200, "0/alias=#irc_x:test", ""},
			{"a person's parameters are fields", "alice GET /thirdparty/user/irc?x=a/&nickname=odd&ts=1", ``, 200, "0/userid=@irc_a:test", ""},
			{"nobody, as far as could be asked", "alice GET /thirdparty/user/irc?nickname=nobody", ``, 502, "M_CONNECTION_FAILED", ""},
			{"no network", "alice GET /thirdparty/protocol/none", ``, 404, "M_NOT_FOUND", ""},
			{"nobody of no network", "alice GET /thirdparty/user/none?x=y", ``, 404, "M_NOT_FOUND", ""},
			{"nobody", "alice GET /thirdparty/user", ``, 400, "M_MISSING_PARAM", ""},
			{"nowhere", "alice GET /thirdparty/location", ``, 400, "M_MISSING_PARAM", ""},
			{"a stranger", "nobody GET /thirdparty/protocols", ``, 401, "M_MISSING_TOKEN", ""},
			{"a stranger asks who", "nobody GET /thirdparty/user/irc?nickname=a", ``, 401, "M_MISSING_TOKEN", ""},
		})
		for _, path := range serves.asked {
			if strings.Contains(path, "token") || strings.Contains(path, "user_id") {
				s.t.Errorf("the service was asked %s", path)
			}
		}
	}, func(c *homeserver.Config) {
		c.AppServices = func() *registration.Set { return set }
		c.Networks = sender.New(sender.Options{
			DB: c.DB, Bus: c.Bus, ServerName: c.ServerName, Registrations: c.AppServices, Log: zerolog.Nop(),
			Transport: func(reg *registration.Registration) http.RoundTripper {
				if reg.ID == "irc" {
					return serves
				}
				return down{}
			},
		})
	})
}

// TestNoNetworks is a server whose services bridge nothing.
func TestNoNetworks(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{"networks", "alice GET /thirdparty/protocols", ``, 200, "{}", ""},
			{"a network", "alice GET /thirdparty/protocol/irc", ``, 404, "M_NOT_FOUND", ""},
			{"somebody", "alice GET /thirdparty/user/irc", ``, 404, "M_NOT_FOUND", ""},
			{"somebody's", "alice GET /thirdparty/user?userid=@a:test", ``, 404, "M_NOT_FOUND", ""},
			{"a place", "alice GET /thirdparty/location/irc", ``, 404, "M_NOT_FOUND", ""},
			{"what place", "alice GET /thirdparty/location?alias=%23a:test", ``, 404, "M_NOT_FOUND", ""},
		})
	})
}
