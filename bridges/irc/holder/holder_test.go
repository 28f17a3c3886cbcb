package holder

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds what takes no time when all is well.
const patience = 20 * time.Second

// bench is a holder that dials a server of the test.
type bench struct {
	t       *testing.T
	dialer  *Dialer
	servers chan net.Conn
	ended   chan error
	stop    context.CancelFunc
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, servers: make(chan net.Conn, 10), ended: make(chan error, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.servers <- conn
		}
	}()
	path := SocketIn(t.TempDir())
	b.dialer = &Dialer{Path: path}
	h := New(path, func(_ context.Context, _ json.RawMessage, tcp func(net.Conn)) (net.Conn, bool, error) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			tcp(conn)
		}
		return conn, false, err
	})
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	ready := make(chan struct{})
	go func() { b.ended <- h.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		b.stop()
		_ = l.Close()
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
		b.ended <- nil
	})
	return b
}

func request(user string, hold time.Duration) Request {
	return Request{Key: Key{Network: "net", User: user}, Mark: "irc.test:6667", HoldMS: hold.Milliseconds()}
}

// server is the IRC server's end.
type server struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial makes a connection, and welcomes it.
func (b *bench) dial(req Request) (*Conn, *server) {
	b.t.Helper()
	conn, s := b.dialOnly(req)
	s.send(":irc.test CAP * LS :server-time multiline=max-bytes=100", ":irc.test CAP * ACK :server-time",
		":irc.test 001 alice :Welcome", ":irc.test 005 alice NICKLEN=20 :are supported", ":irc.test 376 alice :End")
	for range 5 {
		if _, err := conn.Next(); err != nil {
			b.t.Fatal(err)
		}
	}
	return conn, s
}

func (b *bench) dialOnly(req Request) (*Conn, *server) {
	b.t.Helper()
	told := false
	conn, err := b.dialer.Dial(b.t.Context(), req, map[string]string{}, func(Address) { told = true })
	if err != nil || !told {
		b.t.Fatalf("got %v, told of the connection: %t", err, told)
	}
	s := <-b.servers
	b.t.Cleanup(func() { _ = s.Close(); _ = conn.Close() })
	_ = s.SetReadDeadline(time.Now().Add(patience))
	return conn, &server{b.t, s, bufio.NewReader(s)}
}

