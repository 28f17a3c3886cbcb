package sender

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/storetest"
	"causeway/registration"

	"maunium.net/go/mautrix"
)

// networked returns the registration of a service that serves networks.
func networked(t *testing.T, name string, protocols ...string) *registration.Registration {
	reg := register(t, name, `{}`)
	reg.Protocols = protocols
	return reg
}

const ircProtocol = `{"user_fields":["network","nickname"],"location_fields":["network","channel"],"icon":"mxc://test/irc",
	"field_types":{"network":{"regexp":".+","placeholder":"libera"},"nickname":{"regexp":".+","placeholder":"nick"},"odd":{"regexp":1}},
	"instances":[{"desc":"Libera","network_id":"libera","fields":{"network":"libera"}},{"desc":"no id"}],"secret":"x"}`

const ircMerged = `{"irc":{"user_fields":["network","nickname"],"location_fields":["network","channel"],"icon":"mxc://test/irc",` +
	`"field_types":{"network":{"regexp":".+","placeholder":"libera"},"nickname":{"regexp":".+","placeholder":"nick"}},` +
	`"instances":[{"desc":"Libera","fields":{"network":"libera"},"network_id":"libera","instance_id":"first|libera"},` +
	`{"desc":"OFTC","fields":{},"network_id":"oftc","instance_id":"second|oftc"}]}}`

// TestNetworks has two services serve one network, and others that hang, fail, or say what is of no use.
func TestNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, wrong := newService(), newService(), newService()
		first.answers(200, ircProtocol, nil)
		second.answers(200, `{"instances":[{"desc":"OFTC","network_id":"oftc","fields":7}]}`, nil)
		wrong.answers(200, `{"instances":7}`, nil)
		hung := &hangingService{tries: make(chan time.Time, 100)}
		none := newService()
		h := newHouse(t, storetest.New(t))
		s := h.senderOf(map[string]http.RoundTripper{"first": first, "second": second, "wrong": wrong, "hung": hung, "none": none},
			newSet(t, networked(t, "first", "irc"), networked(t, "hung", "irc", "xmpp"), networked(t, "second", "irc"),
				networked(t, "wrong", "irc"), networked(t, "none")))
		for range 3 {
			start := time.Now()
			got, err := s.Protocols(t.Context())
			if err != nil || string(got) != ircMerged {
				t.Fatalf("the networks are %s, %v; want %s", got, err, ircMerged)
			}
			if took := time.Since(start); took > lookupTimeout {
				t.Errorf("a service that hangs is waited for %v", took)
			}
			if n := len(first.requests); n != 1 {
				t.Fatalf("the service was asked %d times, want once", n)
			}
		}
		if n := len(hung.tries); n != 2 { // for irc, and for xmpp
			t.Errorf("the service that hangs was asked %d times, want 2", n)
		}
		if n := len(none.requests); n != 0 {
			t.Errorf("a service without networks was asked %d times", n)
		}
		if r := first.next(t); r.path != "/_matrix/app/v1/thirdparty/protocol/irc" || r.token != "Bearer hs-first" {
			t.Errorf("the question is %s with %q", r.path, r.token)
		}
		if got, err := s.Protocol(t.Context(), "irc"); err != nil || `{"irc":`+string(got)+`}` != ircMerged {
			t.Errorf("the network is %s, %v", got, err)
		}
		checkCode(t, "a network that hangs", errorOf(s.Protocol(t.Context(), "xmpp")), 504, "M_CONNECTION_TIMEOUT")
		checkCode(t, "a network that is none", errorOf(s.Protocol(t.Context(), "irc/../x\n")), 404, "M_NOT_FOUND")
		time.Sleep(protocolKept) // of the bubble
		if _, err := s.Protocols(t.Context()); err != nil || len(first.requests) != 1 {
			t.Errorf("after a while the service was asked %d times, %v", len(first.requests), err)
		}
	})
}

func errorOf(_ json.RawMessage, err error) error { return err }

func checkCode(t *testing.T, what string, err error, status int, code string) {
	t.Helper()
	var e mautrix.RespError
	if !errors.As(err, &e) || e.StatusCode != status || e.ErrCode != code {
		t.Errorf("%s: the error is %v, want %d %s", what, err, status, code)
	}
}

var findCases = []struct {
	name          string
	first, second reply
	want          string
	status        int
	code          string
}{
	{"both know", reply{status: 200, body: `[{"userid":"@a:test","protocol":"irc","fields":{"nickname":"a"},"more":1}]`},
		reply{status: 200, body: `[{"userid":"@b:test","protocol":"irc","fields":{}}]`},
		`[{"fields":{"nickname":"a"},"protocol":"irc","userid":"@a:test"},{"fields":{},"protocol":"irc","userid":"@b:test"}]`, 0, ""},
	{"one fails", reply{err: errors.New("refused")}, reply{status: 200, body: `[{"userid":"@b:test","protocol":"irc","fields":{}}]`},
		`[{"fields":{},"protocol":"irc","userid":"@b:test"}]`, 0, ""},
	{"nobody", reply{status: 404}, reply{status: 200, body: `[]`}, "", 404, "M_NOT_FOUND"},
	{"of no use", reply{status: 200, body: `[{"userid":7},{"userid":"@a:test","protocol":"xmpp","fields":{}},{"userid":"@a:test","protocol":"irc"},null]`},
		reply{status: 404}, "", 404, "M_NOT_FOUND"},
	{"no list", reply{status: 200, body: `{"userid":"@a:test"}`}, reply{status: 404}, "", 502, "M_BAD_STATUS"},
	{"unreachable", reply{err: errors.New("refused")}, reply{status: 404}, "", 502, "M_CONNECTION_FAILED"},
	{"500", reply{status: 500}, reply{status: 404}, "", 502, "M_BAD_STATUS"},
	{"too long", reply{status: 200, body: `["` + strings.Repeat("x", maxAnswerBytes) + `"]`}, reply{status: 404}, "", 502, "M_BAD_STATUS"},
}

