package focus

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	alicesToken = `"openid_token":{"access_token":"alice's","matrix_server_name":"test","token_type":"Bearer","expires_in":3600}`
	legacyBody  = `{"room":"!room:test","device_id":"D",` + alicesToken + `}`
	memberBody  = `{"room_id":"!room:test","slot_id":"m.call#ROOM","member":{"id":"m","claimed_user_id":"@alice:test","claimed_device_id":"D"},` + alicesToken + `}`
)

// TestTokens asks for tokens in the forms that clients have.
func TestTokens(t *testing.T) {
	alias, identity := Alias(room, DefaultSlot), Identity(alice, "D", "m")
	for _, test := range []struct{ name, path, body, jwt string }{
		{"the older form", "/sfu/get", legacyBody, alias + " @alice:test:D true 1h0m0s"},
		{"with what we do not know", "/sfu/get", strings.Replace(legacyBody, `{`, `{"new":{"x":[1]},`, 1), alias + " @alice:test:D true 1h0m0s"},
		{"with an empty delay", "/sfu/get", strings.Replace(legacyBody, `{`, `{"delay_id":"","delay_timeout":0,"delay_cs_api_url":"",`, 1), alias + " @alice:test:D true 1h0m0s"},
		{"the newer form", "/get_token", memberBody, alias + " " + identity + " true 1h0m0s"},
		{"the newest form", "/get_token", `{"room_id":"!room:test","slot_id":"m.call#ROOM","member_id":"m","device_id":"D",` + alicesToken + `}`, alias + " " + identity + " true 1h0m0s"},
		{"another slot", "/get_token", strings.Replace(memberBody, "#ROOM", "#OTHER", 1), Alias(room, "m.call#OTHER") + " " + identity + " true 1h0m0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.let(alice, "D", everything)
			a := ask(t, w.service(), http.MethodPost, test.path, test.body)
			if a.status != http.StatusOK || a.JWT != test.jwt || a.URL != "wss://test/livekit/sfu" {
				t.Errorf("got %d %s, want the token %s", a.status, a.body, test.jwt)
			}
		})
	}
}

// TestWhoMayPublish has the power levels of the way by which a client says that it is in a call decide.
func TestWhoMayPublish(t *testing.T) {
	for _, test := range []struct {
		name           string
		access         Access
		legacy, member bool
	}{
		{"everything", everything, true, true},
		{"by state alone", Access{Joined: true, ByState: true}, true, false},
		{"by sticky events alone", Access{Joined: true, BySticky: true}, false, true},
		{"nothing", Access{Joined: true}, false, false},
	} {
		w := newWorld()
		w.let(alice, "D", test.access)
		s := w.service()
		for path, want := range map[string]bool{"/sfu/get": test.legacy, "/get_token": test.member} {
			body := map[string]string{"/sfu/get": legacyBody, "/get_token": memberBody}[path]
			if a := ask(t, s, http.MethodPost, path, body); !strings.Contains(a.JWT, fmt.Sprintf(" %t ", want)) {
				t.Errorf("%s: %s: got %d %s, want that one may publish %t", test.name, path, a.status, a.body, want)
			}
		}
	}
}

