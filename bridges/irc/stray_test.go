package irc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"
)

// withHistory is welcome by a server that tells the history of channels.
func (p *pipe) withHistory() {
	p.t.Helper()
	p.expect("CAP LS 302")
	p.expect("NICK alice")
	p.expect("USER alice 0 * @alice:hs.test")
	const caps = "batch draft/chathistory draft/event-playback message-tags server-time"
	p.send(":s CAP * LS :" + caps)
	p.expect("CAP REQ :" + caps)
	p.send(":s CAP * ACK :" + caps)
	p.expect("CAP END")
	p.send(":s 001 alice :hi", ":s 376 alice :end")
	p.expect("JOIN #c")
	p.send(":alice!a@h JOIN #c")
}

// past is an answer that throws alice out, and has others come and speak.
var past = []string{
	"@batch=h :op!o@h KICK #c alice :long ago", "@batch=h :bob!b@h JOIN #c", "@batch=h;msgid=1 :bob!b@h PRIVMSG #c :old",
	"@batch=h BATCH +i draft/multiline #c", "@batch=i;msgid=2 :bob!b@h PRIVMSG #c :older", "BATCH -i", "BATCH -h",
}

// checkUntouched tells that alice is in the channel still, and that nobody has come or said anything.
func (b *bench) checkUntouched(s *pipe) {
	b.t.Helper()
	b.say("hello")
	s.expect("PRIVMSG #c :hello")
	for _, it := range b.c.net.channels["#c"].lane.waiting() {
		switch it.(type) {
		case kickItem, joinItem, messageItem:
			b.t.Errorf("got %T of the past", it)
		}
	}
}

// What a server tells of the past without being asked, as after a restart, when a process before has asked, is not what happens now.
func TestUnaskedHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.withHistory()
		s.send("BATCH +h chathistory #c")
		s.send(past...)
		b.checkUntouched(s)
	})
}

// A server is slow, and what comes after we have ceased to wait is not what happens now either.
func TestLateHistory(t *testing.T) {
	for _, begun := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, quick)
			at := time.Now().Add(-time.Hour)
			b.c.net.lastOf = func(context.Context, id.UserID, string, time.Time) (delivered, error) {
				return delivered{id: "0", at: at}, nil
			}
			s := b.accept()
			s.withHistory()
			s.expect("CHATHISTORY AFTER #c msgid=0 100")
			if begun {
				s.send("BATCH +h chathistory #c")
			}
			time.Sleep(historyTimeout + time.Second)
			synctest.Wait()
			if !begun {
				s.send("BATCH +h chathistory #c")
			}
			s.send(past...)
			b.checkUntouched(s)
		})
	}
}
