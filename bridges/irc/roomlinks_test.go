package irc_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
	"causeway/bridges/irc"
	"causeway/homeserver/storetest"
)

// gardeners is a room of alice's in which bob is a member without power and the bot, and a channel of carol's.
type gardeners struct {
	*real
	alice, bob, mallory *person
	room                id.RoomID
	carol               *bridgetest.IRCClient
}

func startGardeners(t *testing.T) *gardeners {
	t.Helper()
	ircd := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	closed := realNetwork(bridgetest.FreeAddress(t))
	closed.Plumb = "off"
	r := startReal(t, storetest.New(t), irc.Config{Networks: map[string]irc.NetworkConfig{"net": realNetwork(ircd.Address), "closed": closed}})
	g := &gardeners{real: r, alice: r.person("alice"), bob: r.person("bob"), mallory: r.person("mallory")}
	g.carol = bridgetest.DialIRC(t, ircd.Address, "carol")
	g.carol.Join("#c")
	g.room = g.alice.createRoom(map[string]any{
		"name": "Gardeners", "room_alias_name": "gardeners", "invite": []id.UserID{r.bridge.Bot()}, "preset": "public_chat",
	})
	r.OK("POST", "/_matrix/client/v3/join/"+string(g.room), g.bob.Token, "{}", nil)
	return g
}

// link asks for a channel.
func (g *gardeners) wish(room, channel string) map[string]any {
	return map[string]any{"room": room, "place": "net", "chat": channel}
}

// links are the states of what a person is shown.
func (p *person) links() string {
	p.t.Helper()
	status, _, out := p.provision("GET", "/room_links", nil)
	if status != 200 {
		p.t.Fatalf("got %d %v", status, out)
	}
	var words []string
	list, _ := out["links"].([]any)
	for _, link := range list {
		l, _ := link.(map[string]any)
		words = append(words, fmt.Sprint(l["room_name"], " ", l["chat"], "@", l["place"], " ", l["state"], " ", l["may_end"]))
	}
	return strings.Join(words, "; ")
}

// wantLinks waits until a person is shown this: what is done in the room comes by itself, and word of it is awaited first.
func (p *person) wantLinks(want string) {
	p.t.Helper()
	if got := p.links(); got != want {
		p.t.Errorf("%s is shown %q, want %q", p.ID, got, want)
	}
}

// told waits for a notice of the bot in the room.
func (g *gardeners) told(count int, text string) {
	g.t.Helper()
	g.alice.await(text, func(e realEvent) bool {
		if e.Room == g.room && e.Sender == g.bridge.Bot() && strings.Contains(e.text(), text) {
			count--
		}
		return count == 0
	})
}

