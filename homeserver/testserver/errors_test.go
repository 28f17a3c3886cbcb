package testserver_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
)

// proper are for requests that would be answered with 200, or by what else is wrong with the request, by "METHOD /path" below
// /_matrix/client/ and the version. Each field has the type that it must have.
var proper = map[string]string{
	"POST /login":                      `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"x","device_id":"X","initial_device_display_name":"x"}`,
	"POST /register":                   `{"username":"x","password":"x","device_id":"X","initial_device_display_name":"x","inhibit_login":true,"auth":{}}`,
	"POST /account/password":           `{"new_password":"x","logout_devices":true,"auth":{}}`,
	"POST /account/deactivate":         `{"auth":{},"erase":true,"id_server":"x"}`,
	"POST /refresh":                    `{"refresh_token":"x"}`,
	"POST /login/get_token":            `{"auth":{}}`,
	"POST /delete_devices":             `{"auth":{},"devices":["X"]}`,
	"PUT /devices/{deviceId}":          `{"display_name":"x"}`,
	"PUT /admin/suspend/{userId}":      `{"suspended":true}`,
	"PUT /admin/lock/{userId}":         `{"locked":true}`,
	"POST /_synapse/admin/v1/register": `{"nonce":"x","username":"x","password":"x","mac":"x","admin":true,"displayname":"x"}`,
	"POST /user/{userId}/filter":       `{"room":{},"presence":{},"account_data":{},"event_fields":[],"event_format":"client"}`,
	"POST /account/3pid":               `{"three_pid_creds":{"sid":"x","client_secret":"x","id_server":"x","id_access_token":"x"}}`,
	"POST /account/3pid/add":           `{"sid":"x","client_secret":"x","auth":{}}`,
	"POST /account/3pid/bind":          `{"sid":"x","client_secret":"x","id_server":"x","id_access_token":"x"}`,
	"POST /account/3pid/unbind":        `{"medium":"email","address":"a@example.org","id_server":"x"}`,
	"POST /account/3pid/delete":        `{"medium":"email","address":"a@example.org","id_server":"x"}`,

	"POST /account/3pid/email/requestToken":      `{"client_secret":"x","email":"a@example.org","send_attempt":1,"next_link":"x"}`,
	"POST /account/password/email/requestToken":  `{"client_secret":"x","email":"a@example.org","send_attempt":1,"next_link":"x"}`,
	"POST /register/email/requestToken":          `{"client_secret":"x","email":"a@example.org","send_attempt":1,"next_link":"x"}`,
	"POST /account/3pid/msisdn/requestToken":     `{"client_secret":"x","country":"CH","phone_number":"x","send_attempt":1,"next_link":"x"}`,
	"POST /account/password/msisdn/requestToken": `{"client_secret":"x","country":"CH","phone_number":"x","send_attempt":1,"next_link":"x"}`,
	"POST /register/msisdn/requestToken":         `{"client_secret":"x","country":"CH","phone_number":"x","send_attempt":1,"next_link":"x"}`,
	"POST /_causeway/threepid/submitToken":       `{"sid":"x","client_secret":"x","token":"x"}`,

	"PUT /presence/{userId}/status":                                            `{"presence":"online","status_msg":"x"}`,
	"PUT /user/{userId}/rooms/{roomId}/tags/{tag}":                             `{"order":0.5}`,
	"PUT /pushrules/global/{kind}/{ruleId}":                                    `{"actions":[],"conditions":[]}`,
	"PUT /pushrules/global/{kind}/{ruleId}/enabled":                            `{"enabled":true}`,
	"PUT /pushrules/global/{kind}/{ruleId}/actions":                            `{"actions":[]}`,
	"PUT /profile/{userId}/{keyName}":                                          `{"displayname":"x"}`,
	"PUT /uk.tcpip.msc4133/profile/{userId}/{keyName}":                         `{"displayname":"x"}`,
	"POST /createRoom":                                                         `{"name":"x","topic":"x","preset":"private_chat","visibility":"private","invite":[],"is_direct":true,"initial_state":[],"creation_content":{},"room_version":"11","power_level_content_override":{},"room_alias_name":"x","invite_3pid":[]}`,
	"POST /join/{roomIdOrAlias}":                                               `{"reason":"x"}`,
	"POST /knock/{roomIdOrAlias}":                                              `{"reason":"x"}`,
	"POST /rooms/{roomId}/join":                                                `{"reason":"x"}`,
	"POST /rooms/{roomId}/leave":                                               `{"reason":"x"}`,
	"POST /rooms/{roomId}/invite":                                              `{"user_id":"@bob:test","reason":"x"}`,
	"POST /rooms/{roomId}/kick":                                                `{"user_id":"@bob:test","reason":"x"}`,
	"POST /rooms/{roomId}/ban":                                                 `{"user_id":"@bob:test","reason":"x"}`,
	"POST /rooms/{roomId}/unban":                                               `{"user_id":"@bob:test","reason":"x"}`,
	"POST /rooms/{roomId}/upgrade":                                             `{"new_version":"12"}`,
	"PUT /directory/room/{roomAlias}":                                          `{"room_id":"!none:test"}`,
	"PUT /directory/list/room/{roomId}":                                        `{"visibility":"private"}`,
	"POST /publicRooms":                                                        `{"limit":1,"filter":{},"include_all_networks":false}`,
	"PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}":                    `{"delay_ms":100000,"content":{}}`,
	"PUT /org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}": `{"delay":100000,"content":{}}`,
	"POST /org.matrix.msc4140/delayed_events/{delayId}":                        `{"action":"send"}`,
	"PUT /rooms/{roomId}/redact/{eventId}/{txnId}":                             `{"reason":"x"}`,
	"POST /rooms/{roomId}/report":                                              `{"reason":"x"}`,
	"POST /rooms/{roomId}/report/{eventId}":                                    `{"reason":"x","score":-1}`,
	"POST /users/{userId}/report":                                              `{"reason":"x"}`,
	"PUT /rooms/{roomId}/typing/{userId}":                                      `{"typing":true,"timeout":1}`,
	"POST /rooms/{roomId}/receipt/{receiptType}/{eventId}":                     `{"thread_id":"main"}`,
	"POST /rooms/{roomId}/read_markers":                                        `{"m.fully_read":"$e","m.read":"$e","m.read.private":"$e"}`,
	"POST /search":                                                             `{"search_categories":{"room_events":{"search_term":"x"}}}`,
	"POST /user_directory/search":                                              `{"search_term":"x","limit":1}`,
	"PUT /sendToDevice/{eventType}/{txnId}":                                    `{"messages":{}}`,
	"POST /keys/upload":                                                        `{"device_keys":{},"one_time_keys":{},"fallback_keys":{}}`,
	"POST /keys/query":                                                         `{"device_keys":{}}`,
	"POST /keys/claim":                                                         `{"one_time_keys":{}}`,
	"POST /room_keys/version":                                                  `{"algorithm":"a","auth_data":{}}`,
	"PUT /room_keys/version/{version}":                                         `{"algorithm":"a","auth_data":{},"version":"1"}`,
	"PUT /room_keys/keys":                                                      `{"rooms":{}}`,
	"PUT /room_keys/keys/{roomId}":                                             `{"sessions":{}}`,
	"PUT /room_keys/keys/{roomId}/{sessionId}":                                 `{"first_message_index":1,"forwarded_count":1,"is_verified":true,"session_data":{}}`,
	"POST /keys/device_signing/upload":                                         `{"master_key":{},"self_signing_key":{},"user_signing_key":{},"auth":{}}`,
	"PUT /org.matrix.msc3814.v1/dehydrated_device":                             `{"device_id":"X","device_data":{"algorithm":"x"},"device_keys":{},"initial_device_display_name":"x"}`,
	"POST /org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events":          `{"next_batch":"0"}`,
	"POST /rtc/livekit/get_token":                                              `{"server_name":"test","room_id":"!none:test","slot_id":"x","member":{"id":"x"},"member_id":"x"}`,
	"POST /rtc/livekit/delegate_delayed_leave":                                 `{"room_id":"!none:test","slot_id":"x","member":{"id":"x"},"delay_id":"x"}`,
	"POST /io.element.msc4195/rtc/livekit/get_token":                           `{"server_name":"test","room_id":"!none:test","slot_id":"x","member":{"id":"x"}}`,
	"POST /io.element.msc4195/rtc/livekit/delegate_delayed_leave":              `{"room_id":"!none:test","slot_id":"x","member":{"id":"x"},"delay_id":"x"}`,
	"POST /io.element.msc4388/rendezvous":                                      `{"data":"x"}`,
	"PUT /io.element.msc4388/rendezvous/{rendezvousId}":                        `{"sequence_token":"x","data":"x"}`,
	"PUT /io.element.msc4388/rendezvous/{rendezvousId}/{txnId}":                `{"sequence_token":"x","data":"x"}`,
	"POST /sync": `{"conn_id":"x","lists":{},"room_subscriptions":{},"extensions":{}}`,
	"POST /org.matrix.simplified_msc3575/sync": `{"conn_id":"x","lists":{},"room_subscriptions":{},"extensions":{}}`,
}

