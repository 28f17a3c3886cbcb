package e2e

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"causeway/bridges/bridgetest"
)

// figuresEnv is "full" for the figures of docs/benchmarks.md. Without it the same runs are so small that they only show that
// they work.
const figuresEnv = "FIGURES"

// figures is how much is done to measure the bridge to IRC. None of it asserts a time.
type figures struct {
	full                      bool
	lines                     int // as fast as they are taken, each way
	paced                     int // one after the other at pacedRate, each way
	channels                  []int
	puppets, rooms, returning int
}

// pacedRate is lines a second.
const pacedRate = 50

// inFlight is how many lines that go as fast as they are taken may be on their way at once, everybody having the same share: less
// than a server holds for one
// who reads, and than the bridge takes of one user.
const inFlight = 256

// figuresWriters are who speaks on Matrix, over all channels.
const figuresWriters = 20

func figuresWanted() figures {
	if os.Getenv(figuresEnv) == "full" {
		return figures{full: true, lines: 4000, paced: 500, channels: []int{1, 20}, puppets: 1000, rooms: 1000, returning: 1000}
	}
	return figures{lines: 200, paced: 20, channels: []int{2}, puppets: 20, rooms: 5, returning: 20}
}

// ircServers are those whose figures are taken: one with all of IRCv3, and one with nothing of it. Neither limits what a
// connection sends.
var ircServers = []struct {
	name  string
	start func(t *testing.T) string
}{
	{"IRCv3", func(t *testing.T) string { return bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{}).Address }},
	{"ngircd", func(t *testing.T) string { return startNgircd(t).address }},
}

// TestFiguresOfLines measures lines a second from IRC to the /sync of a Matrix client and from Matrix to a client on IRC, and
// how long a line takes when there are 50 a second.
func TestFiguresOfLines(t *testing.T) {
	size := figuresWanted()
	t.Log("| engine | IRC server | channels | what | lines | lines/s | p50 ms | p95 ms | p99 ms | same side p50 ms | server CPU ms/line |")
	for _, engine := range engines {
		for _, irc := range ircServers {
			for _, channels := range size.channels {
				t.Run(fmt.Sprintf("%s/%s/%d", engine.name, irc.name, channels), func(t *testing.T) {
					r := newRig(t, engine.database(t), irc.start(t), channels)
					for _, way := range []way{fromIRC, toIRC} {
						for _, paced := range []bool{false, true} {
							l := r.talk(way, paced, size)
							t.Logf("| %s | %s | %d | %s |%s", engine.name, irc.name, channels, l.what(), l)
						}
					}
				})
			}
		}
	}
}

// way is a direction.
type way int

const (
	fromIRC way = iota
	toIRC
)

// rig is a server, a network and the people on both sides.
type rig struct {
	*crowd
	ear *ear
}

func newRig(t *testing.T, database, irc string, channels int) *rig {
	t.Helper()
	r := &rig{crowd: &crowd{t: t}}
	r.server = install(t, options{networks: ircNetwork(network, irc), database: database})
	r.quieten()
	r.server.start()
	for i := range channels {
		room := &bigRoom{channel: "#fig" + itoa(i)}
		room.near, room.far = connectIRC(t, irc, "near"+itoa(i)), connectIRC(t, irc, "far"+itoa(i))
		room.near.join(room.channel)
		room.far.join(room.channel)
		r.rooms = append(r.rooms, room)
	}
	for i := range max(figuresWriters, channels) {
		room := r.rooms[i%channels]
		w := r.newWriter("user"+itoa(i), room)
		r.writers = append(r.writers, w)
		room.people = append(room.people, w)
	}
	reader := r.server.registerHTTP(t, "reader")
	for _, room := range r.rooms {
		r.server.do(t, "POST", "/_matrix/client/v3/rooms/"+room.id+"/join", reader, map[string]any{}).decode(t, &struct{}{})
		for _, w := range room.people {
			room.near.awaitPuppet(0, w.name+nickEnd)
		}
		room.near.awaitPuppet(0, "reader"+nickEnd)
	}
	r.ear = newEar(r.server, reader)
	for _, room := range r.rooms {
		r.ear.listenIRC(t, room)
	}
	r.ear.listenMatrix(t)
	return r
}

// talk sends lines one way and returns when all have arrived on both sides.
func (r *rig) talk(way way, paced bool, size figures) *lines {
	r.t.Helper()
	count := size.lines
	limit := rate.NewLimiter(rate.Inf, 1)
	if paced {
		count, limit = size.paced, rate.NewLimiter(pacedRate, 1)
	}
	var say []func(text string) // who speaks
	if way == fromIRC {
		for _, room := range r.rooms {
			say = append(say, func(text string) { room.far.say(room.channel, text) })
		}
	} else {
		for _, w := range r.writers {
			say = append(say, func(text string) { w.say(text) })
		}
	}
	l := newLines(way, paced, count, len(say))
	r.ear.hears(l)
	defer r.ear.hears(nil)
	before := processorTime(r.t, r.server.cmd.Process.Pid)
	l.began = time.Now()
	var speakers sync.WaitGroup
	for i := range say {
		speakers.Go(func() {
			for n := i; n < count && limit.Wait(r.t.Context()) == nil && l.take(r.t, n); n += len(say) {
				l.said(n)
				say[i](l.text(n))
			}
		})
	}
	speakers.Wait()
	l.await(r.t)
	l.processor = processorTime(r.t, r.server.cmd.Process.Pid) - before
	return l
}