// asked is the code that an operator is asked with, the newest.
func asked(operator *bridgetest.IRCClient, count int) string {
	list := operator.AwaitCount("a question", count, func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == "matrix" && strings.HasPrefix(m.Params[1], "To allow it: ")
	})
	_, rest, _ := strings.Cut(list[count-1].Params[1], " yes ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

// Rooms are connected over HTTP by whom the command would obey, in the same way, and nobody hears of rooms that they are not in.
func TestRoomLinks(t *testing.T) {
	g := startGardeners(t)
	alice := g.alice
	status, _, out := alice.provision("GET", "/capabilities", nil)
	if status != 200 || out["causeway.room_links"] != true {
		t.Errorf("got capabilities %d %v", status, out)
	}
	_, _, out = alice.provision("GET", "/room_links", nil)
	form, _ := out["form"].(map[string]any)
	if fmt.Sprint(form["places"]) != "[net]" || form["bot"] != string(g.bridge.Bot()) || form["chat_name"] != "Channel" || form["whom_name"] == nil {
		t.Errorf("got form %v", form)
	}

	status, _, out = alice.provision("POST", "/room_links/link", g.wish("#gardeners:test", "#c"))
	until, _ := out["until_ts"].(float64)
	if status != 200 || out["room_id"] != string(g.room) || out["state"] != "waiting" || until == 0 || out["may_end"] != true {
		t.Fatalf("got %d %v", status, out)
	}
	code := asked(g.carol, 1)
	g.told(1, "Asked carol on net")
	alice.wantLinks("Gardeners #c@net waiting true")
	if status, errcode, _ := alice.provision("POST", "/room_links/link", g.wish(string(g.room), "#c")); status != 429 || errcode != "M_LIMIT_EXCEEDED" {
		t.Errorf("asked again: got %d %s", status, errcode)
	}
	g.carol.Send("PRIVMSG matrix :no %s", code)
	g.told(1, "does not want this room to be connected")
	alice.wantLinks("Gardeners #c@net refused false")

	alice.provision("POST", "/room_links/link", map[string]any{"room": string(g.room), "place": "net", "chat": "#c", "whom": "carol"})
	g.carol.Send("PRIVMSG matrix :yes %s", asked(g.carol, 2))
	g.told(1, "This room is connected with #c on net")
	alice.wantLinks("Gardeners #c@net connected true")
	g.bob.wantLinks("")
	g.mallory.wantLinks("")
	g.carol.Say("#c", "welcome")
	alice.awaitText(g.room, "welcome")

	// Who may decide there is shown it, and may end it; for the others there is nothing to be ended.
	g.level(50)
	g.bob.wantLinks("Gardeners #c@net connected true")
	g.level(0)
	for _, p := range []*person{g.bob, g.mallory} {
		if status, errcode, _ := p.provision("POST", "/room_links/unlink", g.wish(string(g.room), "#c")); status != 403 || errcode != "M_FORBIDDEN" {
			t.Errorf("%s: got %d %s", p.ID, status, errcode)
		}
	}
	if status, errcode, _ := alice.provision("POST", "/room_links/unlink", g.wish(string(g.room), "#other")); status != 404 || errcode != "M_NOT_FOUND" {
		t.Errorf("another channel: got %d %s", status, errcode)
	}
	if status, _, out := alice.provision("POST", "/room_links/unlink", g.wish(string(g.room), "#c")); status != 200 {
		t.Fatalf("got %d %v", status, out)
	}
	g.carol.AwaitCommand("PART", "alice", "#c")
	alice.await("the bot goes", func(e realEvent) bool { return e.Room == g.room && isMember(g.bridge.Bot(), "leave")(e) })
	alice.wantLinks("")
}

// level gives bob a level.
func (g *gardeners) level(level int) {
	g.t.Helper()
	g.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(g.room))+"/state/m.room.power_levels/", g.alice.Token,
		map[string]any{"users": map[string]any{string(g.bob.ID): level}, "state_default": 50}, nil)
}

// What was asked for is taken back: the code counts for nothing any more.
func TestRoomLinkTakenBack(t *testing.T) {
	g := startGardeners(t)
	g.alice.provision("POST", "/room_links/link", g.wish(string(g.room), "#c"))
	code := asked(g.carol, 1)
	if status, _, out := g.alice.provision("POST", "/room_links/unlink", g.wish(string(g.room), "#c")); status != 200 {
		t.Fatalf("got %d %v", status, out)
	}
	g.told(1, "does not want this room to be connected with #c on net any more")
	g.carol.Send("PRIVMSG matrix :yes %s", code)
	g.carol.Await("that there is no question", func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == "matrix" && strings.HasPrefix(m.Params[1], "There is no question with that code")
	})
	g.alice.wantLinks("")
}

