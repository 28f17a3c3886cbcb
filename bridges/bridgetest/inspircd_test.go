package bridgetest

import (
	"encoding/base64"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
)

// The servers of others work as the tests of bridges need them: accounts by SASL, and tags.
func TestInspIRCdWithAtheme(t *testing.T) {
	s := StartInspIRCd(t)
	s.StartAtheme()
	s.RegisterAccount("alice", "secret")
	for _, test := range []struct{ password, want string }{{"wrong", "904"}, {"secret", "903"}} {
		c := rawIRC(t, s.Address)
		c.Nick = "al" + test.want
		c.Send("CAP LS 302")
		c.Send("NICK %s", c.Nick)
		c.Send("USER %s 0 * :Alice", c.Nick)
		c.Send("CAP REQ :sasl account-tag message-tags server-time echo-message labeled-response batch")
		c.Await("ACK", func(m ircmsg.Message) bool { return m.Command == "CAP" && m.Params[1] == "ACK" })
		c.Send("AUTHENTICATE PLAIN")
		c.Await("+", command("AUTHENTICATE"))
		c.Send("AUTHENTICATE %s", base64.StdEncoding.EncodeToString([]byte("\x00alice\x00"+test.password)))
		c.Await(test.want, command(test.want))
		c.Send("CAP END")
		c.Await("welcome", command("001"))
		if test.want == "904" {
			continue
		}
		c.Join("#c")
		c.Send("@label=x PRIVMSG #c :hello")
		echo := c.Await("echo", Said("#c", c.Nick))
		if tag(echo, "account") != "alice" || tag(echo, "msgid") == "" || tag(echo, "time") == "" || tag(echo, "label") != "x" {
			t.Errorf("got tags %v, want account alice, msgid, time, label x", echo.AllTags())
		}
	}
}
