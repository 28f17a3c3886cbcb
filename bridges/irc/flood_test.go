package irc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineCosts(t *testing.T) {
	standard := NetworkConfig{}.withDefaults().Flood
	strict := FloodConfig{LineBytes: 120, ExtraBytes: 120, Costs: map[string]float64{"PRIVMSG": 2, "JOIN": 1, "WHO": 7.5}}.withDefaults()
	for _, test := range []struct {
		flood FloodConfig
		line  string
		want  float64
	}{
		{standard, "PRIVMSG #c :hello", 1},
		{standard, "PRIVMSG #c :" + strings.Repeat("x", 286), 1},
		{standard, "PRIVMSG #c :" + strings.Repeat("x", 286+75), 1.5},
		{standard, "@label=x TAGMSG #c", 1},
		{standard, "KICK #c carol :spam", 1},
		{standard, "MODE #c +o carol", 1},
		{standard, "MODE #c +b *!*@host", 1},
		{standard, "MODE #c", 2},
		{standard, "MODE #c b", 2},
		{standard, "MODE #c +q", 2},
		{standard, "MODE #c +m", 1},
		{standard, "@label=x MODE #c b", 2},
		{standard, "JOIN #c", 2},
		{standard, "NICK carol", 3},
		{standard, "BATCH -b1", 0},
		{standard, "", 1},
		{strict, "PRIVMSG #c :hello", 2},
		{strict, "PRIVMSG #c :" + strings.Repeat("x", 226), 3},
		{strict, "JOIN #c", 1},
		{strict, "WHO carol", 7.5},
		{strict, "INVITE carol #c", 3},
	} {
		if got := test.flood.cost(test.line, len(test.line)+2); got != test.want {
			t.Errorf("%.40q: got %v, want %v", test.line, got, test.want)
		}
	}
}

// limited is a connection that has not sent anything for a while.
func limited(t *testing.T, flood FloodConfig) (*bench, *pipe) {
	b := newBench(t, NetworkConfig{Flood: flood})
	s := b.accept()
	s.welcome()
	time.Sleep(time.Minute)
	return b, s
}

// times are when lines come, after now.
func (p *pipe) times(count int) (lines []string, at []time.Duration) {
	p.t.Helper()
	start := time.Now()
	for range count {
		if !p.lines.Scan() {
			p.t.Fatal("the connection ended")
		}
		lines, at = append(lines, p.lines.Text()), append(at, time.Since(start).Round(10*time.Millisecond))
	}
	return lines, at
}

// What is long, or of a command that servers weigh, makes the next lines wait longer; itself it goes as soon as any other line.
func TestHeavyLines(t *testing.T) {
	talk := func(length int) string { return "PRIVMSG #c :" + strings.Repeat("x", length-len("PRIVMSG #c :\r\n")) }
	for _, test := range []struct {
		name  string
		flood FloodConfig
		lines []string
		want  []int // seconds
	}{
		{"talk", FloodConfig{}, []string{talk(300), talk(300), talk(300), talk(300), talk(300), talk(300), talk(300)}, []int{0, 0, 0, 0, 0, 2, 4}},
		{"long talk", FloodConfig{}, []string{talk(450), talk(450), talk(450), talk(450), talk(450)}, []int{0, 0, 0, 4, 8}},
		{"as ircu counts", FloodConfig{LineBytes: 120, ExtraBytes: 120}, []string{talk(480), talk(480), talk(480)}, []int{0, 0, 8}},
		{"nicks", FloodConfig{}, []string{"NICK a", "NICK b", "NICK c", "MODE #c b", talk(20)}, []int{0, 0, 4, 10, 14}},
		{"own weights", FloodConfig{Costs: map[string]float64{"NICK": 1}}, []string{"NICK a", "NICK b", "NICK c", "NICK d", "NICK e"}, []int{0, 0, 0, 0, 0}},
		{"more than there ever is", FloodConfig{Costs: map[string]float64{"WHO": 50}}, []string{"WHO x", talk(20)}, []int{0, 92}},
		{"no limit", FloodConfig{Unlimited: true}, []string{"NICK a", "NICK b", "NICK c", talk(500), talk(500)}, []int{0, 0, 0, 0, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, s := limited(t, test.flood)
				b.c.box.add(&send{channel: "#c", verb: "PRIVMSG", plan: func(*client, *membership) []string { return test.lines }, done: func(error) {}})
				lines, at := s.answered(len(test.lines))
				for i, line := range lines {
					if got := int(at[i].Round(time.Second) / time.Second); line != test.lines[i] || got != test.want[i] {
						t.Errorf("line %d: got %.20q after %d s, want %.20q after %d s", i, line, got, test.lines[i], test.want[i])
					}
				}
			})
		})
	}
}

// answered is times without the PINGs, which it answers.
func (p *pipe) answered(count int) (lines []string, at []time.Duration) {
	p.t.Helper()
	start := time.Now()
	for len(lines) < count {
		got, _ := p.times(1)
		if token, ping := strings.CutPrefix(got[0], "PING :"); ping {
			p.send(":s PONG s :" + token)
			continue
		}
		lines, at = append(lines, got[0]), append(at, time.Since(start))
	}
	return lines, at
}

// A batch goes at once, however large it is, and owes what its lines would have cost one by one; what comes after it goes when that
// is paid.
func TestBatchOwes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, NetworkConfig{})
		s := b.accept()
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send(":s CAP * LS :batch message-tags draft/multiline=max-bytes=40000,max-lines=100")
		s.expect("CAP REQ :batch draft/multiline message-tags")
		s.send(":s CAP * ACK :batch draft/multiline message-tags")
		s.expect("CAP END")
		s.send(":s 001 alice :hi", ":s 376 alice :end")
		s.expect("JOIN #c")
		s.send(":alice!a@h JOIN #c")
		time.Sleep(time.Minute)
		const count = 20
		var text []string
		for n := range count {
			text = append(text, fmt.Sprint("line ", n))
		}
		b.c.box.add(&send{channel: "#c", verb: "PRIVMSG", lines: text, done: func(error) {}})
		_, at := s.times(count + 2)
		if at[count+1] != 0 {
			t.Errorf("the batch took %v", at[count+1])
		}
		start := time.Now()
		s.send("PING :are you there")
		s.expect("PONG :are you there")
		if got := time.Since(start); got > time.Millisecond {
			t.Errorf("PONG waited %v", got)
		}
		result := b.say("after it")
		// 5 tokens less 20 are paid back one for each 2 s, and the PING comes first.
		lines, at := s.times(1)
		if got := at[0].Round(time.Second); !strings.HasPrefix(lines[0], "PING :cw-") || got != 2*(count-5+1)*time.Second {
			t.Errorf("got %q after %v", lines[0], got)
		}
		s.send(":s PONG s" + strings.TrimPrefix(lines[0], "PING"))
		s.expect("PRIVMSG #c :after it")
		s.expect("PING :cw-2")
		s.send(":s PONG s :cw-2")
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}
