package bridgetest

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

const (
	// v3Name and v3FarName are the names of the two servers that the network of an IRCv3 has.
	v3Name    = "irc.test"
	v3FarName = "far.irc.test"
	// v3HistoryPage is the most lines that CHATHISTORY gives at once.
	v3HistoryPage = 100
	// v3HistoryKept is the number of lines that a channel remembers.
	v3HistoryKept = 1 << 18
	// v3SendQueue is the bytes that may wait for a client that does not read.
	v3SendQueue = 16 << 20
	// v3MaxNick is the longest nick, in bytes.
	v3MaxNick = 32
)

// IRCv3Options are what may differ between servers.
type IRCv3Options struct {
	// Without are capabilities that are not offered.
	Without []string
	// Accounts are passwords by account, for SASL.
	Accounts map[string]string
	// Throttle, if not 0, is how many connections are accepted within ThrottleWindow.
	Throttle       int
	ThrottleWindow time.Duration
	// HistoryPage is the most lines of one CHATHISTORY, v3HistoryPage by default; HistoryKept is how many lines a
	// channel remembers.
	HistoryPage, HistoryKept int
	// Network is what the network calls itself, TestNet by default.
	Network string
}

// IRCv3 is an IRC network with what IRCv3 specifies, and with faults on demand. It has two servers, at Address and at
// FarAddress, which a netsplit parts. All its state is behind one lock, so that all clients see one order.
type IRCv3 struct {
	Address, FarAddress string

	t    testing.TB
	opts IRCv3Options
	wg   sync.WaitGroup // of the goroutines of connections and listeners

	mu           sync.Mutex // guards what follows, and the fields of connections and channels
	listeners    []net.Listener
	conns        map[*v3conn]bool
	nicks        map[string]*v3conn // registered ones, by folded nick
	channels     map[string]*v3channel
	klines       []v3kline
	split        bool
	delay        time.Duration
	connected    []time.Time    // when connections came, for the throttle
	came         int            // connections
	refused      int            // of these by the throttle
	banAfter     int            // refused ones, or 0
	mechanisms   string         // of SASL
	logins       map[string]int // by mechanism
	counter      int64          // of msgids and batches
	boot         string
	holdsHistory bool      // questions for the history wait, but for
	historyLeft  int       // so many
	asked        []v3asked // those that do
}

// v3asked is a question that waits for its answer.
type v3asked struct {
	by     *v3conn
	answer func()
}

// StartIRCv3 starts a network. It is stopped at the end of the test.
func StartIRCv3(t testing.TB, opts IRCv3Options) *IRCv3 {
	t.Helper()
	if opts.HistoryPage == 0 {
		opts.HistoryPage = v3HistoryPage
	}
	if opts.HistoryKept == 0 {
		opts.HistoryKept = v3HistoryKept
	}
	if opts.Network == "" {
		opts.Network = "TestNet"
	}
	s := &IRCv3{
		Address: FreeAddress(t), FarAddress: FreeAddress(t), t: t, opts: opts,
		conns: map[*v3conn]bool{}, nicks: map[string]*v3conn{}, channels: map[string]*v3channel{},
		mechanisms: v3Mechanisms, logins: map[string]int{},
		boot: strconv.FormatInt(time.Now().UnixMilli(), 36),
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start listens again after Stop, on the same addresses and with the same history.
func (s *IRCv3) Start() {
	s.t.Helper()
	for _, at := range []struct {
		address string
		far     bool
	}{{s.Address, false}, {s.FarAddress, true}} {
		l, err := net.Listen("tcp", at.address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.mu.Lock()
		s.listeners = append(s.listeners, l)
		s.mu.Unlock()
		s.wg.Go(func() { s.accept(l, at.far) })
	}
}

// Stop ends all connections without a word and listens no more.
func (s *IRCv3) Stop() {
	s.mu.Lock()
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.listeners = nil
	for c := range s.conns {
		c.drop()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *IRCv3) accept(l net.Listener, far bool) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		c := newV3conn(s, conn, far)
		s.conns[c] = true
		s.wg.Go(c.write)
		s.came++
		if s.throttled(time.Now()) {
			s.refuse(c)
		} else {
			s.wg.Go(c.read)
		}
		s.mu.Unlock()
	}
}

// throttled counts a connection, and reports whether it is one too many.
func (s *IRCv3) throttled(now time.Time) bool {
	if s.opts.Throttle == 0 {
		return false
	}
	kept := s.connected[:0]
	for _, at := range s.connected {
		if now.Sub(at) < s.opts.ThrottleWindow {
			kept = append(kept, at)
		}
	}
	s.connected = kept
	if len(kept) >= s.opts.Throttle {
		return true
	}
	s.connected = append(s.connected, now)
	return false
}

// forget takes a connection out; others on its channels see why.
func (s *IRCv3) forget(c *v3conn, reason string) {
	if !s.conns[c] {
		return
	}
	delete(s.conns, c)
	if !c.registered {
		return
	}
	delete(s.nicks, v3fold(c.nick))
	quit := ircmsg.MakeMessage(nil, c.mask(), "QUIT", reason)
	at := s.stamp(&quit, c)
	for peer := range s.peers(c) {
		peer.send(quit)
	}
	for _, ch := range s.channels {
		if m := ch.members[c]; m != nil {
			ch.remember(s, quit, at, c)
			delete(ch.members, c)
		}
	}
}

// peers are those who see what happens to somebody: all on their channels, but themselves.
func (s *IRCv3) peers(c *v3conn) map[*v3conn]bool {
	peers := map[*v3conn]bool{}
	for _, ch := range s.channels {
		if ch.members[c] == nil {
			continue
		}
		for other := range ch.members {
			if other != c && s.reaches(c, other) {
				peers[other] = true
			}
		}
	}
	return peers
}

// reaches reports whether two are not on different sides of a netsplit.
func (s *IRCv3) reaches(a, b *v3conn) bool { return !s.split || a.far == b.far }

// stamp gives a line its identity, time and account, and returns the time.
func (s *IRCv3) stamp(m *ircmsg.Message, from *v3conn) time.Time {
	at := time.Now()
	m.SetTag("time", v3time(at))
	m.SetTag("msgid", s.nextID())
	if from != nil && from.account != "" {
		m.SetTag("account", from.account)
	}
	return at
}

func (s *IRCv3) nextID() string {
	s.counter++
	return s.boot + strconv.FormatInt(s.counter, 36)
}

func v3time(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// v3fold is CASEMAPPING=ascii.
func v3fold(name string) string { return strings.ToLower(name) }