// required are the fields that a body must have, and ?parameters that the query must have.
var required = map[string]string{
	"POST /login":                                       "type",
	"POST /refresh":                                     "refresh_token",
	"POST /delete_devices":                              "devices",
	"PUT /admin/suspend/{userId}":                       "suspended",
	"PUT /admin/lock/{userId}":                          "locked",
	"POST /_synapse/admin/v1/register":                  "nonce username password mac",
	"GET /register/available":                           "?username",
	"POST /account/3pid":                                "three_pid_creds",
	"POST /account/3pid/add":                            "sid client_secret",
	"POST /account/3pid/bind":                           "sid client_secret id_server id_access_token",
	"POST /account/3pid/unbind":                         "medium address",
	"POST /account/3pid/delete":                         "medium address",
	"POST /account/3pid/email/requestToken":             "client_secret email send_attempt",
	"POST /account/password/email/requestToken":         "client_secret email send_attempt",
	"POST /register/email/requestToken":                 "client_secret email send_attempt",
	"POST /account/3pid/msisdn/requestToken":            "client_secret country phone_number send_attempt",
	"POST /account/password/msisdn/requestToken":        "client_secret country phone_number send_attempt",
	"POST /register/msisdn/requestToken":                "client_secret country phone_number send_attempt",
	"POST /_causeway/threepid/submitToken":              "sid client_secret token",
	"GET /register/m.login.registration_token/validity": "?token",

	"PUT /presence/{userId}/status":                               "presence",
	"PUT /pushrules/global/{kind}/{ruleId}":                       "actions",
	"PUT /pushrules/global/{kind}/{ruleId}/enabled":               "enabled",
	"PUT /pushrules/global/{kind}/{ruleId}/actions":               "actions",
	"PUT /profile/{userId}/{keyName}":                             "displayname",
	"POST /rooms/{roomId}/invite":                                 "user_id",
	"POST /rooms/{roomId}/kick":                                   "user_id",
	"POST /rooms/{roomId}/ban":                                    "user_id",
	"POST /rooms/{roomId}/unban":                                  "user_id",
	"POST /rooms/{roomId}/upgrade":                                "new_version",
	"PUT /directory/room/{roomAlias}":                             "room_id",
	"PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}":       "delay_ms content",
	"POST /rooms/{roomId}/report":                                 "reason",
	"POST /users/{userId}/report":                                 "reason",
	"PUT /rooms/{roomId}/typing/{userId}":                         "typing",
	"POST /search":                                                "search_categories",
	"POST /user_directory/search":                                 "search_term",
	"PUT /sendToDevice/{eventType}/{txnId}":                       "messages",
	"PUT /org.matrix.msc3814.v1/dehydrated_device":                "device_id device_data device_keys",
	"POST /keys/query":                                            "device_keys",
	"POST /keys/claim":                                            "one_time_keys",
	"GET /keys/changes":                                           "?from ?to",
	"POST /room_keys/version":                                     "algorithm auth_data",
	"PUT /room_keys/version/{version}":                            "algorithm auth_data",
	"GET /room_keys/keys":                                         "?version",
	"GET /room_keys/keys/{roomId}":                                "?version",
	"GET /room_keys/keys/{roomId}/{sessionId}":                    "?version",
	"PUT /room_keys/keys":                                         "?version rooms",
	"PUT /room_keys/keys/{roomId}":                                "?version sessions",
	"PUT /room_keys/keys/{roomId}/{sessionId}":                    "?version first_message_index forwarded_count is_verified session_data",
	"DELETE /room_keys/keys":                                      "?version",
	"DELETE /room_keys/keys/{roomId}":                             "?version",
	"DELETE /room_keys/keys/{roomId}/{sessionId}":                 "?version",
	"GET /mutual_rooms":                                           "?user_id",
	"POST /rtc/livekit/get_token":                                 "room_id slot_id",
	"POST /rtc/livekit/delegate_delayed_leave":                    "room_id slot_id member delay_id",
	"POST /io.element.msc4195/rtc/livekit/get_token":              "room_id slot_id member",
	"POST /io.element.msc4195/rtc/livekit/delegate_delayed_leave": "room_id slot_id member delay_id",
	"POST /io.element.msc4388/rendezvous":                         "data",
	"PUT /io.element.msc4388/rendezvous/{rendezvousId}":           "sequence_token data",
	"PUT /io.element.msc4388/rendezvous/{rendezvousId}/{txnId}":   "sequence_token data",
	"GET /rooms/{roomId}/messages":                                "?dir",
	"GET /rooms/{roomId}/timestamp_to_event":                      "?dir ?ts",
}

