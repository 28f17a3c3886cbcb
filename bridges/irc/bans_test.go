package irc

import (
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

func TestEntries(t *testing.T) {
	solanum := support("CHANMODES=eIbq,k,flj,CFLMPQScgimnprstuz", "EXTBAN=$,ajrxz", "EXCEPTS=e")
	unreal := support("CHANMODES=beI,fkL,lH,cdimnprstzCDGKMNOPQRSTVZ", "EXTBAN=~,GptmTSOcarnqjf", "EXCEPTS")
	inspircd := support("CHANMODES=IXbegw,k,FHJLfjl,ACKMNOPQRSTcimnprstuz", "EXTBAN=,ACNOQRSTUacmnrz", "EXCEPTS=e")
	plain := support()
	for _, test := range []struct {
		s          *isupport
		mode       byte
		text, want string
	}{
		{plain, 'b', "*!*@host", "b *!*@host"},
		{plain, 'b', "carol", "b carol!*@*"},
		{plain, 'b', "*@host", "b *!*@host"},
		{plain, 'b', "carol!user", "b carol!user@*"},
		{plain, 'e', "*!*@host", ""},
		{plain, 'I', "*!*@host", ""},
		{plain, 'b', "~q:*!*@host", "b ~q:*!*@host"},
		{solanum, 'b', "$a:carol", "b account carol"},
		{solanum, 'b', "$a", ""},
		{solanum, 'b', "$~a", ""},
		{solanum, 'b', "$r:*bad*", ""},
		{solanum, 'b', "*!*@host$#elsewhere", "b *!*@host"},
		{solanum, 'q', "*!*@host", "q *!*@host"},
		{solanum, 'q', "$a:carol", "q account carol"},
		{solanum, 'e', "$a:carol", "e account carol"},
		{unreal, 'b', "~q:*!*@host", "q *!*@host"},
		{unreal, 'b', "~quiet:host", "q host!*@*"},
		{unreal, 'b', "~a:carol", "b account carol"},
		{unreal, 'b', "~account:carol", "b account carol"},
		{unreal, 'b', "~c:#other", ""},
		{unreal, 'b', "~time:60:*!*@host", ""},
		{inspircd, 'b', "m:*!*@host", "q *!*@host"},
		{inspircd, 'b', "R:carol", "b account carol"},
		{inspircd, 'b', "mute:*!*@host", "q *!*@host"},
		{inspircd, 'b', "j:#other", "b j:#other!*@*"},
		{inspircd, 'b', "*!*@2001:db8::1", "b *!*@2001:db8::1"},
		{inspircd, 'b', strings.Repeat("x", maxMask+1), ""},
	} {
		got := ""
		if kind, who, ok := test.s.entryOf(test.mode, test.text); ok {
			got = string(kind) + " " + who
		}
		if got != test.want {
			t.Errorf("%c %q: got %q, want %q", test.mode, test.text, got, test.want)
		}
	}
}

func TestMatchMask(t *testing.T) {
	for _, test := range []struct {
		mask, text string
		want       bool
	}{
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*!*@host", "carol!u@host", true},
		{"*!*@host", "carol!u@host.other", false},
		{"c*l!*@*.example", "carol!u@a.b.example", true},
		{"*a*b*c", "aabbcc", true},
		{"*a*b*c", "aabbccd", false},
		{strings.Repeat("*a", 100) + "b", strings.Repeat("a", 5000), false},
	} {
		if got := matchMask(test.mask, test.text); got != test.want {
			t.Errorf("%q %q: got %v, want %v", test.mask, test.text, got, test.want)
		}
	}
	if !RFC1459.fits("ALICE[]!*@*", person{mask: "alice{}!a@h"}) || RFC1459.fits("account bob", person{mask: "bob!b@h"}) {
		t.Error("capitals or accounts are wrong")
	}
}

func FuzzEntries(f *testing.F) {
	f.Add("EXTBAN=$,ajrxz", "b$a:carol")
	f.Add("EXTBAN=~,q", "b~q:*!*@*")
	f.Add("EXTBAN=,m", "bm:")
	f.Fuzz(func(t *testing.T, token, entry string) {
		s := support(token)
		if entry == "" {
			return
		}
		_, who, ok := s.entryOf(entry[0], entry[1:])
		if ok && (who == "" || len(who) > maxMask+len("!*@*")+len(byAccount)) {
			t.Fatalf("got %q of %q", who, entry)
		}
		RFC1459.fits(who, person{mask: entry, account: entry})
	})
}

// A ban of a ghost is a ban and a kick on IRC, of its account or its host; to lift it takes away these and no others.
func TestBanFromMatrix(t *testing.T) {
	for _, test := range []struct {
		name, tokens string
		answer       string // of the question who it is
		want         string // mask
		listed       []string
		lifted       string
	}{
		{"host", "", ":irc.test 352 alice * u carol.example irc.test carol H :0 Carol", "*!*@carol.example",
			[]string{"*!*@*.example", "*!*@carol.example", "CAROL!*@*"}, "MODE #c -bb *!*@carol.example CAROL!*@*"},
		{"account", "WHOX EXTBAN=$,ar", ":irc.test 354 alice 73 * u carol.example carol Carol1", "$a:Carol1",
			[]string{"$a:Carol1", "$a:other"}, "MODE #c -b $a:Carol1"},
		{"our own host", "", ":irc.test 352 alice * u host.test irc.test carol H :0 Carol", "carol!*@host.test", nil, ""},
		{"nobody", "", ":irc.test 401 alice carol :No such nick", "carol!*@*", []string{"carol!*@*"}, "MODE #c -b carol!*@*"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, conn, alice, room := scripted(t, nil, test.tokens, "carol")
			ghost := w.ghost("carol")
			w.hs.AwaitMembership(room, ghost, "join")
			w.hs.SetMember(alice, room, ghost, "ban", "spam")
			conn.Expect("WHO carol*")
			conn.Send("%s", test.answer)
			conn.Pong()
			conn.Expect("MODE #c +b " + test.want)
			conn.Expect("KICK #c carol :spam")
			conn.Send(":alice!alice@host.test MODE #c +b %s", test.want)
			conn.Send(":alice!alice@host.test KICK #c carol :spam")
			conn.Pong()
			w.hs.AwaitAcknowledged()
			w.hs.SetMember(alice, room, ghost, "leave", "")
			line := conn.Read()
			for ; !strings.HasPrefix(line, "PING :"); line = conn.Read() {
				conn.Send("%s", test.answer) // to WHO
			}
			for _, mask := range test.listed {
				conn.Send(":irc.test 367 alice #c %s somebody 1", mask)
			}
			conn.Send(":irc.test 368 alice #c :End")
			conn.Send(":irc.test PONG irc.test :%s", strings.TrimPrefix(line, "PING :"))
			if test.lifted != "" {
				conn.Expect(test.lifted)
				conn.Pong()
			}
			w.hs.AwaitAcknowledged()
		})
	}
}

