package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const liveKitKey, liveKitSecret = "APIkey", "a secret of thirty-two characters"

// liveKitRequest is what LiveKit was asked, and by a token that grants what.
type liveKitRequest struct {
	method string
	grants map[string]any
	body   map[string]any
}

// liveKitClaims are those of access tokens for LiveKit.
type liveKitClaims struct {
	jwt.RegisteredClaims
	Video map[string]any `json:"video"`
}

// scriptedLiveKit answers as LiveKit's RoomService does, and gives what it was asked.
func scriptedLiveKit(t *testing.T) (address string, asked chan liveKitRequest) {
	t.Helper()
	asked = make(chan liveKitRequest, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method, ok := strings.CutPrefix(r.URL.Path, "/twirp/livekit.RoomService/")
		claims, err := readLiveKitToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		var body map[string]any
		if raw, _ := io.ReadAll(r.Body); !ok || r.Method != http.MethodPost || err != nil || json.Unmarshal(raw, &body) != nil {
			t.Errorf("LiveKit was asked %s %s: %v, %s", r.Method, r.URL, err, raw)
			http.Error(w, `{"code":"unauthenticated","msg":"no"}`, http.StatusUnauthorized)
			return
		}
		if method != "ListParticipants" { // which is asked now and then
			asked <- liveKitRequest{method, claims.Video, body}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"participants":[{"identity":"@alice:localhost:alice","state":"ACTIVE"}]}`)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func readLiveKitToken(text string) (claims liveKitClaims, err error) {
	_, err = jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return []byte(liveKitSecret), nil },
		jwt.WithIssuer(liveKitKey), jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{"HS256"}))
	return claims, err
}

// awaitLiveKit waits until LiveKit is asked for something.
func awaitLiveKit(t *testing.T, asked chan liveKitRequest, method string) liveKitRequest {
	t.Helper()
	select {
	case r := <-asked:
		if r.method != method {
			t.Fatalf("LiveKit was asked for %+v, want %s", r, method)
		}
		return r
	case <-time.After(20 * time.Second):
		t.Fatalf("LiveKit is not asked for %s", method)
	}
	return liveKitRequest{}
}

// webhook tells the server of a participant as LiveKit does.
func (s *callServer) webhook(event, room, identity string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"event":%q,"room":{"sid":"RM_x","name":%q},"participant":{"sid":"PA_x","identity":%q,"permission":{"canPublish":true}},"id":"EV_x"}`,
		event, room, identity)
	sum := sha256.Sum256([]byte(body))
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": liveKitKey, "exp": time.Now().Add(time.Minute).Unix(), "sha256": base64.StdEncoding.EncodeToString(sum[:]),
	}).SignedString([]byte(liveKitSecret))
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.base+"/livekit/jwt/sfu_webhook", bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	r.Header.Set("Content-Type", "application/webhook+json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("the webhook %s: %d", event, answer.StatusCode)
	}
}

