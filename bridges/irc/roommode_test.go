package irc

import (
	"strings"
	"testing"
)

func TestRoomModes(t *testing.T) {
	n := bareNetwork(NetworkConfig{Rooms: RoomsConfig{Channels: map[string]string{
		"#relay*": modeRelay, "#relay-Not": modeTransparent, "#own/*": modeBouncer, "#[x]?": modeRelay,
	}}})
	for channel, want := range map[string]string{
		"#c": modeTransparent, "#relay": modeRelay, "#RELAY/a/b": modeRelay, "#relay-not": modeTransparent, "#relay-note": modeRelay,
		"#own/a": modeBouncer, "#own": modeTransparent, "#{X}?": modeRelay, "#x?": modeTransparent, "#[x]y": modeTransparent,
	} {
		if got := n.modeFor(channel); got != want {
			t.Errorf("%s: got %s, want %s", channel, got, want)
		}
	}
	all := bareNetwork(NetworkConfig{Rooms: RoomsConfig{Mode: modeBouncer, Channels: map[string]string{"*": modeRelay}}})
	if got := all.modeFor("#c"); got != modeRelay {
		t.Errorf("got %s, want %s", got, modeRelay)
	}
}

func TestRoomsConfig(t *testing.T) {
	for _, test := range []struct {
		cfg  NetworkConfig
		want string
	}{
		{NetworkConfig{Rooms: RoomsConfig{Mode: "loud"}}, `rooms.mode: "loud" is none of`},
		{NetworkConfig{Rooms: RoomsConfig{Channels: map[string]string{"c": modeRelay}}}, `rooms.channels: "c" is not the name of a channel`},
		{NetworkConfig{Rooms: RoomsConfig{Channels: map[string]string{"#c": "x"}}}, `rooms.channels.#c: "x" is none of`},
		{NetworkConfig{Relay: RelayConfig{Nick: "two words"}}, "relay.nick"},
		{NetworkConfig{Relay: RelayConfig{Password: "a\nb"}}, "relay: account and password"},
		{NetworkConfig{Relay: RelayConfig{RelayMsg: "maybe"}}, `relay.relaymsg: "maybe"`},
	} {
		test.cfg.Address = "irc.test:6667"
		err := Config{Networks: map[string]NetworkConfig{"net": test.cfg}}.Validate()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// Whatever somebody is called, what the channel reads is one line that begins with one name and belongs to nobody there.
func FuzzSpeaker(f *testing.F) {
	for _, name := range []string{"alice", "admin> x <b", "a\r\nQUIT", "\u202eadmin", "\x0304red", "", "Ａdmin", strings.Repeat("ab ", 100), "\xff"} {
		f.Add(name)
	}
	c := newClient(bareNetwork(NetworkConfig{}), "@irc_bot:hs.test")
	c.nick = "matrix"
	m := &membership{name: "#c", key: "#c", state: joined, names: newRoster()}
	m.names.set("admin", occupant{nick: "admin"})
	c.channels["#c"] = m
	f.Fuzz(func(t *testing.T, name string) {
		s := &send{key: "#c", verb: "PRIVMSG", speaker: &speaker{user: "@mallory:hs.test", name: tidyName(name)}}
		for _, line := range c.compose(s, "#c", "text") {
			said, ok := strings.CutPrefix(line, "PRIVMSG #c :<")
			called, rest, ends := strings.Cut(said, "> ")
			if !ok || !ends || rest != "text" || strings.ContainsAny(called, "<>\r\n\x00\x02\x03") || len(line) > 300 {
				t.Errorf("got %q", line)
			}
			if skeleton(called) == "admin" || skeleton(called) == "matrix" {
				t.Errorf("%q passes for somebody else", called)
			}
		}
	})
}
