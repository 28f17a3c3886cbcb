// Package turn is a TURN and STUN server: it relays the media of calls between people who cannot send to each other directly. It is
// pion/turn, within bounds: who may use it (keys.go), for what peers (peers.go), how many allocations and how much of
// each second (relay.go), and how much a stranger may ask of it by UDP (datagrams.go) and by TCP or TLS (streams.go).
//
// The wiring of cmd/causeway opens the sockets, keeps the secrets, and hands credentials to whoever may have them. The package knows no Matrix:
// a user is a name in credentials.
package turn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// Limits bound what clients may do. Zero values are replaced by the defaults.
type Limits struct {
	Allocations     int // at a time; 1,000 by default
	UserAllocations int // of one user at a time; 24 by default: a device makes one for each of its networks and each URI
	Bandwidth       int // of an allocation in each direction, in bytes a second; 2,500,000 by default
	Connections     int // by TCP and TLS at a time; 2,000 by default
	// AddressConnections is how many connections an address, or a /64 of IPv6, may have that have no allocation; 32 by default.
	AddressConnections int
	// Requests is how many requests and connections an address, or a /64 of IPv6, may make in a second, and four times as many after a pause;
	// 200 by default.
	Requests int
	// Patience is how long a connection may be without an allocation, a message under way, and a client slow to read; 15 s by default.
	Patience time.Duration
}

func (l *Limits) fill() {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.Allocations, 1000}, {&l.UserAllocations, 24}, {&l.Bandwidth, 2_500_000}, {&l.Connections, 2000},
		{&l.AddressConnections, 32}, {&l.Requests, 200},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if l.Patience <= 0 {
		l.Patience = 15 * time.Second
	}
}

// Bounds of one allocation that no client comes near.
const (
	maxPeers    = 128 // addresses that have permission
	maxChannels = 128
)

// Address is where relays are.
type Address struct {
	// Bind is the address of this machine that their sockets have. It may be unspecified.
	Bind netip.Addr
	// Public is by what address others reach them: Bind itself, or that of a NAT.
	Public netip.Addr
}

// Config is what a Server needs.
type Config struct {
	Realm string
	Keys  *Keys
	// Packets are UDP sockets, Streams listeners for TCP, and for TLS such as tls.NewListener makes. The server closes them.
	Packets []net.PacketConn
	Streams []net.Listener
	// Relays has one address at most for IPv4, and one for IPv6.
	Relays []Address
	// MinPort and MaxPort are the ports of relays.
	MinPort, MaxPort uint16
	// Allow are peers that would be refused otherwise: private addresses, and those of this machine. Refuse are others that are refused.
	Allow, Refuse []netip.Prefix
	// Services are sockets of this machine that relays may reach though its addresses are refused, as that of an SFU: where clients are told
	// that they are, and where they are reached from here. Each socket has one address that clients are told: what it sends comes from there.
	Services map[netip.AddrPort]netip.AddrPort
	// Active says whether a session that credentials were made for (Keys.MintSession) goes on; session is "" for credentials that name none. It is
	// asked at each new allocation, and about those that there are every half a minute: they end with the session. It may take some seconds, but
	// new allocations do not wait for long. nil is always.
	Active func(user, session string) bool
	Limits Limits
}

// Server is a TURN server.
type Server struct {
	cfg      Config
	services atomic.Pointer[services]
	relays   *relays
	visitors *visitors
	fronts   []*front
	own      atomic.Pointer[map[netip.Addr]struct{}] // addresses of this machine
	counters counters

	now func() time.Time
}

// upkeep is how often the addresses of the machine are looked up, and what is known of visitors is tidied up.
const upkeep = 30 * time.Second

