package irc

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// askAbout asks the bridge about its networks, as the homeserver does.
func (w *world) askAbout(path string) (status int, body string) {
	r := httptest.NewRequest(http.MethodGet, "/_matrix/app/v1/thirdparty/"+path, nil)
	r.Header.Set("Authorization", "Bearer "+w.bridge.Registration().HSToken)
	answer := httptest.NewRecorder()
	w.bridge.Handler().ServeHTTP(answer, r)
	return answer.Code, strings.TrimSpace(answer.Body.String())
}

// Clients ask which rooms and ghosts stand for what is on IRC.
func TestThirdParty(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	other := testNetwork("127.0.0.1:1")
	other.Rooms = RoomsConfig{Mode: modeBouncer}
	w := startWith(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(),
		Config{Networks: map[string]NetworkConfig{"net": testNetwork(ircd.Address), "other": other}},
		zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel))
	conn, _ := w.enterAccounts(ircd)
	conn.Send(":irc.test 005 alice NETWORK=TestNet :are supported")
	w.hs.Await("what the network calls itself", func() bool {
		n := w.conn.networks["net"].announced.Load()
		return n != nil && *n == "TestNet"
	})
	user := func(id id.UserID, network, nick string) string {
		return `[{"userid":"` + string(id) + `","protocol":"irc","fields":{"network":"` + network + `","nickname":"` + nick + `"}}]`
	}
	place := func(alias, channel string) string {
		return `[{"alias":"` + alias + `","protocol":"irc","fields":{"channel":"` + channel + `","network":"net"}}]`
	}
	const none = `M_NOT_FOUND`
	carol := w.byAccount("carol")
	for _, test := range []struct{ name, path, want string }{
		{"protocol", "protocol/irc", `{"network_id":"net","desc":"TestNet","fields":{"network":"net"}}`},
		{"a network that was not heard of", "protocol/irc", `{"network_id":"other","desc":"other","fields":{"network":"other"}}`},
		{"channel", "location/irc?network=net&channel=%23C", place("#irc_net_#c:hs.test", "#C")},
		{"channel that nobody is on", "location/irc?network=net&channel=%26x", place("#irc_net_\\u0026x:hs.test", "\\u0026x")},
		{"channel anywhere", "location/irc?channel=%23c", place("#irc_net_#c:hs.test", "#c")},
		{"channel of people's own rooms", "location/irc?network=other&channel=%23c", none},
		{"no network", "location/irc?network=none&channel=%23c", none},
		{"all channels of a network", "location/irc?network=net", none},
		{"no channel", "location/irc?network=net&channel=c", none},
		{"two channels", "location/irc?network=net&channel=%23c,%23d", none},
		{"long channel", "location/irc?network=net&channel=%23" + strings.Repeat("c", maxChannelBytes), none},
		{"alias", "location?alias=%23irc_net_%23c:hs.test", place("#irc_net_#c:hs.test", "#c")},
		{"alias of people's own rooms", "location?alias=%23irc_other_%23c:hs.test", none},
		{"alias of no channel", "location?alias=%23irc_net_c:hs.test", none},
		{"alias of no network", "location?alias=%23irc_none_%23c:hs.test", none},
		{"somebody", "user/irc?network=net&nickname=Stranger%5B%5D", user("@irc_net_stranger=7b=7d:hs.test", "net", "Stranger[]")},
		{"somebody with an account", "user/irc?network=net&nickname=CAROL", user(carol, "net", "CAROL")},
		{"the same elsewhere", "user/irc?network=other&nickname=carol", user("@irc_other_carol:hs.test", "other", "carol")},
		{"no nick", "user/irc?network=net&nickname=a%20b", none},
		{"a line too many", "user/irc?network=net&nickname=a%0d%0aQUIT", none},
		{"long nick", "user/irc?network=net&nickname=" + strings.Repeat("n", maxNickBytes+1), none},
		{"all people of a network", "user/irc?network=net", none},
		{"ghost", "user?userid=%40irc_net_stranger=7b=7d:hs.test", user("@irc_net_stranger=7b=7d:hs.test", "net", "stranger{}")},
		{"ghost of an account", "user?userid=" + string(carol), user(carol, "net", "carol")},
		{"ghost of an account that nobody uses", "user?userid=" + string(w.byAccount("nobody")), none},
		{"ghost of no network", "user?userid=%40irc_none_a:hs.test", none},
		{"user", "user?userid=%40alice:hs.test", none},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := w.askAbout(test.path)
			if !strings.Contains(body, test.want) || (status == http.StatusOK) != (test.want != none) {
				t.Errorf("got %d %s, want %s", status, body, test.want)
			}
		})
	}
	if got := w.bridge.Registration().Protocols; !slices.Equal(got, []string{"irc"}) {
		t.Errorf("the registration names %q, want irc", got)
	}
}