func (s *server) send(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		if _, err := fmt.Fprintf(s.conn, "%s\r\n", line); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) expect(want string) {
	s.t.Helper()
	got, err := s.in.ReadString('\n')
	if err != nil || got != want+"\r\n" {
		s.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// sync returns when the holder has read what was sent before.
func (s *server) sync() {
	s.t.Helper()
	s.send("PING :sync")
	s.expect("PONG :sync")
}

func (b *bench) take(req Request) (*Conn, State) {
	b.t.Helper()
	conn, state, err := b.dialer.Take(b.t.Context(), req)
	if err != nil || conn == nil {
		b.t.Fatalf("got %v, %v; want the connection", conn, err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return conn, state
}

func next(t *testing.T, conn *Conn) Line {
	t.Helper()
	line, err := conn.Next()
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// A connection goes from one server to the next with all that was not confirmed, and PING is answered meanwhile.
func TestHandOver(t *testing.T) {
	b := newBench(t)
	req := request("alice", time.Minute)
	conn, s := b.dial(req)
	s.send(":alice!a@host JOIN #a", ":alice!a@host JOIN #b", ":x!x@x PRIVMSG #a :one", ":x!x@x PRIVMSG #a :two")
	var third uint64
	for i := range 4 {
		if line := next(t, conn); i == 2 {
			third = line.Seq
		}
	}
	if err := conn.Confirm(third, []string{"#a"}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Send(7, []string{"PRIVMSG #a :to IRC"}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Send(8, []string{"BATCH +1", "PRIVMSG #a :x", "BATCH -1"}); err != nil {
		t.Fatal(err)
	}
	// What is not whole is not sent.
	if _, err := conn.Write([]byte("M - BATCH +2\nW 9 PRIVM")); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	for _, want := range []string{"PRIVMSG #a :to IRC", "BATCH +1", "PRIVMSG #a :x", "BATCH -1"} {
		s.expect(want)
	}
	s.send(":x!x@x PRIVMSG #a :three")
	s.sync()
	list, err := b.dialer.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Key != req.Key || list[0].Nick != "alice" || !slices.Equal(list[0].Leads, []string{"#a"}) {
		t.Errorf("got %+v, %v", list, err)
	}
	conn, state := b.take(req)
	if got := state.Prelude; got.Nick != "alice" || got.UserHost != "a@host" || !slices.Equal(got.Channels, []string{"#a", "#b"}) ||
		!slices.Equal(got.On, []string{"server-time"}) || got.Offered["multiline"] != "max-bytes=100" || len(got.Info) != 1 {
		t.Errorf("got the prelude %+v", got)
	}
	if !slices.Equal(state.Written, []uint64{7, 8}) || state.Pending < 2 {
		t.Errorf("got written %v, and %d lines", state.Written, state.Pending)
	}
	for i, want := range []string{":x!x@x PRIVMSG #a :two", ":x!x@x PRIVMSG #a :three"} {
		if got := next(t, conn); string(got.Text) != want || got.Seq != third+1+uint64(i) || time.Since(got.At) > patience {
			t.Errorf("got %d %q, want %d %q", got.Seq, got.Text, third+1+uint64(i), want)
		}
	}
	if err := conn.End("bye"); err != nil {
		t.Fatal(err)
	}
	s.expect("QUIT :bye")
	_ = s.conn.Close()
}

// What has no successor says goodbye.
func TestGivenUp(t *testing.T) {
	t.Run("nobody comes", func(t *testing.T) {
		b := newBench(t)
		conn, s := b.dial(request("alice", time.Millisecond))
		_ = conn.Close()
		s.expect("QUIT :the bridge has not come back")
	})
	t.Run("too much", func(t *testing.T) {
		b := newBench(t)
		conn, s := b.dial(request("alice", time.Minute))
		_ = conn.Close()
		s.sync()
		go func() {
			line := ":x!x@x PRIVMSG #a :" + strings.Repeat("x", 400) + "\r\n"
			for range maxDetached/len(line) + 100 {
				if _, err := io.WriteString(s.conn, line); err != nil {
					return
				}
			}
		}()
		s.expect("QUIT :too much was said while the bridge was away")
	})
	t.Run("not registered", func(t *testing.T) {
		b := newBench(t)
		conn, s := b.dialOnly(request("alice", time.Minute))
		_ = conn.Close()
		if line, err := s.in.ReadString('\n'); err == nil {
			t.Errorf("got %q, want the end", line)
		}
	})
	t.Run("another network", func(t *testing.T) {
		b := newBench(t)
		conn, _ := b.dial(request("alice", time.Minute))
		_ = conn.Close()
		req := request("alice", time.Minute)
		req.Mark = "elsewhere.test:6667"
		if conn, _, err := b.dialer.Take(t.Context(), req); err != nil || conn != nil {
			t.Errorf("got %v, %v, want nothing", conn, err)
		}
	})
	t.Run("end", func(t *testing.T) {
		b := newBench(t)
		_, with := b.dial(request("alice", time.Minute))
		conn, without := b.dial(request("bob", time.Minute))
		_ = conn.Close()
		go func() { _ = b.dialer.End(context.Background(), "for good") }()
		for _, s := range []*server{with, without} {
			s.expect("QUIT :for good")
			_ = s.conn.Close()
		}
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
		b.ended <- nil
	})
}

// A server that does not read is not read for; nothing is lost.
func TestBackpressure(t *testing.T) {
	b := newBench(t)
	conn, s := b.dial(request("alice", time.Minute))
	const count = 20 * maxAttached / 400
	go func() {
		for i := range count {
			if _, err := fmt.Fprintf(s.conn, ":x!x@x PRIVMSG #a :%s%d\r\n", strings.Repeat("x", 380), i); err != nil {
				return
			}
		}
	}()
	for i := range count {
		line := next(t, conn)
		if !strings.HasSuffix(string(line.Text), fmt.Sprintf("x%d", i)) {
			t.Fatalf("got line %d: %q", i, line.Text)
		}
		if i%100 == 0 {
			_ = conn.Confirm(line.Seq, nil)
		}
	}
}

// What was said before a connection broke is told, and then that it broke.
func TestBrokenMeanwhile(t *testing.T) {
	b := newBench(t)
	req := request("alice", time.Minute)
	conn, s := b.dial(req)
	_ = conn.Close()
	s.send(":x!x@x PRIVMSG #a :last words")
	s.sync()
	_ = s.conn.Close()
	conn, _ = b.take(req)
	if got := next(t, conn); string(got.Text) != ":x!x@x PRIVMSG #a :last words" {
		t.Errorf("got %q", got.Text)
	}
	line, err := conn.Next()
	if err == nil && string(line.Text) == "PING :sync" {
		line, err = conn.Next() // it came before the holder knew that the server had gone
	}
	if err == nil {
		t.Errorf("got %q, want the end", line.Text)
	}
}

// The server before is cut off.
func TestTakenFromTheLiving(t *testing.T) {
	b := newBench(t)
	req := request("alice", time.Minute)
	before, _ := b.dial(req)
	go func() {
		for {
			if _, err := before.Next(); err != nil {
				return
			}
		}
	}()
	_ = before.CloseWrite()
	if _, state := b.take(req); state.Nick != "alice" {
		t.Errorf("got %+v", state)
	}
}

// A holder of a version that nobody knows is ended.
func TestUnknownVersion(t *testing.T) {
	path := SocketIn(t.TempDir())
	l, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(conn, "%s99\n", greeting)
		line, _ := readSmall(conn)
		got <- line
		_ = conn.Close()
	}()
	if list, err := (&Dialer{Path: path}).List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("got %v, %v", list, err)
	}
	if line := <-got; line != "END the bridge is upgraded" {
		t.Errorf("got %q", line)
	}
}

func TestForeign(t *testing.T) {
	if err := samePeer(1000, 1001); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	if err := samePeer(1000, 1000); err != nil {
		t.Errorf("got %v", err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Dialer{Path: SocketIn(dir)}).List(t.Context()); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	if err := New(SocketIn(dir), nil).Run(t.Context(), func() {}); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"@abstract", "relative.sock", "/" + strings.Repeat("x", 200)} {
		if _, err := (&Dialer{Path: path}).List(t.Context()); err == nil {
			t.Errorf("%s: got no error", path)
		}
	}
	b := newBench(t)
	info, err := os.Stat(b.dialer.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 600", info, err)
	}
	if err := New(b.dialer.Path, nil).Run(t.Context(), func() {}); err == nil {
		t.Error("a second holder runs")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(b.dialer.Path), "irc-holder.lock")); err != nil {
		t.Error(err)
	}
}

func TestPrelude(t *testing.T) {
	var p Prelude
	for _, line := range strings.Split(`:s 001 Alice :hi
:s CAP * LS * :sasl=PLAIN batch
:s CAP * LS :echo-message
:s CAP Alice ACK :batch echo-message
:s CAP Alice ACK :-echo-message
:s CAP Alice NEW :away-notify
:s CAP Alice DEL :sasl
:s 004 Alice s v o o
:s 900 Alice Alice!a@h acct :You are now logged in
:alice!a@h JOIN #One
:alice!a@h JOIN #two
:alice!a@h JOIN #three
:bob!a@h JOIN #four
:alice!a@h PART #two
:op!o@h KICK #three ALICE :out
:alice!a@h RENAME #one #eins
:s 306 Alice :away
:Alice!a@h NICK Alix
:bob!b@h NICK Bobby
:s 396 Alix cloak :is now your host
:x
CAP
`, "\n") {
		p.fold([]byte(line))
	}
	got, _ := json.Marshal(p)
	want := `{"nick":"Alix","user_host":"a@cloak","server":"s","info":[":s 004 Alice s v o o"],` +
		`"offered":{"away-notify":"","batch":"","echo-message":""},"on":["batch"],"account":"acct","away":true,"channels":["#eins"]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The names of channels are what the server writes, in whatever character set, also when they have been JSON.
func TestPreludeNames(t *testing.T) {
	var p Prelude
	for _, line := range []string{
		":s 001 alice :hi", ":alice!a@h JOIN #caf\xe9", ":alice!a@h JOIN #caf\xe8", ":alice!a@h JOIN #caf\xc3\xa9", ":alice!a@h JOIN #x",
		":alice!a@h PART #caf\xe8", ":s RENAME #x #\xff",
	} {
		p.fold([]byte(line))
	}
	text, _ := json.Marshal(p)
	var after Prelude
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range after.Channels {
		got = append(got, RawName(name))
	}
	if want := []string{"#caf\xe9", "#caf\xc3\xa9", "#\xff"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// So are nicks and accounts.
func TestPreludeNick(t *testing.T) {
	var p Prelude
	for _, line := range []string{
		":s 001 al\xe9 :hi", ":al\xe9!a@h JOIN #x", ":al\xe9!a@h JOIN #y", ":s KICK #x al\xe9 :out", ":al\xe9!a@h NICK :b\xe9b",
		":s 900 b\xe9b b\xe9b!a@h acc\xe9 :in",
	} {
		p.fold([]byte(line))
	}
	text, _ := json.Marshal(p)
	var after Prelude
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	got := append([]string{RawName(after.Nick), RawName(after.Account)}, after.Channels...)
	if want := []string{"b\xe9b", "acc\xe9", "#y"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzFold(f *testing.F) {
	f.Add(":s 001 a :x\n:a!b@c JOIN #x\n:s CAP * LS :a=b c\n:a KICK #x a")
	f.Fuzz(func(t *testing.T, text string) {
		var p Prelude
		for line := range strings.SplitSeq(text, "\n") {
			p.fold([]byte(line))
			_, _ = pingToken([]byte(line))
		}
		if len(p.Info) > maxInfo || len(p.Offered) > maxCaps || len(p.On) > maxCaps || len(p.Channels) > maxChannels {
			t.Errorf("got %d, %d, %d and %d entries", len(p.Info), len(p.Offered), len(p.On), len(p.Channels))
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("1 2 :a b"))
	f.Add([]byte("- x"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = parseLineFrame(raw)
		_, _, _ = parseWrite(raw)
		_, _, _ = parseAck(raw)
	})
}

// A connection that says nothing costs little. Both ends are of this process here; TLS, which is not, adds some 15 kB.
func TestMemory(t *testing.T) {
	const count, most = 200, 40 << 10
	b := newBench(t)
	b.dial(request("first", time.Minute)) // what is made once
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	for i := range count {
		b.dial(request(fmt.Sprint(i), time.Minute))
	}
	each := (used() - before) / count
	t.Logf("%d bytes a connection", each)
	if each > most {
		t.Errorf("got %d bytes a connection, want at most %d", each, most)
	}
}
