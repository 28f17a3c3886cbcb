package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"causeway/bridges/bridgetest"
)

// peopleChannels are the channels over which people are spread, or on all of which they are.
const peopleChannels = 20

// TestFiguresOfMemory measures what a person who is connected and says nothing costs, and what a room.
func TestFiguresOfMemory(t *testing.T) {
	size := figuresWanted()
	binary := profiledBinary(t)
	engines := engines
	if !size.full {
		engines = engines[:1]
	}
	t.Log("| what | number | heap kB each | stacks kB each | resident kB each | goroutines each |")
	for _, engine := range engines {
		for _, on := range []int{1, peopleChannels} {
			t.Run(fmt.Sprintf("%s/people on %d", engine.name, on), func(t *testing.T) {
				irc := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
				p := newProfiled(t, binary, engine.database(t), ircNetwork(network, irc.Address))
				tokens := p.register(size.puppets)
				rooms := p.open(peopleChannels) // by the first, who counts for nothing
				before := p.look()
				p.each(tokens[1:], func(i int, token string) {
					for n := range on {
						p.enter(token, rooms[(i+n)%len(rooms)])
					}
				})
				p.awaitSeats(irc, (len(tokens)-1)*on+len(rooms))
				p.logf("%s: a puppet on %d of %d channels", before, len(tokens)-1, engine.name, on, peopleChannels)
			})
		}
		t.Run(engine.name+"/rooms", func(t *testing.T) {
			irc := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
			p := newProfiled(t, binary, engine.database(t), ircNetwork(network, irc.Address))
			p.register(1)
			p.open(1)
			before := p.look()
			p.open(size.rooms)
			p.awaitSeats(irc, size.rooms)
			p.logf("%s: a room with one puppet", before, size.rooms, engine.name)
		})
	}
}

// TestFiguresOfReturn measures how long it takes until everybody is back after the network was away: one that takes all at
// once, and one that takes ten connections a second.
func TestFiguresOfReturn(t *testing.T) {
	size := figuresWanted()
	const throttle, window = 100, 10 * time.Second
	t.Log("| connections a second | people | back after s | at best s |")
	for _, limited := range []bool{false, true} {
		t.Run(fmt.Sprintf("limited %t", limited), func(t *testing.T) {
			irc := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
			connect, allowed, best := ircNetwork(network, irc.Address), "any", 0.0
			if limited {
				// Without a burst, and a tenth slower than the server allows: who comes too early waits for one to two minutes.
				connect = string(bytes.Replace([]byte(connect), []byte("{burst: 100, interval: 10ms"), []byte("{burst: 1, interval: 110ms"), 1))
				allowed, best = itoa(throttle/int(window.Seconds())), float64(size.returning)*window.Seconds()/throttle
			}
			p := newProfiled(t, causewayBinary, "", connect)
			tokens := p.register(size.returning)
			rooms := p.open(peopleChannels)
			p.each(tokens[1:], func(i int, token string) { p.enter(token, rooms[i%len(rooms)]) })
			everybody := len(tokens) - 1 + len(rooms)
			p.awaitSeats(irc, everybody)
			if limited {
				irc.Limit(throttle, window)
			}
			irc.Stop()
			irc.Start()
			began := time.Now()
			p.awaitSeats(irc, everybody)
			t.Logf("| %s | %d | %.1f | %.1f |", allowed, len(tokens), time.Since(began).Seconds(), best)
		})
	}
}

// profiled is a server with many people, which tells what memory it has.
type profiled struct {
	*crowd
	profile string // host:port of net/http/pprof, if the binary has it
	tokens  []string
	opened  int
}

// profiledBinary builds a server that tells of itself, for the full figures.
func profiledBinary(t *testing.T) string {
	t.Helper()
	if !figuresWanted().full {
		return causewayBinary
	}
	binary := filepath.Join(t.TempDir(), "causeway")
	build := exec.Command("go", "build", "-tags", "goolm,profile", "-o", binary, "causeway/cmd/causeway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build causeway: %v\n%s", err, out)
	}
	return binary
}

func newProfiled(t *testing.T, binary, database, networks string) *profiled {
	t.Helper()
	p := &profiled{crowd: &crowd{t: t}}
	p.server = install(t, options{networks: networks, database: database})
	p.quieten()
	cmd := p.server.command("serve", "--config", p.server.config)
	if binary != causewayBinary {
		p.profile = freePort(t)
		cmd.Path, cmd.Args[0] = binary, binary
		cmd.Env = append(cmd.Env, "PROFILE_ADDRESS="+p.profile)
	}
	p.server.process = startProcess(t, "causeway", cmd, nil)
	p.server.awaitListener(t, p.server.address)
	return p
}

