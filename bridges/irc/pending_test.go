package irc

import (
	"testing"

	"maunium.net/go/mautrix/id"
)

// What waits at the relay is of several people. None of them changes what another has said, or takes it back.
func TestPendingOfOthers(t *testing.T) {
	for _, queued := range []bool{false, true} {
		n := bareNetwork(NetworkConfig{})
		n.channels["#c"] = newChannel(&lane{net: n, name: "#c", items: make(chan item, 10), done: make(chan struct{})})
		c := newClient(n, "@bot:hs.test")
		m := c.newMembership(joinRequest{channel: "#c"}, "#c")
		c.channels["#c"] = m
		var result error
		said := &send{
			channel: "#c", key: "#c", verb: "PRIVMSG", lines: []string{"hello"}, event: "$said",
			speaker: &speaker{user: "@alice:hs.test", name: "Alice"}, done: func(err error) { result = err },
		}
		if m.state = joined; queued {
			c.enqueue(said)
		} else {
			m.waiting = []*send{said}
		}
		change := func(by id.UserID, text *send) bool {
			r := changeRequest{target: "$said", by: by, text: text, done: make(chan bool, 1)}
			r.apply(c)
			return <-r.done
		}
		if change("@mallory:hs.test", &send{verb: "PRIVMSG", lines: []string{"I resign"}}) || change("@mallory:hs.test", nil) {
			t.Error("somebody else has changed a message")
		}
		if said.lines[0] != "hello" || result != nil {
			t.Errorf("got %q and %v", said.lines, result)
		}
		if !change("@alice:hs.test", &send{verb: "PRIVMSG", lines: []string{"hello!"}}) || said.lines[0] != "hello!" {
			t.Errorf("who has said it cannot change it: %q", said.lines)
		}
	}
}