// TestLiveKitElsewhere has a server whose calls are on a LiveKit elsewhere: tokens are for that, which has made the room before; who loses the right to
// speak is silenced there, who is banned is put out there, and the membership ends of who has gone from there.
func TestLiveKitElsewhere(t *testing.T) {
	address, asked := scriptedLiveKit(t)
	s := startCallServer(t, func(c *Config) {
		c.Calls.SFU.LiveKit = LiveKitConfig{URL: "ws://" + address + "/", Key: liveKitKey, Secret: liveKitSecret}
	})
	alice, bob := s.register("alice"), s.register("bob")
	room := s.ok("POST", client+"/createRoom", alice, `{"preset":"public_chat"}`)["room_id"].(string)
	at := client + "/rooms/" + url.PathEscape(room)
	s.ok("POST", at+"/join", bob, `{}`)

	// token asks for one by either of the two ways.
	token := func(who, accessToken string, legacy bool) liveKitClaims {
		t.Helper()
		var out map[string]any
		if legacy {
			openID, err := json.Marshal(s.ok("POST", client+"/user/"+url.PathEscape("@"+who+":localhost")+"/openid/request_token", accessToken, `{}`))
			if err != nil {
				t.Fatal(err)
			}
			out = s.ok("POST", "/livekit/jwt/sfu/get", "", `{"room":"`+room+`","device_id":"`+who+`","openid_token":`+string(openID)+`}`)
		} else {
			out = s.ok("POST", "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token", accessToken,
				`{"room_id":"`+room+`","slot_id":"m.call#ROOM","member":{"id":"m"}}`)
		}
		if out["url"] != "ws://"+address {
			t.Errorf("%s is sent to %v, want ws://%s", who, out["url"], address)
		}
		claims, err := readLiveKitToken(out["jwt"].(string))
		if err != nil {
			t.Fatalf("LiveKit would not take the token %v: %v", out["jwt"], err)
		}
		v := claims.Video
		if claims.Subject == "" || v["roomJoin"] != true || v["canPublish"] != true || v["canSubscribe"] != true || v["roomCreate"] == true || v["roomAdmin"] == true {
			t.Errorf("the token of %s is for %q, and grants %v", who, claims.Subject, v)
		}
		// By now the room has been made.
		made := awaitLiveKit(t, asked, "CreateRoom")
		if made.body["name"] != v["room"] || made.grants["roomCreate"] != true {
			t.Errorf("the room %v was made by %v, want %v", made.body, made.grants, v["room"])
		}
		return claims
	}
	alices, bobs := token("alice", alice, true), token("bob", bob, false)
	if alices.Subject != "@alice:localhost:alice" || alices.Video["room"] != bobs.Video["room"] {
		t.Errorf("alice is %s in %v, and bob in %v", alices.Subject, alices.Video["room"], bobs.Video["room"])
	}
	alias := bobs.Video["room"].(string)
	if p, status := s.dial("x"); p != nil || status != http.StatusNotFound {
		t.Errorf("signalling of our own: %d, want 404", status)
	}

	// about is whether LiveKit is asked about bob, by a token for the room.
	about := func(r liveKitRequest) {
		t.Helper()
		if r.body["room"] != alias || r.body["identity"] != bobs.Subject || r.grants["roomAdmin"] != true || r.grants["room"] != alias {
			t.Errorf("got %+v, want one about %s in %s", r, bobs.Subject, alias)
		}
	}
	s.webhook("participant_joined", alias, bobs.Subject)
	s.ok("PUT", at+"/state/m.room.power_levels", alice, `{"events":{"m.rtc.member":50}}`)
	silenced := awaitLiveKit(t, asked, "UpdateParticipant")
	about(silenced)
	if may, _ := silenced.body["permission"].(map[string]any); may["can_publish"] != false || may["can_subscribe"] != true {
		t.Errorf("bob may %v", may)
	}
	s.ok("POST", at+"/ban", alice, `{"user_id":"@bob:localhost"}`)
	about(awaitLiveKit(t, asked, "RemoveParticipant"))
	if status, out := s.ask("POST", "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token", bob,
		`{"room_id":"`+room+`","slot_id":"m.call#ROOM","member":{"id":"m"}}`); status != http.StatusUnauthorized {
		t.Errorf("a token for who is banned: %d %v", status, out)
	}

	// She says that she is in the call, and leaves it to the server to say that she has gone.
	state := "/state/org.matrix.msc3401.call.member/_@alice:localhost_alice_m.call"
	s.ok("PUT", at+state, alice, `{"application":"m.call"}`)
	delay := s.ok("PUT", at+state+"?org.matrix.msc4140.delay=3600000", alice, `{}`)["delay_id"].(string)
	openID, err := json.Marshal(s.ok("POST", client+"/user/"+url.PathEscape("@alice:localhost")+"/openid/request_token", alice, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	s.ok("POST", "/livekit/jwt/sfu/get", "",
		`{"room":"`+room+`","device_id":"alice","delay_id":"`+delay+`","delay_timeout":3600000,"delay_cs_api_url":"`+s.base+`","openid_token":`+string(openID)+`}`)
	awaitLiveKit(t, asked, "CreateRoom")
	s.webhook("participant_joined", alias, alices.Subject)
	since := s.ok("GET", client+"/sync", alice, "")["next_batch"].(string)
	s.webhook("participant_left", alias, alices.Subject)
	for timeout := time.Now().Add(20 * time.Second); ; {
		since = s.ok("GET", client+"/sync?timeout=20000&since="+since, alice, "")["next_batch"].(string)
		if _, there := s.ok("GET", at+state, alice, "")["application"]; !there {
			return
		}
		if time.Now().After(timeout) {
			t.Fatal("alice has gone from LiveKit, and is a member of the call still")
		}
	}
}