// register makes people.
func (p *profiled) register(count int) []string {
	p.t.Helper()
	p.tokens = make([]string, count)
	for i := range p.tokens {
		p.tokens[i] = p.server.registerHTTP(p.t, "user"+itoa(i))
	}
	return p.tokens
}

// open lets the first person open rooms of channels, by joining them.
func (p *profiled) open(count int) []string {
	p.t.Helper()
	rooms := make([]string, count)
	for i := range rooms {
		rooms[i] = p.enter(p.tokens[0], channelAlias(network, "#fig"+itoa(p.opened)))
		p.opened++
	}
	return rooms
}

// enter joins a room and returns its id.
func (p *profiled) enter(token, room string) string {
	var joined struct {
		RoomID string `json:"room_id"`
	}
	p.server.do(p.t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(room), token, map[string]any{}).decode(p.t, &joined)
	return joined.RoomID
}

// each does something for everybody, a few at once.
func (p *profiled) each(tokens []string, do func(i int, token string)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range next {
				do(i, tokens[i])
			}
		})
	}
	for i := range tokens {
		next <- i
	}
	close(next)
	workers.Wait()
}

// awaitSeats waits until so many members are on channels, all together, for as long as there are more and more.
func (p *profiled) awaitSeats(irc *bridgetest.IRCv3, want int) {
	p.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	last, since := -1, time.Now()
	for {
		now := irc.Seats()
		if now >= want {
			return
		}
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 3*patience { // who was refused waits for up to two minutes
			p.t.Fatalf("%d are on channels, want %d", now, want)
		}
		<-look.C
	}
}

// memory is one look at a process, in bytes.
type memory struct{ heap, stacks, resident, goroutines float64 }

var memoryLine = regexp.MustCompile(`(?m)^# (HeapAlloc|Stack) = (\d+)`)

// look collects what is garbage, and looks.
func (p *profiled) look() memory {
	p.t.Helper()
	var m memory
	if p.profile != "" {
		p.await()
		var text []byte
		for range 5 { // stacks shrink by half each time, and what has a finalizer goes later; an idle server collects every two minutes
			text = p.get("/debug/pprof/heap?gc=1&debug=1")
		}
		for _, found := range memoryLine.FindAllSubmatch(text, -1) {
			value, _ := strconv.ParseFloat(string(found[2]), 64)
			if string(found[1]) == "Stack" {
				m.stacks = value
			} else {
				m.heap = value
			}
		}
		m.goroutines = float64(p.goroutines())
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.server.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, _ := strconv.ParseFloat(string(bytes.Fields(statm)[1]), 64)
	m.resident = pages * float64(os.Getpagesize())
	return m
}

// await waits until nothing is going on any more: the number of goroutines and the time of the processor stay as they are.
func (p *profiled) await() {
	look := time.NewTicker(2 * time.Second)
	defer look.Stop()
	for last, used := -1, time.Duration(0); ; {
		<-look.C
		now, spent := p.goroutines(), processorTime(p.t, p.server.cmd.Process.Pid)
		if now == last && spent-used < 50*time.Millisecond {
			return
		}
		last, used = now, spent
	}
}

var goroutineTotal = regexp.MustCompile(`total (\d+)`)

func (p *profiled) goroutines() int {
	p.t.Helper()
	found := goroutineTotal.FindSubmatch(p.get("/debug/pprof/goroutine?debug=1"))
	if found == nil {
		p.t.Fatal("the server does not tell how many goroutines it has")
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

func (p *profiled) get(path string) []byte {
	p.t.Helper()
	response, err := http.Get("http://" + p.profile + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// logf tells what one of a number costs more than before. Where profilesEnv names a folder, the profile of the heap is written there.
func (p *profiled) logf(what string, before memory, number int, args ...any) {
	p.t.Helper()
	after := p.look()
	each := func(a, b float64) float64 { return (a - b) / float64(number) / 1000 }
	what = fmt.Sprintf(what, args...)
	p.t.Logf("| %s | %d | %.1f | %.1f | %.1f | %.1f |", what, number, each(after.heap, before.heap), each(after.stacks, before.stacks),
		each(after.resident, before.resident), 1000*each(after.goroutines, before.goroutines))
	dir := os.Getenv(profilesEnv)
	if dir == "" || p.profile == "" {
		return
	}
	for _, kind := range []string{"heap", "goroutine"} {
		file := filepath.Join(dir, regexp.MustCompile(`\W+`).ReplaceAllString(what, "-")+"."+kind)
		if err := os.WriteFile(file, p.get("/debug/pprof/"+kind), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// profilesEnv is a folder for profiles of what was measured.
const profilesEnv = "FIGURES_PROFILES"
