package bridgetest

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
)

// DialIRCAs is DialIRC for somebody who logs in to an account, by SASL PLAIN.
func DialIRCAs(t testing.TB, address, nick, account, password string, capabilities ...string) *IRCClient {
	t.Helper()
	c := rawIRC(t, address)
	c.Nick = nick
	c.Send("CAP LS 302")
	c.Send("NICK %s", nick)
	c.Send("USER %s 0 * :%s", nick, nick)
	c.Send("CAP REQ :%s", strings.Join(append([]string{"sasl"}, capabilities...), " "))
	c.Await("ACK", func(m ircmsg.Message) bool { return m.Command == "CAP" && m.Params[1] == "ACK" })
	c.Send("AUTHENTICATE PLAIN")
	c.Await("+", commandIs("AUTHENTICATE"))
	c.Send("AUTHENTICATE %s", base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)))
	c.Await("login", commandIs("903"))
	c.Send("CAP END")
	c.Await("welcome", func(m ircmsg.Message) bool { return m.Command == "376" || m.Command == "422" })
	return c
}

// AwaitAccount asks for a nick until it is logged in to an account.
func (c *IRCClient) AwaitAccount(nick, account string) {
	c.t.Helper()
	c.ask("WHOIS "+nick, "318", func(m ircmsg.Message) bool { // RPL_WHOISACCOUNT
		return m.Command == "330" && strings.EqualFold(m.Params[1], nick) && m.Params[2] == account
	})
}

func commandIs(name string) func(ircmsg.Message) bool {
	return func(m ircmsg.Message) bool { return m.Command == name }
}