// Who may not decide about a room is refused, and hears nothing of it; what is not right is said at its field.
func TestRoomLinksRefused(t *testing.T) {
	g := startGardeners(t)
	without := g.alice.createRoom(map[string]any{"name": "Without the bot", "preset": "public_chat"})
	for _, request := range []string{"GET /room_links", "POST /room_links/link", "POST /room_links/unlink"} {
		method, path, _ := strings.Cut(request, " ")
		a := g.Do(method, "/_causeway/bridges/irc/provision/v3"+path, "", "{}")
		if a.Status != 401 {
			t.Errorf("%s of nobody: got %d", request, a.Status)
		}
	}
	const members = "Only members of the room who may set its m.bridge state and have at least level 50 decide that, and @irc_bot:test has to be in the room: invite it."
	long := strings.Repeat("x", 600)
	for _, c := range []struct {
		name   string
		who    *person
		body   any
		status int
		code   string
		field  any
		want   string
	}{
		{"a member without power", g.bob, g.wish(string(g.room), "#c"), 403, "M_FORBIDDEN", "room", members},
		{"a stranger", g.mallory, g.wish(string(g.room), "#c"), 403, "M_FORBIDDEN", "room", members},
		{"a stranger, by address", g.mallory, g.wish("#gardeners:test", "#c"), 403, "M_FORBIDDEN", "room", members},
		{"a stranger, of a room without the bot", g.mallory, g.wish(string(without), "#c"), 403, "M_FORBIDDEN", "room", members},
		{"a room without the bot", g.alice, g.wish(string(without), "#c"), 403, "M_FORBIDDEN", "room", members},
		{"no room", g.alice, g.wish("!nothing:test", "#c"), 403, "M_FORBIDDEN", "room", members},
		{"no address", g.alice, g.wish("#nothing:test", "#c"), 400, "M_INVALID_PARAM", "room", "There is no room of this address"},
		{"neither", g.alice, g.wish("gardeners", "#c"), 400, "M_INVALID_PARAM", "room", ""},
		{"no channel", g.alice, g.wish(string(g.room), "c"), 400, "M_INVALID_PARAM", "chat", ""},
		{"a channel with a command", g.alice, g.wish(string(g.room), "#c\r\nQUIT"), 400, "M_INVALID_PARAM", "chat", ""},
		{"no network", g.alice, map[string]any{"room": g.room, "place": "other", "chat": "#c"}, 400, "M_INVALID_PARAM", "place", ""},
		{"a network that has none", g.alice, map[string]any{"room": g.room, "place": "closed", "chat": "#c"}, 403, "M_FORBIDDEN", "place", ""},
		{"no nick", g.alice, map[string]any{"room": g.room, "place": "net", "chat": "#c", "whom": "a b"}, 400, "M_INVALID_PARAM", "whom", ""},
		{"too long", g.alice, g.wish(string(g.room), "#"+long), 400, "M_INVALID_PARAM", "chat", "This is too long"},
		{"no JSON", g.alice, "x", 400, "M_NOT_JSON", nil, ""},
		{"too large", g.alice, g.wish(strings.Repeat(long, 1000), "#c"), 413, "M_TOO_LARGE", nil, ""},
	} {
		status, code, out := c.who.provision("POST", "/room_links/link", c.body)
		text, _ := out["error"].(string)
		if status != c.status || code != c.code || out["field"] != c.field || c.want != "" && text != c.want || strings.ContainsAny(text, "`$") {
			t.Errorf("%s: got %d %v, want %d %s at %v", c.name, status, out, c.status, c.code, c.field)
		}
	}
	for _, p := range []*person{g.alice, g.bob, g.mallory} {
		p.wantLinks("")
	}
	if list := g.carol.Lines(func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Nick() == "matrix" }); len(list) > 0 {
		t.Errorf("an operator was asked: %v", list)
	}
	var inside struct {
		Joined map[id.UserID]any `json:"joined"`
	}
	g.OK("GET", "/_matrix/client/v3/rooms/"+url.PathEscape(string(without))+"/joined_members", g.alice.Token, nil, &inside)
	if len(inside.Joined) != 1 {
		t.Errorf("got %v in the room without the bot: whoever names a room that is open has the bot enter it", inside.Joined)
	}
	// A channel that has a room of its own.
	g.OK("POST", "/_matrix/client/v3/join/"+url.PathEscape("#irc_net_#c:test"), g.mallory.Token, "{}", nil)
	status, code, out := g.alice.provision("POST", "/room_links/link", g.wish(string(g.room), "#c"))
	if text, _ := out["error"].(string); status != 400 || code != "M_INVALID_PARAM" || !strings.Contains(text, "has a room already") {
		t.Errorf("got %d %v", status, out)
	}
}