// New makes a server. It serves from Run on. The sockets are the server's even if it returns an error.
func New(cfg Config) (*Server, error) {
	cfg.Limits.fill()
	s := &Server{cfg: cfg, visitors: newVisitors(cfg.Limits), now: time.Now}
	err := errors.Join(s.check(), s.serve(cfg.Services))
	if err == nil {
		if s.relays, err = newRelays(s); err == nil {
			s.lookAround()
		}
	}
	for _, socket := range cfg.Packets {
		s.fronts = append(s.fronts, s.newFront(socket, nil))
	}
	for _, listener := range cfg.Streams {
		s.fronts = append(s.fronts, s.newFront(nil, listener))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) check() error {
	switch c := s.cfg; {
	case c.Keys == nil:
		return errors.New("a TURN server needs keys for credentials")
	case len(c.Packets)+len(c.Streams) == 0:
		return errors.New("a TURN server needs a socket")
	case len(c.Relays) == 0:
		return errors.New("a TURN server needs an address for its relays")
	case c.MinPort == 0 || c.MaxPort < c.MinPort:
		return fmt.Errorf("a TURN server cannot have relays on ports %d to %d", c.MinPort, c.MaxPort)
	}
	return nil
}

// serve takes the services of this machine.
func (s *Server) serve(told services) error {
	sockets := map[netip.AddrPort]bool{}
	for _, at := range told {
		if sockets[at] {
			return fmt.Errorf("clients of a TURN server are told two addresses of %v", at)
		}
		sockets[at] = true
	}
	s.services.Store(&told)
	return nil
}

// Move has new relays be known by other addresses, on the same sockets as before, and services likewise; see Config. Relays that there are
// stay known by the old ones.
func (s *Server) Move(relays []Address, services map[netip.AddrPort]netip.AddrPort) error {
	if err := errors.Join(s.relays.move(relays), s.serve(services)); err != nil {
		return err
	}
	s.lookAround()
	return nil
}

// isActive says whether a session goes on.
func (s *Server) isActive(user, session string) bool {
	return s.cfg.Active == nil || s.cfg.Active(user, session)
}

// Run serves until ctx ends. Then all allocations end, and it returns nil when they have.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	for _, f := range s.fronts {
		if err := f.start(); err != nil {
			return fmt.Errorf("start the TURN server: %w", err)
		}
	}
	tick := time.NewTicker(upkeep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.lookAround()
			s.visitors.tidy(s.now())
			s.relays.endInactive()
		}
	}
}

// Close ends everything, and waits for it. Run does so by itself.
func (s *Server) Close() {
	if s.relays != nil {
		s.relays.close()
	}
	var ending sync.WaitGroup
	for _, f := range s.fronts {
		ending.Go(f.close)
	}
	ending.Wait()
	if s.relays != nil {
		s.relays.wait()
	}
}

// lookAround learns the addresses of this machine.
func (s *Server) lookAround() {
	own := make(map[netip.Addr]struct{})
	addrs, _ := net.InterfaceAddrs() // without them, those that are configured are left
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own[ip.Unmap()] = struct{}{}
			}
		}
	}
	for _, r := range s.relays.all() {
		own[r.Bind], own[r.Public] = struct{}{}, struct{}{}
	}
	s.own.Store(&own)
}

// auth tells pion who a request is from, and by which key that is proved. The time of credentials counts for new allocations alone: a call
// that outlasts it goes on. Comparing is pion's, in constant time.
func (s *Server) auth(ra *turn.RequestAttributes) (user string, authKey []byte, ok bool) {
	expiry, user, ok := parseUsername(ra.Username)
	if !ok || ra.Realm != s.cfg.Realm {
		s.counters.refuse(BadCredentials)
		return "", nil, false
	}
	if ra.Method == stun.MethodAllocate && expiry <= s.now().Unix() {
		s.counters.refuse(Expired)
		return "", nil, false
	}
	secret := s.cfg.Keys.secret(expiry)
	if secret == nil {
		s.counters.refuse(BadCredentials)
		return "", nil, false
	}
	return user, turn.GenerateAuthKey(ra.Username, ra.Realm, Sign(secret, ra.Username)), true
}