// A ban that IRC refuses does not stand on Matrix.
func TestBanRefused(t *testing.T) {
	w, conn, alice, room := scripted(t, nil, "", "carol")
	ghost := w.ghost("carol")
	w.hs.AwaitMembership(room, ghost, "join")
	w.hs.SetMember(alice, room, ghost, "ban", "spam")
	conn.Expect("WHO carol")
	conn.Pong()
	conn.Expect("MODE #c +b carol!*@*")
	conn.Send(":irc.test 482 alice #c :You're not channel operator")
	conn.Expect("KICK #c carol :spam")
	conn.Send(":irc.test 482 alice #c :You're not channel operator")
	conn.Pong()
	w.awaitNotice(room, "carol was not banned on IRC: net says: You're not channel operator")
	w.hs.AwaitMembership(room, ghost, "join")
}

// A ban of one of us on IRC is one on Matrix, until it is lifted; a rank or an exception protects.
func TestBanFromIRC(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	conns, users := map[string]*bridgetest.IRCConn{}, map[string]id.UserID{}
	var room id.RoomID
	everybody := func(line string) {
		for _, nick := range []string{"alice", "bob", "eve"} {
			if conns[nick] != nil {
				conns[nick].Send("%s", line)
			}
		}
	}
	for _, nick := range []string{"alice", "bob", "eve"} {
		users[nick] = w.hs.User(nick)
		room = w.join(users[nick], "#c")
		conn := ircd.Accept()
		conn.Welcome(nick)
		conn.Send(":irc.test 005 %s CHANMODES=beq,k,l,imnpst EXCEPTS :are supported", nick)
		conn.Expect("JOIN #c")
		everybody(":" + nick + "!" + nick + "@host.test JOIN #c")
		conn.Enter(nick, "#c", "@carol")
		conns[nick] = conn
	}
	everybody(":carol!c@h MODE #c +v eve")
	w.awaitLevel(room, users["eve"], 1)
	everybody(":carol!c@h MODE #c +b b*!*@host.test")
	w.hs.AwaitMembership(room, users["bob"], "ban")
	conns["bob"].Expect("PART #c*")
	conns["bob"].Send(":bob!bob@host.test PART #c")
	conns["bob"] = nil
	everybody(":carol!c@h MODE #c +ebb alice!*@* *!*@* $x:unknown")
	everybody(":carol!c@h MODE #c -b b*!*@host.test")
	everybody(":dave!c@h PRIVMSG #c :this comes after")
	w.hs.AwaitText(room, "this comes after")
	w.hs.AwaitMembership(room, users["bob"], "leave")
	for _, nick := range []string{"alice", "eve"} {
		if !slices.Contains(w.hs.Joined(room), users[nick]) {
			t.Errorf("%s was banned, want them protected", nick)
		}
	}
	// Quiets are levels.
	everybody(":carol!c@h MODE #c -e+q alice!*@* alice!*@*")
	w.hs.AwaitMembership(room, users["alice"], "ban")
}