// queries are for requests that must have a query.
var queries = map[string]string{
	"GET /rooms/{roomId}/messages":                              "dir=b",
	"GET /rooms/{roomId}/timestamp_to_event":                    "dir=b&ts=1",
	"GET /org.matrix.msc3030/rooms/{roomId}/timestamp_to_event": "dir=b&ts=1",
	"GET /keys/changes":                                         "from=s0&to=s0",
	"GET /room_keys/keys":                                       "version=1",
	"GET /room_keys/keys/{roomId}":                              "version=1",
	"GET /room_keys/keys/{roomId}/{sessionId}":                  "version=1",
	"PUT /room_keys/keys":                                       "version=1",
	"PUT /room_keys/keys/{roomId}":                              "version=1",
	"PUT /room_keys/keys/{roomId}/{sessionId}":                  "version=1",
	"DELETE /room_keys/keys":                                    "version=1",
	"DELETE /room_keys/keys/{roomId}":                           "version=1",
	"DELETE /room_keys/keys/{roomId}/{sessionId}":               "version=1",
}

// wantNoBody are routes whose body nobody reads.
var wantNoBody = []string{
	"POST /auth/{type}/fallback/web", // a form
	"POST /logout", "POST /logout/all", "POST /_causeway/threepid/confirm", "POST /_causeway/invitation", "POST /rooms/{roomId}/forget",
	"POST /delayed_events/{delayId}/{action}", "POST /org.matrix.msc4140/delayed_events/{delayId}/{action}",
	"POST /org.matrix.msc4108/rendezvous", "PUT /org.matrix.msc4108/rendezvous/{rendezvousId}", // text
}

