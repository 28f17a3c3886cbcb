package testserver_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/account"

	"github.com/golang-jwt/jwt/v5"
)

// TestRefreshEndpoint refreshes an access token, by each path, and uses refresh tokens that are none. Client-Server API, "Refreshing access
// tokens".
func TestRefreshEndpoint(t *testing.T) {
	each(t, "alice", func(s *script) {
		const login = `{"type":"m.login.password","user":"alice","password":"correct horse battery","refresh_token":true,"device_id":"ONE"}`
		const body = `{"refresh_token":"<refresh>"}`
		tokens := "access_token:string refresh_token:string expires_in_ms=300000"
		s.run([]step{
			{name: "a client that does not know them", request: "nobody POST /login", body: `{"type":"m.login.password","user":"alice","password":"correct horse battery"}`, status: 200, want: "refresh_token:absent expires_in_ms:absent"},
			{name: "register", request: "nobody POST /register", body: `{"username":"bob","password":"x","refresh_token":true,"auth":{"type":"m.login.dummy"}}`, status: 200, want: tokens},
			{name: "log in", request: "nobody POST /login", body: login, status: 200, want: tokens, keep: "refresh=refresh_token"},
			{name: "refresh", request: "nobody POST /refresh", body: body, status: 200, want: tokens, keep: "token phone=access_token"},
			{name: "refresh again, as the answer was lost", request: "nobody POST /refresh", body: body, status: 200, want: tokens, keep: "token phone=access_token"},
			{name: "use it", request: "phone GET /account/whoami", status: 200, want: "user_id=<alice> device_id=ONE"},
			{name: "replay", request: "nobody POST /refresh", body: body, status: 401, want: "errcode=M_UNKNOWN_TOKEN soft_logout=true"},
			{name: "all tokens of the device have ended", request: "phone GET /account/whoami", status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "none", request: "nobody POST /refresh", body: `{"refresh_token":"x"}`, status: 401, want: "errcode=M_UNKNOWN_TOKEN soft_logout:absent"},
			{name: "an access token", request: "nobody POST /refresh", body: `{"refresh_token":"` + s.tokens["alice"] + `"}`, status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "the device is still there, with its keys", request: "alice GET /devices/ONE", status: 200, want: "device_id=ONE"},
			{name: "log in on it", request: "nobody POST /login", body: login, status: 200, want: "device_id=ONE", keep: "refresh=refresh_token"},
			{name: "as before it was in v3", request: "nobody POST /_matrix/client/v1/refresh", body: body, status: 200, want: tokens, keep: "refresh=refresh_token"},
			{name: "as a proposal", request: "nobody POST /_matrix/client/unstable/org.matrix.msc2918/refresh", body: body, status: 200, want: tokens, keep: "refresh=refresh_token"},
			{name: "delete the device", request: "alice DELETE /devices/ONE", body: "{" + proof("alice") + "}", status: 200, want: "{}"},
			{name: "its refresh token is gone", request: "nobody POST /refresh", body: body, status: 401, want: "errcode=M_UNKNOWN_TOKEN soft_logout:absent"},
		})
	}, func(c *homeserver.Config) { c.Sessions = account.DefaultSessions() })
}

