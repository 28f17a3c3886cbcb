package e2e

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"causeway/bridges/bridgetest"
)

// bigRunEnv is "full" for the big run at its full size, which takes a quarter of an hour, or "middle" for all people and faults
// of that with fewer lines.
const bigRunEnv = "BIG_RUN"

// nickEnd ends the nicks of Matrix users, so that none is the beginning of another one.
const nickEnd = "m"

// bigRun is many people on both sides who talk while everything between them breaks.
type bigRun struct {
	puppets, channels int
	lines             int // in all, half of them on each side
	kills, drops      int
	split             bool
	perSecond         int // lines on each side
}

var (
	bigRunSmall = bigRun{puppets: 40, channels: 8, lines: 8000, kills: 3, drops: 3, split: true, perSecond: 250}
	bigRunFull  = bigRun{puppets: 200, channels: 20, lines: 100_000, kills: 10, drops: 10, split: true, perSecond: 120}
	// An old network tells nothing of what was said in our absence, so there is none.
	bigRunPlain = bigRun{puppets: 40, channels: 8, lines: 4000, perSecond: 250}
)

// TestBigRun has people talk in many channels through kill -9 of the server, breaks of the network and a netsplit, and looks at
// every line: none is lost, none is doubled, and everybody's are in order. The small one is on SQLite only.
func TestBigRun(t *testing.T) {
	size, on := bigRunSmall, engines[:1]
	switch os.Getenv(bigRunEnv) {
	case "full":
		size, on = bigRunFull, engines
	case "middle":
		size, on = bigRunFull, engines
		size.lines, size.perSecond = 12_000, 60
	}
	for _, engine := range on {
		t.Run(engine.name, func(t *testing.T) { size.run(t, engine.database(t)) })
	}
}

func (size bigRun) run(t *testing.T, database string) {
	irc := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	relay := newRelay(t, irc.Address)
	p := gather(t, size, database, relay.address, irc.Address, irc.FarAddress)
	done := p.talk()
	faults := size.faults()
	for i, fault := range faults {
		p.awaitSaid(size.lines * (i + 1) / (len(faults) + 2))
		t.Logf("%d lines are said: %s", p.said.Load(), fault)
		switch fault {
		case "kill -9":
			p.server.kill()
			p.awaitMore(size.perSecond / 4)
			p.server.start()
		case "drop":
			relay.cut()
			p.awaitMore(size.perSecond / 4)
			relay.mend()
		case "netsplit":
			p.silenceFar()
			irc.Split()
			p.awaitMore(size.perSecond)
			irc.Heal()
			p.far.Unlock()
		}
	}
	<-done
	p.check()
}

// TestBigRunInspIRCd is the same without faults on a server of others.
func TestBigRunInspIRCd(t *testing.T) {
	irc := bridgetest.StartInspIRCd(t)
	p := gather(t, bigRunPlain, "", irc.Address, irc.Address, irc.Address)
	<-p.talk()
	p.check()
}

// faults are all of them, mixed.
func (b bigRun) faults() []string {
	var all []string
	for i := range max(b.kills, b.drops) {
		if i < b.kills {
			all = append(all, "kill -9")
		}
		if i < b.drops {
			all = append(all, "drop")
		}
		if b.split && i == 0 {
			all = append(all, "netsplit")
		}
	}
	return all
}

// crowd is the people of a big run.
type crowd struct {
	t       *testing.T
	size    bigRun
	server  *causeway
	began   time.Time
	writers []*writerOnMatrix
	rooms   []*bigRoom
	said    atomic.Int64
	far     sync.RWMutex // held while the far side speaks, and by who splits the network
}

// bigRoom is one channel with those on IRC who talk in it: one on each server. near also listens.
type bigRoom struct {
	channel   string
	id        string
	near, far *ircClient
	position  int // of near's journal when the talk begins
	people    []*writerOnMatrix
	notices   []string // of what was read of the room, newest first
	complete  bool     // everybody's last line has arrived
}