// open are routes about a room that need not be one's own.
var open = []string{
	"GET /directory/list/room/{roomId}", "POST /rooms/{roomId}/report",
	// What one notes about a room is one's own, wherever one is.
	"GET /user/{userId}/rooms/{roomId}/tags", "PUT /user/{userId}/rooms/{roomId}/tags/{tag}", "DELETE /user/{userId}/rooms/{roomId}/tags/{tag}",
	"PUT /user/{userId}/rooms/{roomId}/account_data/{type}", "DELETE /user/{userId}/rooms/{roomId}/account_data/{type}",
	"DELETE /org.matrix.msc3391/user/{userId}/rooms/{roomId}/account_data/{type}",
}

// ofAnother are routes with a user in the path that need not be the one who asks.
var ofAnother = []string{
	"GET /profile/{userId}", "GET /profile/{userId}/{keyName}", "POST /users/{userId}/report",
	"GET /uk.tcpip.msc4133/profile/{userId}", "GET /uk.tcpip.msc4133/profile/{userId}/{keyName}",
}

// refusal asks each route in a way that it must refuse.
type refusal struct {
	*script
	route httpapi.Route
	name  string // of the route, as in proper
	query string
}

// TestRefusals asks every route without a token, with an unknown one, with bodies that are none, with fields of wrong types, about
// others' rooms, about those that there are not, about other users' things and about events that there are not. Client-Server API,
// "Standard error response".
func TestRefusals(t *testing.T) {
	version := strings.NewReplacer("/_matrix/client/(v3|r0)", "", "/_matrix/client/v1", "", "/_matrix/client/v4", "", "/_matrix/client/unstable", "")
	each(t, "alice bob mallory", func(s *script) {
		if _, err := s.Accounts.CreateUser(t.Context(), "root", "root's password", true); err != nil {
			t.Fatal(err)
		}
		s.tokens["root"] = s.text("nobody POST /login", `{"type":"m.login.password","user":"root","password":"root's password"}`, "access_token")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"x"}`, "event_id")
		routes := allRoutes()
		names := make(map[string]bool)
		for _, route := range routes {
			r := refusal{script: s, route: route, name: route.Method + " " + version.Replace(route.Path)}
			r.query = queries[r.name]
			names[r.name] = true
			r.token()
			if route.Access != httpapi.AppService {
				r.body()
				r.types()
				r.lacking()
				r.place()
			}
		}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(proper)), slices.Collect(maps.Keys(required)), slices.Collect(maps.Keys(queries)), wantNoBody, open, ofAnother) {
			if !names[name] {
				t.Errorf("there is no route %s", name)
			}
		}
	}, func(c *homeserver.Config) {
		c.Legacy.Events = true
		c.Rules.SharedSecret = "a secret that is shared"
	})
}

// owner is who may make the request.
func (r *refusal) owner() string {
	if r.route.Access == httpapi.Admin {
		return "root"
	}
	return "alice"
}

// ask makes the request with the parameters of its path filled in, and demands one of the answers "status errcode".
func (r *refusal) ask(what, who, body string, want []string, parameters ...string) {
	r.t.Helper()
	user := "<alice>"
	if who == "mallory" {
		user = "<mallory>"
	}
	path := strings.NewReplacer(append(parameters, "(v3|r0)", "v3", "{$}", "", "{roomId}", "<room>", "{roomIdOrAlias}", "<room>", "{userId}", user,
		"{eventId}", "<event>", "{eventType}", "a.b", "{stateKey}", "k", "{txnId}", "t", "{keyName}", "displayname", "{type}", "a.b", "{tag}", "u.x",
		"{filterId}", "0", "{kind}", "override", "{ruleId}", "r", "{receiptType}", "m.read", "{roomAlias}", "%23a:test", "{relType}", "m.annotation",
		"{delayId}", "d", "{action}", "send", "{appserviceId}", "x", "{networkId}", "x")...).Replace(r.route.Path)
	a := r.script.ask(who+" "+r.route.Method+" "+path+"?"+r.query, body)
	if got := http.StatusText(a.Status) + " " + a.Code(); !slices.Contains(want, got) {
		r.t.Errorf("%s, %s: got %d %s, want %q", r.name, what, a.Status, a.Body, want)
	}
}

func (r *refusal) token() {
	r.t.Helper()
	if r.route.Access == httpapi.Public {
		return
	}
	r.ask("unknown token", "unknown", `{}`, []string{"Unauthorized M_UNKNOWN_TOKEN"})
	if r.route.Access != httpapi.Optional {
		r.ask("no token", "nobody", `{}`, []string{"Unauthorized M_MISSING_TOKEN"})
	}
}

func (r *refusal) body() {
	r.t.Helper()
	if r.route.Method != "POST" && r.route.Method != "PUT" || slices.Contains(wantNoBody, r.name) {
		return
	}
	for _, body := range []string{`{"x":`, `{"x":1} and more`, "{\"x\":\"\xff\"}"} {
		r.ask("body "+body, r.owner(), body, []string{"Bad Request M_NOT_JSON"})
	}
	for _, body := range []string{`[]`, `"x"`, `null`} {
		r.ask("body "+body, r.owner(), body, []string{"Bad Request M_BAD_JSON"})
	}
}

// types sends each field of the body with another type.
func (r *refusal) types() {
	r.t.Helper()
	var body map[string]json.RawMessage
	if proper[r.name] == "" {
		return
	}
	if err := json.Unmarshal([]byte(proper[r.name]), &body); err != nil {
		r.t.Fatal(r.name, err)
	}
	for field, value := range body {
		wrong := maps.Clone(body)
		wrong[field] = json.RawMessage(`"x"`)
		if value[0] == '"' {
			wrong[field] = json.RawMessage(`[1]`)
		}
		raw, err := json.Marshal(wrong)
		if err != nil {
			r.t.Fatal(err)
		}
		r.ask(field+" of the wrong type", r.owner(), string(raw), []string{"Bad Request M_BAD_JSON", "Bad Request M_INVALID_PARAM"})
	}
}

// lacking leaves out what is required.
func (r *refusal) lacking() {
	r.t.Helper()
	missing := []string{"Bad Request M_MISSING_PARAM"}
	for field := range strings.FieldsSeq(required[r.name]) {
		if name, inQuery := strings.CutPrefix(field, "?"); inQuery {
			query, err := url.ParseQuery(queries[r.name])
			if err != nil {
				r.t.Fatal(err)
			}
			query.Del(name)
			r.query = query.Encode()
			r.ask("without "+name, r.owner(), proper[r.name], missing)
			r.query = queries[r.name]
			continue
		}
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(proper[r.name]), &body); err != nil {
			r.t.Fatal(r.name, err)
		}
		delete(body, field)
		raw, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		r.ask("without "+field, r.owner(), string(raw), missing)
	}
}

// place asks about what is others', and what is not there.
func (r *refusal) place() {
	r.t.Helper()
	body := proper[r.name]
	if body == "" {
		body = `{}`
	}
	closed := []string{"Forbidden M_FORBIDDEN", "Not Found M_NOT_FOUND"}
	if strings.Contains(r.route.Path, "{roomId") && !slices.Contains(open, r.name) {
		r.ask("another's room", "mallory", body, closed)
		r.ask("no room", "alice", body, closed, "{roomId}", "!none:test", "{roomIdOrAlias}", "!none:test")
	}
	if strings.Contains(r.route.Path, "{userId}") && !slices.Contains(ofAnother, r.name) {
		r.ask("another user", "mallory", body, closed[:1], "{userId}", "<alice>")
	}
	if strings.Contains(r.route.Path, "{eventId}") && r.route.Method == "GET" {
		r.ask("no event", "alice", body, closed[1:], "{eventId}", "$none")
	}
}