// TestTransactionsOutliveTokens sends the same transaction with one token and with the next.
func TestTransactionsOutliveTokens(t *testing.T) {
	each(t, "alice", func(s *script) {
		const login = `{"type":"m.login.password","user":"alice","password":"correct horse battery","refresh_token":true}`
		s.run([]step{{name: "log in", request: "nobody POST /login", body: login, status: 200, keep: "refresh=refresh_token"}})
		s.tokens["phone"] = s.text("nobody POST /login", login, "access_token")
		s.run([]step{{name: "log in", request: "nobody POST /login", body: login, status: 200, keep: "token phone=access_token"}})
		v := s.get("nobody POST /login", login)
		s.tokens["phone"], s.words["refresh"] = textAt(t, v, "access_token"), textAt(t, v, "refresh_token")
		s.words["room"] = s.text("phone POST /createRoom", `{}`, "room_id")
		const send = "phone PUT /rooms/<room>/send/m.room.message/abcdef"
		s.words["event"] = s.text(send, `{"body":"first"}`, "event_id")
		s.tokens["phone"] = s.text("nobody POST /refresh", `{"refresh_token":"<refresh>"}`, "access_token")
		s.must("the transaction in /sync", s.get("phone GET /sync", ""), "rooms/join/*/timeline/events/*:syncevent")
		s.must("the event", s.get("phone GET /rooms/<room>/event/<event>", ""), "unsigned/transaction_id=abcdef")
		if got := s.text(send, `{"body":"first"}`, "event_id"); got != s.words["event"] {
			t.Errorf("got another event %s, want %s", got, s.words["event"])
		}
	})
}

// TestSoftLogout has tokens end by themselves. Client-Server API, "Soft logout".
func TestSoftLogout(t *testing.T) {
	each(t, "", func(s *script) {
		v := s.get("nobody POST /register", `{"username":"alice","password":"p","auth":{"type":"m.login.dummy"}}`)
		s.must("lifetime", v, "expires_in_ms=1 refresh_token:absent")
		s.tokens["alice"] = textAt(t, v, "access_token")
		for ended := false; !ended; { // a millisecond
			a := s.ask("alice GET /account/whoami", "")
			if ended = a.Status == 401; ended {
				s.must("after it", decode(t, a.Body), "errcode=M_UNKNOWN_TOKEN soft_logout=true")
			}
		}
	}, func(c *homeserver.Config) { c.Sessions.SessionLifetime = time.Millisecond })
}