// gather lets everybody join.
func gather(t *testing.T, size bigRun, database, bridged, near, far string) *crowd {
	t.Helper()
	p := &crowd{t: t, size: size, server: install(t, options{database: database, networks: ircNetwork(network, bridged)})}
	p.quieten()
	p.server.start()
	for i := range size.channels {
		r := &bigRoom{channel: "#big" + itoa(i)}
		r.near, r.far = connectIRC(t, near, "near"+itoa(i)), connectIRC(t, far, "far"+itoa(i))
		r.near.join(r.channel)
		r.far.join(r.channel)
		p.rooms = append(p.rooms, r)
	}
	for i := range size.puppets {
		room := p.rooms[i%size.channels]
		w := p.newWriter("user"+itoa(i), room)
		p.writers = append(p.writers, w)
		room.people = append(room.people, w)
	}
	for _, w := range p.writers {
		w.room.near.awaitPuppet(0, w.name+nickEnd)
	}
	for _, r := range p.rooms {
		r.position = r.near.lines.position()
	}
	return p
}

// quieten makes the server's log short, of which a big run would otherwise keep some hundred megabytes.
func (p *crowd) quieten() {
	p.t.Helper()
	config, err := os.ReadFile(p.server.config)
	if err != nil {
		p.t.Fatal(err)
	}
	config = bytes.Replace(config, []byte("level: debug"), []byte("level: warn"), 1)
	nick := "        tls: false\n        nick: \"{localpart}" + nickEnd + "\"\n"
	config = bytes.Replace(config, []byte("        tls: false\n"), []byte(nick), 1)
	if err := os.WriteFile(p.server.config, config, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// talk lets everybody say their lines. The channel is closed when all are said.
func (p *crowd) talk() <-chan struct{} {
	p.began = time.Now()
	var everybody sync.WaitGroup
	onMatrix := rate.NewLimiter(rate.Limit(p.size.perSecond), 1)
	onIRC := rate.NewLimiter(rate.Limit(p.size.perSecond), 1)
	for _, w := range p.writers {
		everybody.Go(func() {
			for _, line := range p.linesOf(w.name) {
				if onMatrix.Wait(p.t.Context()) != nil || !w.say(line) {
					return
				}
				p.said.Add(1)
			}
		})
	}
	for _, r := range p.rooms {
		for _, c := range []*ircClient{r.near, r.far} {
			everybody.Go(func() {
				for _, line := range p.linesOf(c.nick) {
					if onIRC.Wait(p.t.Context()) != nil {
						return
					}
					if c == r.far {
						p.far.RLock()
					}
					c.say(r.channel, line)
					if c == r.far {
						p.far.RUnlock()
					}
					p.said.Add(1)
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { everybody.Wait(); close(done) }()
	p.t.Cleanup(func() { <-done })
	return done
}

// linesOf is what somebody says.
func (p *crowd) linesOf(name string) []string {
	count := p.size.lines / 2 / p.size.puppets
	if strings.HasPrefix(name, "near") || strings.HasPrefix(name, "far") {
		count = p.size.lines / 2 / (2 * p.size.channels)
	}
	return script(name, count)
}

// silenceFar lets the far side speak no more until far is unlocked: what it says during a netsplit reaches nobody. What it has
// said has been heard.
func (p *crowd) silenceFar() {
	p.far.Lock()
	for _, r := range p.rooms {
		start := r.far.lines.position()
		r.far.send("PING", "silent")
		r.far.await(start, "PONG", "PONG", "silent")
	}
}

func (p *crowd) awaitMore(lines int) { p.awaitSaid(int(p.said.Load()) + lines) }

// awaitSaid waits until so many lines are said in all.
func (p *crowd) awaitSaid(lines int) {
	p.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	last, since := p.said.Load(), time.Now()
	for p.said.Load() < int64(lines) && p.said.Load() < int64(p.size.lines) {
		<-look.C
		if now := p.said.Load(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > patience {
			p.t.Fatalf("%d lines are said, want %d; nobody has said one for %v", last, lines, patience)
		}
	}
}
