package turn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

const testRealm = "example.org"

// patience is how long a test waits for what it expects.
const patience = 10 * time.Second

// memory keeps secrets in memory.
type memory struct {
	mu  sync.Mutex // guards raw
	raw []byte
}

func (m *memory) Update(_ context.Context, change func([]byte) ([]byte, error)) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, err := change(m.raw)
	if err == nil {
		m.raw = raw
	}
	return raw, err
}

// clock is a time that a test sets.
type clock struct {
	mu    sync.Mutex // guards ahead
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// running is a server in a test, on loopback.
type running struct {
	*Server
	t     testing.TB
	keys  *Keys
	clock *clock
	addrs map[string]string // by transport
	stop  func()            // ends it, and waits
}

var loopback4, loopback6 = netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()

// start runs a server on UDP, TCP and TLS of both families.
func start(t testing.TB, change func(*Config)) *running {
	t.Helper()
	clock := new(clock)
	keys, err := openKeys(t.Context(), new(memory), time.Hour, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, keys: keys, clock: clock, addrs: map[string]string{}}
	cfg := Config{
		Realm: testRealm, Keys: keys, MinPort: 20000, MaxPort: 29999,
		Relays: []Address{{Bind: loopback4, Public: loopback4}, {Bind: loopback6, Public: loopback6}},
	}
	r.listen(&cfg, "4", "127.0.0.1:0")
	r.listen(&cfg, "6", "[::1]:0")
	if change != nil {
		change(&cfg)
	}
	if r.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	r.Server.now = clock.now
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) listen(cfg *Config, family, address string) {
	r.t.Helper()
	packets, err := net.ListenPacket("udp"+family, address)
	if err != nil {
		r.t.Fatal(err)
	}
	streams, err := net.Listen("tcp"+family, address)
	if err != nil {
		r.t.Fatal(err)
	}
	secure, err := net.Listen("tcp"+family, address)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg.Packets = append(cfg.Packets, packets)
	cfg.Streams = append(cfg.Streams, streams, tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{certificate()}}))
	r.addrs["udp"+family], r.addrs["tcp"+family], r.addrs["tls"+family] = packets.LocalAddr().String(), streams.Addr().String(), secure.Addr().String()
}

// certificate is one that nobody trusts.
var certificate = sync.OnceValue(func() tls.Certificate {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
})

// allowLoopback is for servers whose peers are in the test.
func allowLoopback(c *Config) { c.Allow = prefixes("127.0.0.0/8", "::1/128") }