// TestRefusedTokens asks for tokens that nobody is to get, and in forms that nobody is to use.
func TestRefusedTokens(t *testing.T) {
	huge := `{"room":"` + strings.Repeat("x", maxBody) + `"}`
	deep := strings.Repeat(`{"a":`, 5000) + `1` + strings.Repeat(`}`, 5000)
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no body", "POST", "/sfu/get", ``, 400, "M_NOT_JSON"},
		{"no JSON", "POST", "/sfu/get", `{`, 400, "M_NOT_JSON"},
		{"no object", "POST", "/sfu/get", `[]`, 400, "M_BAD_JSON"},
		{"nothing", "POST", "/sfu/get", `{}`, 400, "M_BAD_JSON"},
		{"null", "POST", "/get_token", `null`, 400, "M_BAD_JSON"},
		{"a room of the wrong type", "POST", "/sfu/get", `{"room":7,` + alicesToken + `}`, 400, "M_BAD_JSON"},
		{"a body that is too large", "POST", "/sfu/get", huge, 413, "M_TOO_LARGE"},
		{"a body that is deep", "POST", "/sfu/get", deep, 400, "M_BAD_JSON"},
		{"no room", "POST", "/sfu/get", strings.Replace(legacyBody, "!room:test", "", 1), 400, "M_BAD_JSON"},
		{"an alias", "POST", "/sfu/get", strings.Replace(legacyBody, "!room:test", "#room:test", 1), 400, "M_BAD_JSON"},
		{"no device", "POST", "/sfu/get", strings.Replace(legacyBody, `"D"`, `""`, 1), 400, "M_BAD_JSON"},
		{"a device of NULs", "POST", "/sfu/get", strings.Replace(legacyBody, `"D"`, `"\u0000"`, 1), 400, "M_BAD_JSON"},
		{"another's device", "POST", "/sfu/get", strings.Replace(legacyBody, `"D"`, `"B"`, 1), 401, "M_UNAUTHORIZED"},
		{"another room", "POST", "/sfu/get", strings.Replace(legacyBody, "!room", "!other", 1), 401, "M_UNAUTHORIZED"},
		{"an unknown OpenID token", "POST", "/sfu/get", strings.Replace(legacyBody, "alice's", "eve's", 1), 401, "M_UNAUTHORIZED"},
		{"no OpenID token", "POST", "/sfu/get", strings.Replace(legacyBody, "alice's", "", 1), 400, "M_BAD_JSON"},
		{"a user of another server", "POST", "/sfu/get", strings.Replace(legacyBody, `name":"test`, `name":"elsewhere`, 1), 403, "M_FORBIDDEN"},
		{"a member of another name", "POST", "/get_token", strings.Replace(memberBody, "@alice", "@bob", 1), 403, "M_FORBIDDEN"},
		{"another's member", "POST", "/get_token", strings.Replace(memberBody, "alice's", "bob's", 1), 403, "M_FORBIDDEN"},
		{"no member", "POST", "/get_token", strings.Replace(memberBody, `"member"`, `"other"`, 1), 400, "M_BAD_JSON"},
		{"a member without an id", "POST", "/get_token", strings.Replace(memberBody, `"m"`, `""`, 1), 400, "M_BAD_JSON"},
		{"a long id", "POST", "/get_token", strings.Replace(memberBody, `"m"`, `"`+strings.Repeat("m", 256)+`"`, 1), 400, "M_BAD_JSON"},
		{"no slot", "POST", "/get_token", strings.Replace(memberBody, `m.call#ROOM`, ``, 1), 400, "M_BAD_JSON"},
		{"to delegate nothing", "POST", "/delegate_delayed_leave", memberBody, 400, "M_BAD_JSON"},
		{"the probe of clients", "POST", "/delegate_delayed_leave", ``, 400, "M_NOT_JSON"},
		{"another method", "GET", "/sfu/get", ``, 405, "M_UNRECOGNIZED"},
		{"another path", "POST", "/sfu", ``, 404, "M_UNRECOGNIZED"},
		{"the root", "GET", "/", ``, 404, "M_UNRECOGNIZED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.let(alice, "D", everything)
			s := w.service()
			a := ask(t, s, test.method, test.path, test.body)
			if a.status != test.status || a.ErrCode != test.code {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, test.status, test.code)
			}
			if len(w.rows) > 0 || len(s.seats) > 0 {
				t.Errorf("somebody has got a seat: %v", w.rows)
			}
		})
	}
}

// TestNotInTheRoom has who is not in a room, and who has no such device, told both alike why they get no token.
func TestNotInTheRoom(t *testing.T) {
	w := newWorld()
	w.let(alice, "D", everything)
	s := w.service()
	want := "You may not come into this call: you are not joined to the room, or the device is not yours"
	for _, body := range []string{strings.Replace(legacyBody, "!room", "!other", 1), strings.Replace(legacyBody, `"D"`, `"B"`, 1)} {
		if a := ask(t, s, http.MethodPost, "/sfu/get", body); a.status != http.StatusUnauthorized || !strings.Contains(a.body, want) {
			t.Errorf("got %d %s, want 401 and %q", a.status, a.body, want)
		}
	}
}

func TestOtherEndpoints(t *testing.T) {
	w := newWorld()
	s := w.service()
	if a := ask(t, s, http.MethodGet, "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
	for _, path := range []string{"/sfu/get", "/get_token", "/delegate_delayed_leave", "/healthz", "/other"} {
		a := ask(t, s, http.MethodOptions, path, "")
		if a.status != http.StatusOK || !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Content-Type") || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") {
			t.Errorf("OPTIONS %s: %d %v", path, a.status, a.header)
		}
	}
	// Where nothing can be delegated, the probe of clients finds nothing.
	without := w.service(func(c *Config) { c.Delays = nil })
	if a := ask(t, without, http.MethodPost, "/delegate_delayed_leave", ""); a.status != http.StatusNotFound || a.ErrCode != "M_UNRECOGNIZED" {
		t.Errorf("without delayed events: %d %s", a.status, a.body)
	}
	w.let(alice, "D", everything)
	body := strings.Replace(legacyBody, "{", `{"delay_id":"x","delay_timeout":1,`, 1)
	if a := ask(t, without, http.MethodPost, "/sfu/get", body); a.status != http.StatusOK {
		t.Errorf("a token where nothing can be delegated: %d %s", a.status, a.body)
	}
}