// TestLoginToken lets another device log in. Client-Server API, POST /login/get_token.
func TestLoginToken(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		const get = "alice POST /_matrix/client/v1/login/get_token"
		const login = `{"type":"m.login.token","token":"<token>","device_id":"NEW"}`
		s.words["session"] = textAt(t, decode(t, s.ask(get, `{}`).Body), "session")
		s.run([]step{
			{name: "flows", request: "nobody GET /login", status: 200, want: "flows/1/type=m.login.token flows/1/get_login_token=true"},
			{name: "capability", request: "alice GET /capabilities", status: 200, want: "capabilities/m.get_login_token/enabled=true"},
			{name: "who are you?", request: get, body: `{}`, status: 401, want: "session:string flows:array"},
			{name: "no token", request: "nobody POST /_matrix/client/v1/login/get_token", body: `{}`, status: 401, want: "M_MISSING_TOKEN"},
			{name: "another's proof", request: get, body: "{" + proof("bob") + "}", status: 403, want: "M_FORBIDDEN"},
			{name: "get", request: get, body: `{"auth":{"session":"<session>","type":"m.login.password","user":"alice","password":"correct horse battery"}}`, status: 200, want: "login_token:string expires_in_ms=120000", keep: "token=login_token"},
			{name: "each time anew", request: get, body: `{"auth":{"session":"<session>"}}`, status: 401, want: "completed:absent session:string"},
			{name: "log in", request: "nobody POST /login", body: login, status: 200, want: "user_id=<alice> device_id=NEW access_token:string"},
			{name: "once", request: "nobody POST /login", body: login, status: 403, want: "M_FORBIDDEN"},
			{name: "none", request: "nobody POST /login", body: `{"type":"m.login.token","token":"x"}`, status: 403, want: "M_FORBIDDEN"},
			{name: "nothing", request: "nobody POST /login", body: `{"type":"m.login.token"}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "an access token", request: "nobody POST /login", body: `{"type":"m.login.token","token":"` + s.tokens["alice"] + `"}`, status: 403, want: "M_FORBIDDEN"},
			{name: "one more", request: get, body: "{" + proof("alice") + "}", status: 200, keep: "token=login_token"},
			{name: "the account ends", request: "alice POST /account/deactivate", body: "{" + proof("alice") + "}", status: 200, want: "id_server_unbind_result=success"},
			{name: "and the token with it", request: "nobody POST /login", body: login, status: 403, want: "M_FORBIDDEN"},
		})
	})
}

// TestJWT logs in with tokens that are right, and with such that are not.
func TestJWT(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	now := time.Now()
	sign := func(method jwt.SigningMethod, key any, change jwt.MapClaims) string {
		claims := jwt.MapClaims{"sub": "Alice", "iss": "us", "aud": "matrix", "exp": now.Add(time.Hour).Unix(), "name": "Alice A."}
		for k, v := range change {
			if claims[k] = v; v == nil {
				delete(claims, k)
			}
		}
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	right := func(change jwt.MapClaims) string { return sign(jwt.SigningMethodEdDSA, private, change) }
	eachWithServices(t, "bob", func(s *script) {
		var steps []step
		for name, token := range map[string]string{
			"expired": right(jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}), "not yet": right(jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}),
			"another issuer": right(jwt.MapClaims{"iss": "them"}), "no issuer": right(jwt.MapClaims{"iss": nil}),
			"for others": right(jwt.MapClaims{"aud": []string{"x"}}), "for nobody": right(jwt.MapClaims{"aud": nil}),
			"nobody": right(jwt.MapClaims{"sub": nil}), "no name": right(jwt.MapClaims{"sub": "ä b"}), "a number": right(jwt.MapClaims{"sub": 7}),
			"bob, with the sign for kelvin in another's name": right(jwt.MapClaims{"sub": "\u212aate"}),
			"a bridge's": right(jwt.MapClaims{"sub": "irc_x"}),
			"unsigned":   sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
			// Whoever knows the public key could sign so, if the token were asked how it is signed.
			"signed with the public key": sign(jwt.SigningMethodHS256, pemKey, nil),
			"garbage":                    "a.b.c", "": "",
		} {
			steps = append(steps, step{name: "wrong: " + name, request: "nobody POST /login", body: `{"type":"org.matrix.login.jwt","token":"` + token + `"}`, status: 403, want: "M_FORBIDDEN"})
		}
		login := `{"type":"org.matrix.login.jwt","token":"` + right(nil) + `","device_id":"D"}`
		s.run(append(steps,
			step{name: "flows", request: "nobody GET /login", status: 200, want: "flows/2/type=org.matrix.login.jwt"},
			step{name: "nobody is there yet", request: "bob GET /profile/@alice:test", status: 404, want: "M_NOT_FOUND"},
			step{name: "log in", request: "nobody POST /login", body: login, status: 200, want: "user_id=@alice:test device_id=D access_token:string", keep: "token alice=access_token"},
			step{name: "the name", request: "bob GET /profile/@alice:test/displayname", status: 200, want: "displayname:string"},
			step{name: "log in again", request: "nobody POST /login", body: login, status: 200, want: "user_id=@alice:test", keep: "token alice=access_token"},
			step{name: "as somebody who is there", request: "nobody POST /login", body: `{"type":"org.matrix.login.jwt","token":"` + right(jwt.MapClaims{"sub": "bob", "exp": nil}) + `"}`, status: 200, want: "user_id=@bob:test"},
			step{name: "who has no password", request: "alice GET /capabilities", status: 200, want: "capabilities/m.change_password/enabled=false capabilities/m.get_login_token/enabled=false"},
			step{name: "has no proof", request: "alice DELETE /devices/D", status: 403, want: "M_FORBIDDEN"},
		))
	}, func(c *homeserver.Config) {
		c.JWT = account.JWTConfig{Enabled: true, Algorithm: "EdDSA", Secret: string(pemKey), Issuer: "us", Audiences: []string{"matrix", "y"}, SubjectClaim: "sub", NameClaim: "name", Register: true}
		if err := c.JWT.Validate(); err != nil {
			panic(fmt.Sprint("the configuration: ", err))
		}
	})
}
