package irc

import (
	"math"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

func TestConfig(t *testing.T) {
	const text = `
networks:
  libera.chat:
    address: irc.libera.chat:6697
    tls: true
    nick: "{localpart}[m]"
    flood: {burst: 4, interval: 1500ms}
`
	var cfg Config
	if err := yaml.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	n := cfg.Networks["libera.chat"].withDefaults()
	if n.Flood.Interval != 1500*time.Millisecond || n.Flood.Burst != 4 || n.NickLen != 16 || n.Casemapping != RFC1459 {
		t.Errorf("got %+v", n)
	}
}

func TestConfigErrors(t *testing.T) {
	good := NetworkConfig{Address: "irc.test:6667"}
	with := func(change func(n *NetworkConfig)) NetworkConfig {
		n := good
		change(&n)
		return n
	}
	for _, test := range []struct {
		name, network string
		cfg           NetworkConfig
		want          string
	}{
		{"good", "net", good, ""},
		{"capital", "Net", good, "networks.Net"},
		{"underscore", "my_net", good, "networks.my_net"},
		{"no address", "net", NetworkConfig{}, "networks.net.address"},
		{"no port", "net", NetworkConfig{Address: "irc.test"}, "networks.net.address"},
		{"insecure without TLS", "net", with(func(n *NetworkConfig) { n.TLSInsecure = true }), "networks.net.tls_insecure"},
		{"password of two lines", "net", with(func(n *NetworkConfig) { n.Password = "a\nQUIT" }), "networks.net.password"},
		{"nick for all", "net", with(func(n *NetworkConfig) { n.Nick = "bridge" }), "networks.net.nick"},
		{"short nicks", "net", with(func(n *NetworkConfig) { n.NickLen = 3 }), "networks.net.nick_len"},
		{"casemapping", "net", with(func(n *NetworkConfig) { n.Casemapping = "utf8" }), "networks.net.casemapping"},
		{"nickserv", "net", with(func(n *NetworkConfig) { n.Auth.NickServ = "Nick Serv" }), "networks.net.auth.nickserv"},
		{"nickserv is a channel", "net", with(func(n *NetworkConfig) { n.Auth.NickServ = "#all" }), "networks.net.auth.nickserv"},
		{"regain", "net", with(func(n *NetworkConfig) { n.Auth.Regain = "KILL" }), "networks.net.auth.regain"},
		{"ghosts", "net", with(func(n *NetworkConfig) { n.Auth.Ghosts = "host" }), "networks.net.auth.ghosts"},
		{"bind", "net", with(func(n *NetworkConfig) { n.Dial.Bind = "here" }), "networks.net.dial.bind"},
		{"bind to few", "net", with(func(n *NetworkConfig) { n.Dial.Bind = "192.0.2.0/24" }), "networks.net.dial.bind"},
		{"proxy", "net", with(func(n *NetworkConfig) { n.Dial.SOCKS5 = "http://proxy:1" }), "networks.net.dial.socks5"},
		{"proxy and bind", "net", with(func(n *NetworkConfig) { n.Dial.SOCKS5, n.Dial.Bind = "socks5://p:1", "::1" }), "networks.net.dial.bind"},
		{"certificate without key", "net", with(func(n *NetworkConfig) { n.TLS, n.Dial.ClientCert = true, "a" }), "networks.net.dial.client_cert"},
		{"certificate without TLS", "net", with(func(n *NetworkConfig) { n.Dial.ClientCert, n.Dial.ClientKey = "a", "b" }), "networks.net.dial.client_cert"},
		{"webirc", "net", with(func(n *NetworkConfig) { n.WebIRC.Password = "two words" }), "networks.net.webirc"},
		{"webirc for one", "net", with(func(n *NetworkConfig) { n.WebIRC.Addresses = "::1" }), "networks.net.webirc.addresses"},
		{"idle", "net", with(func(n *NetworkConfig) { n.Idle.After = time.Minute }), "networks.net.idle.after"},
		{"burst", "net", with(func(n *NetworkConfig) { n.Flood.Burst = -1 }), "networks.net.flood.burst"},
		{"line bytes", "net", with(func(n *NetworkConfig) { n.Flood.LineBytes = -1 }), "networks.net.flood.line_bytes"},
		{"extra bytes", "net", with(func(n *NetworkConfig) { n.Flood.ExtraBytes = -1 }), "networks.net.flood.extra_bytes"},
		{"costs", "net", with(func(n *NetworkConfig) { n.Flood.Costs = map[string]float64{"WHO": 0, "MODE_QUERY": 2.5} }), ""},
		{"cost of nothing", "net", with(func(n *NetworkConfig) { n.Flood.Costs = map[string]float64{"who": 1} }), "networks.net.flood.costs"},
		{"cost", "net", with(func(n *NetworkConfig) { n.Flood.Costs = map[string]float64{"WHO": -1} }), "networks.net.flood.costs.WHO"},
		{"cost that is no number", "net", with(func(n *NetworkConfig) { n.Flood.Costs = map[string]float64{"WHO": math.NaN()} }), "networks.net.flood.costs.WHO"},
		{"connections", "net", with(func(n *NetworkConfig) { n.Connect.Max = -1 }), "networks.net.connect.max"},
		{"charset", "net", with(func(n *NetworkConfig) { n.Charset = "utf-16" }), "networks.net.charset"},
		{"content", "net", with(func(n *NetworkConfig) {
			n.Content = ContentConfig{Colours: "hex", Replies: "nick", Typing: "send", EditWindow: time.Second, LongLines: 5, LongCode: 3}
		}), ""},
		{"colours", "net", with(func(n *NetworkConfig) { n.Content.Colours = "256" }), "networks.net.content.colours"},
		{"replies", "net", with(func(n *NetworkConfig) { n.Content.Replies = "all" }), "networks.net.content.replies"},
		{"typing", "net", with(func(n *NetworkConfig) { n.Content.Typing = "yes" }), "networks.net.content.typing"},
		{"edit window", "net", with(func(n *NetworkConfig) { n.Content.EditWindow = time.Hour }), "networks.net.content.edit_window"},
		{"long lines", "net", with(func(n *NetworkConfig) { n.Content.LongLines = -1 }), "networks.net.content.long_lines"},
		{"long code", "net", with(func(n *NetworkConfig) { n.Content.LongCode = -1 }), "networks.net.content.long_code"},
		{"unknown rank", "net", with(func(n *NetworkConfig) { n.Modes.Levels = map[string]int{"op": 50} }), "networks.net.modes.levels"},
		{"rank of nothing", "net", with(func(n *NetworkConfig) { n.Modes.Levels = map[string]int{"o": 0} }), "networks.net.modes.levels.o"},
		{"rank above the bridge", "net", with(func(n *NetworkConfig) { n.Modes.Levels = map[string]int{"o": 101} }), "networks.net.modes.levels.o"},
		{"away", "net", with(func(n *NetworkConfig) { n.Away.Delay = -1 }), "networks.net.away.delay"},
		{"members", "net", with(func(n *NetworkConfig) { n.Members.Show = "some" }), "networks.net.members.show"},
		{"members of no channel", "net", with(func(n *NetworkConfig) { n.Members.Channels = map[string]string{"c": "all"} }), "networks.net.members.channels"},
		{"members of a channel", "net", with(func(n *NetworkConfig) { n.Members.Channels = map[string]string{"#c": "x"} }), "networks.net.members.channels.#c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Config{Networks: map[string]NetworkConfig{test.network: test.cfg}}.Validate()
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v", err)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want+":")):
				t.Errorf("got %v, want an error of %s", err, test.want)
			}
		})
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBucket(3, 2*time.Second, now)
	for i := range 3 {
		if !b.take(now) {
			t.Fatalf("line %d of the burst had to wait", i)
		}
	}
	if b.take(now) {
		t.Error("a fourth line went out at once")
	}
	next := b.next(now)
	if wait := next.Sub(now); wait < 2*time.Second || wait > 2*time.Second+time.Millisecond {
		t.Errorf("got a wait of %v, want 2s", wait)
	}
	if !b.take(next) || b.take(next) {
		t.Error("want one line after the wait")
	}
	late := next.Add(time.Hour)
	for range 3 {
		b.take(late)
	}
	if b.take(late) {
		t.Error("the burst grew while idle")
	}
	free := newBucket(1, 0, now)
	for range 1000 {
		if !free.take(now) {
			t.Fatal("a bucket without interval made a line wait")
		}
	}
}
