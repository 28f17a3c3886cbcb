package e2e

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

// callsPage has administrators look at a call that runs, in Chromium, and others not.
func callsPage(t *testing.T, folder string) {
	server := install(t, options{extra: "calls: {listen: \"" + freePort(t) + "\"}\n"})
	create := server.command("user", "create", "--config", server.config, "root", "--admin", "--password", server.account("root").Password)
	if code, output := startProcess(t, "causeway user create", create, nil).awaitExit(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	server.start()
	alice, bob := server.registerHTTP(t, "alice"), server.registerHTTP(t, "bob")
	var made struct {
		Room string `json:"room_id"`
	}
	server.do(t, "POST", "/_matrix/client/v3/createRoom", alice, map[string]any{"preset": "public_chat"}).decode(t, &made)
	server.do(t, "POST", "/_matrix/client/v3/rooms/"+url.PathEscape(made.Room)+"/join", bob, struct{}{}).decode(t, &struct{}{})

	var in struct {
		Token string `json:"access_token"`
	}
	account := server.account("root")
	server.do(t, "POST", "/_matrix/client/v3/login", "", map[string]any{
		"type": "m.login.password", "identifier": map[string]string{"type": "m.id.user", "user": account.Username}, "password": account.Password,
	}).decode(t, &in)
	speaks, listens := server.newCaller(t), server.newCaller(t)
	speaks.sends(signalling.Microphone)
	speaks.sends(signalling.Camera)
	speaks.enter(alice, made.Room)
	server.awaitCalls(t, in.Token, `"source":"camera"`)
	listens.gets(webrtc.RTPCodecTypeAudio)
	listens.gets(webrtc.RTPCodecTypeVideo)
	listens.enter(bob, made.Room)
	server.awaitCalls(t, in.Token, `"from":"@alice:`+serverName)
	server.runNode(t, nil, "pages/calls.mjs", server.url(""), folder, made.Room, account.Username, account.Password, alice)
}

// awaitCalls asks until the calls that run are told with some words.
func (c *causeway) awaitCalls(t *testing.T, token, words string) {
	t.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		answer := c.do(t, "GET", "/_causeway/calls/status", token, nil)
		if strings.Contains(string(answer.raw), words) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("the calls are %s, without %s", answer.raw, words)
		}
	}
}