func TestFind(t *testing.T) {
	for _, c := range findCases {
		t.Run(c.name, func(t *testing.T) {
			first, second := newService(), newService()
			first.answers(c.first.status, c.first.body, c.first.err)
			second.answers(c.second.status, c.second.body, c.second.err)
			h := newHouse(t, storetest.New(t))
			s := h.senderOf(map[string]http.RoundTripper{"first": first, "second": second},
				newSet(t, networked(t, "first", "irc"), networked(t, "second", "irc", "x")))
			got, err := s.Users(t.Context(), "irc", url.Values{"nickname": {"a&b"}})
			if string(got) != c.want {
				t.Errorf("found %s, want %s", got, c.want)
			}
			if c.status != 0 {
				checkCode(t, "users", err, c.status, c.code)
			}
			if r := first.next(t); r.path != "/_matrix/app/v1/thirdparty/user/irc" {
				t.Errorf("asked for %s", r.path)
			}
			_, err = s.Users(t.Context(), "nothing", url.Values{})
			checkCode(t, "another network", err, 404, "M_NOT_FOUND")
			_, err = s.Locations(t.Context(), "irc", url.Values{"channel": {strings.Repeat("x", maxFieldsQuery)}})
			checkCode(t, "too long a question", err, 400, "M_INVALID_PARAM")
			if n := len(first.requests); n != 0 {
				t.Errorf("the service was asked %d times more", n)
			}
		})
	}
}

// TestTooManyLookups asks more than is remembered.
func TestTooManyLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &hangingService{tries: make(chan time.Time, 2*maxLookups)}
		h := newHouse(t, storetest.New(t))
		s := h.sender(hung, newSet(t, networked(t, "irc", "irc")))
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for i := range maxLookups {
			asking.Go(func() { _, _ = s.Users(ctx, "irc", url.Values{"n": {strings.Repeat("x", i)}}) })
		}
		synctest.Wait()
		_, err := s.Users(t.Context(), "irc", url.Values{"n": {"one more"}})
		checkCode(t, "one too many", err, 503, "M_CONNECTION_TIMEOUT")
		cancel()
		asking.Wait()
		time.Sleep(lookupTimeout)
		_, err = s.Users(t.Context(), "irc", url.Values{"n": {"one more"}})
		checkCode(t, "then", err, 504, "M_CONNECTION_TIMEOUT")
		if n := len(s.lookups.all); n > maxLookups {
			t.Errorf("%d are remembered, want at most %d", n, maxLookups)
		}
	})
}

// FuzzThirdParty reads what services may say of networks, users and places: what of it clients are shown is what the specification has.
func FuzzThirdParty(f *testing.F) {
	f.Add([]byte(ircProtocol))
	for _, c := range findCases {
		f.Add([]byte(c.first.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reg := &registration.Registration{ID: "irc", Protocols: []string{"irc"}}
		a := found{question: question{client: &client{matcher: newMatcher(reg, "test")}, protocol: "irc"}, body: body}
		if p, err := readProtocol(a); err == nil {
			raw, err := json.Marshal(merge(nil, p))
			var shown struct {
				UserFields     *[]string `json:"user_fields"`
				LocationFields *[]string `json:"location_fields"`
				Icon           *string   `json:"icon"`
				FieldTypes     *map[string]struct {
					Regexp      *string `json:"regexp"`
					Placeholder *string `json:"placeholder"`
				} `json:"field_types"`
				Instances *[]struct {
					Fields map[string]any `json:"fields"`
					ID     string         `json:"instance_id"`
				} `json:"instances"`
			}
			if err != nil || json.Unmarshal(raw, &shown) != nil || shown.UserFields == nil || shown.LocationFields == nil || shown.Icon == nil ||
				shown.FieldTypes == nil || shown.Instances == nil {
				t.Fatalf("%q became %q, %v", body, raw, err)
			}
			for _, kind := range *shown.FieldTypes {
				if kind.Regexp == nil || kind.Placeholder == nil {
					t.Errorf("%q became %q", body, raw)
				}
			}
			for _, i := range *shown.Instances {
				if i.Fields == nil || !strings.HasPrefix(i.ID, "irc|") {
					t.Errorf("%q became %q", body, raw)
				}
			}
		}
		things, _ := readThings(a, "userid")
		for _, raw := range things {
			var shown struct {
				UserID   *string        `json:"userid"`
				Protocol *string        `json:"protocol"`
				Fields   map[string]any `json:"fields"`
			}
			if json.Unmarshal(raw, &shown) != nil || shown.UserID == nil || shown.Protocol == nil || shown.Fields == nil {
				t.Errorf("%q became %q", body, raw)
			}
		}
	})
}