// TestRemoteUsers has users of another server, once it can be asked, who vouches for its own alone.
func TestRemoteUsers(t *testing.T) {
	w := newWorld()
	w.let(carol, "D", everything)
	w.let(alice, "D", everything)
	s := w.service(func(c *Config) { c.Remote = w })
	for _, test := range []struct {
		name, token, server string
		status              int
		code                string
	}{
		{"her own", "carol's", "elsewhere", 200, ""},
		{"another server's user", "alice's", "elsewhere", 401, "M_UNAUTHORIZED"},
		{"of no such token", "nobody's", "elsewhere", 401, "M_UNAUTHORIZED"},
		{"of a server that is down", "down", "elsewhere", 500, "M_UNKNOWN"},
	} {
		body := `{"room":"!room:test","device_id":"D","openid_token":{"access_token":"` + test.token + `","matrix_server_name":"` + test.server + `"}}`
		if a := ask(t, s, http.MethodPost, "/sfu/get", body); a.status != test.status || a.ErrCode != test.code {
			t.Errorf("%s: got %d %s, want %d %s", test.name, a.status, a.body, test.status, test.code)
		}
	}
}

// TestTokenLimits bounds how often and how many tokens a user asks for.
func TestTokenLimits(t *testing.T) {
	w := newWorld()
	w.let(alice, "D", everything)
	w.let(bob, "B", everything)
	s := w.service()
	for i := range burst {
		body := strings.Replace(memberBody, `"m"`, fmt.Sprintf(`"m%d"`, i), 1)
		if a := ask(t, s, http.MethodPost, "/get_token", body); a.status != http.StatusOK {
			t.Fatalf("token %d: %d %s", i, a.status, a.body)
		}
	}
	a := ask(t, s, http.MethodPost, "/get_token", memberBody)
	if a.status != http.StatusTooManyRequests || a.ErrCode != "M_LIMIT_EXCEEDED" || !strings.Contains(a.body, "retry_after_ms") || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s %v", a.status, a.body, a.header)
	}
	bobs := strings.NewReplacer("alice", "bob", `"D"`, `"B"`).Replace(memberBody)
	if a := ask(t, s, http.MethodPost, "/get_token", bobs); a.status != http.StatusOK {
		t.Errorf("another user: %d %s", a.status, a.body)
	}
	// Of seats, one goes whose token ends soon, and that nobody sits on.
	s = w.service()
	first := key{}
	for i := range maxSeats + 1 {
		row := Seat{Alias: "a", Identity: fmt.Sprint(i), RoomID: room, UserID: alice, DeviceID: "D", UntilTS: int64(i)}
		if err := s.take(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = key{"a", "0"}
			s.Joined("a", "0", true)
		}
	}
	if s.seats[first] == nil || s.seats[key{"a", "1"}] != nil || len(s.seats) != maxSeats {
		t.Errorf("%d seats are left; the first %v, the second %v", len(s.seats), s.seats[first], s.seats[key{"a", "1"}])
	}
	if _, ok := w.row(key{"a", "1"}); ok {
		t.Error("the row of a seat is left that is gone")
	}
}

// TestTrouble shows nobody what is wrong inside.
func TestTrouble(t *testing.T) {
	w := newWorld()
	w.let(alice, "D", everything)
	s := w.service()
	w.fail(errors.New("the secret of the database"))
	a := ask(t, s, http.MethodPost, "/sfu/get", legacyBody)
	if a.status != http.StatusInternalServerError || a.ErrCode != "M_UNKNOWN" || strings.Contains(a.body, "secret") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// TestIdentityOfAnother has a device whose name is the end of a server's and another's device. The older identities of both are the same.
func TestIdentityOfAnother(t *testing.T) {
	w := newWorld()
	w.openID["x"] = "@a:test"
	w.let("@a:test", "8448:D", everything)
	w.let("@a:test:8448", "D", everything)
	s := w.service()
	if _, err := s.Token(t.Context(), Who{UserID: "@a:test:8448"}, Member{RoomID: room, DeviceID: "D", Legacy: true}); err != nil {
		t.Fatal(err)
	}
	body := `{"room":"!room:test","device_id":"8448:D","openid_token":{"access_token":"x","matrix_server_name":"test"}}`
	if a := ask(t, s, http.MethodPost, "/sfu/get", body); a.status != http.StatusForbidden {
		t.Errorf("got %d %s, want 403", a.status, a.body)
	}
}

// FuzzBody reads bodies of strangers.
func FuzzBody(f *testing.F) {
	for _, body := range []string{legacyBody, memberBody, `{}`, `null`, `[]`, `{"member":null,"openid_token":null}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld()
		s := w.service()
		for _, path := range []string{"/sfu/get", "/get_token", "/delegate_delayed_leave"} {
			if a := ask(t, s, http.MethodPost, path, string(body)); a.status < 400 || a.status >= 500 || a.ErrCode == "" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
	})
}