// dial connects by a transport: "udp4", "tcp6", "tls4" and so on.
func (r *running) dial(transport string) net.Conn {
	r.t.Helper()
	network, secure := transport, transport[:3] == "tls"
	if secure {
		network = "tcp" + transport[3:]
	}
	conn, err := net.Dial(network, r.addrs[transport])
	if err != nil {
		r.t.Fatal(err)
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// allocate has pion's client make an allocation.
func (r *running) allocate(transport string, c Credentials) (net.PacketConn, error) {
	r.t.Helper()
	var conn net.PacketConn
	if transport[:3] == "udp" {
		var err error
		if conn, err = net.ListenPacket(transport, ":0"); err != nil {
			r.t.Fatal(err)
		}
	} else {
		conn = pion.NewSTUNConn(r.dial(transport))
	}
	family := pion.RequestedAddressFamilyIPv4
	if transport[3:] == "6" {
		family = pion.RequestedAddressFamilyIPv6
	}
	client, err := pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: r.addrs[transport], TURNServerAddr: r.addrs[transport], Conn: conn, Username: c.Username, Password: c.Password,
		Realm: testRealm, LoggerFactory: silent{}, RequestedAddressFamily: family,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := client.Listen(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close(); conn.Close() })
	return client.Allocate()
}

func (r *running) mustAllocate(transport string, c Credentials) net.PacketConn {
	r.t.Helper()
	conn, err := r.allocate(transport, c)
	if err != nil {
		r.t.Fatalf("allocate by %s: %v", transport, err)
	}
	return conn
}

// peer is a UDP socket of somebody on loopback.
func peer(t testing.TB, family string) net.PacketConn {
	t.Helper()
	host := "127.0.0.1:0"
	if family == "6" {
		host = "[::1]:0"
	}
	conn, err := net.ListenPacket("udp"+family, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, from net.PacketConn, to net.Addr, text string) {
	t.Helper()
	if _, err := from.WriteTo([]byte(text), to); err != nil {
		t.Fatalf("send %q: %v", text, err)
	}
}

// receive returns the next packet, "" for none, and who it is from.
func receive(t testing.TB, at net.PacketConn) (string, net.Addr) {
	t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2000)
	n, from, err := at.ReadFrom(b)
	if err != nil {
		t.Fatalf("nothing comes: %v", err)
	}
	return string(b[:n]), from
}

// asker speaks TURN message by message.
type asker struct {
	t       testing.TB
	conn    net.Conn
	user    Credentials
	nonce   stun.Nonce
	pending []byte
}

func (r *running) asker(transport string, user Credentials) *asker {
	r.t.Helper()
	return &asker{t: r.t, conn: r.dial(transport), user: user}
}

// build makes a signed request.
func (a *asker) build(method stun.Method, attributes ...stun.Setter) *stun.Message {
	a.t.Helper()
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if a.nonce != nil {
		setters = append(setters, stun.NewUsername(a.user.Username), stun.NewRealm(testRealm), a.nonce,
			stun.NewLongTermIntegrity(a.user.Username, testRealm, a.user.Password))
	}
	m, err := stun.Build(setters...)
	if err != nil {
		a.t.Fatal(err)
	}
	return m
}

// ask makes a request and returns the code of the error that it is answered with, 0 for none.
func (a *asker) ask(method stun.Method, attributes ...stun.Setter) int {
	a.t.Helper()
	m := a.build(method, attributes...)
	if _, err := a.conn.Write(m.Raw); err != nil {
		a.t.Fatal(err)
	}
	answer := a.answer(m.TransactionID)
	var nonce stun.Nonce
	if a.nonce == nil && nonce.GetFrom(answer) == nil {
		a.nonce = nonce
		return a.ask(method, attributes...)
	}
	var code stun.ErrorCodeAttribute
	if code.GetFrom(answer) != nil {
		return 0
	}
	return int(code.Code)
}

// answer reads until the answer to a request comes.
func (a *asker) answer(id [stun.TransactionIDSize]byte) *stun.Message {
	a.t.Helper()
	for {
		m := new(stun.Message)
		if b := a.message(); m.UnmarshalBinary(b) == nil && m.TransactionID == id {
			return m
		}
	}
}

// message reads the next message.
func (a *asker) message() []byte {
	a.t.Helper()
	b, err := a.read()
	if err != nil {
		a.t.Fatalf("no message: %v", err)
	}
	return b
}

func (a *asker) read() ([]byte, error) {
	_ = a.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		size, ok := messageSize(a.pending)
		if !ok {
			return nil, fmt.Errorf("%x is no message", a.pending)
		}
		if size > 0 && size <= len(a.pending) {
			m := a.pending[:size]
			a.pending = a.pending[size:]
			return m, nil
		}
		b := make([]byte, 2000)
		n, err := a.conn.Read(b)
		if err != nil {
			return nil, err
		}
		a.pending = append(a.pending, b[:n]...)
	}
}

// attribute sets bytes.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

var udpTransport = attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

// xorPeer is the attribute that names a peer.
type xorPeer netip.AddrPort

func (p xorPeer) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// allocation makes one.
func (a *asker) allocation() {
	a.t.Helper()
	if code := a.ask(stun.MethodAllocate, udpTransport); code != 0 {
		a.t.Fatalf("the allocation is refused with %d", code)
	}
}

// await waits until something is so.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}
