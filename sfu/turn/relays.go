package turn

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/turn/v5"
)

// place is where a relay is: a port, for each family of addresses on its own.
type place struct {
	v6   bool
	port uint16
}

// relays are the sockets of all allocations. It is pion's way to make them.
type relays struct {
	server *Server
	asking sync.WaitGroup // who asks whether a session goes on

	mu        sync.RWMutex     // guards what follows
	addresses map[bool]Address // of new relays, by whether they are of IPv6
	live      map[place]*relay
	known     map[netip.Addr]int // live relays by their public address
	users     map[string]int     // allocations by user
	closed    bool
	none      *sync.Cond // signalled when live becomes empty
}

func newRelays(s *Server) (*relays, error) {
	r := &relays{server: s, live: map[place]*relay{}, known: map[netip.Addr]int{}, users: map[string]int{}}
	r.none = sync.NewCond(&r.mu)
	return r, r.move(s.cfg.Relays)
}

// move has new relays be at other addresses. Those that there are stay what they are.
func (r *relays) move(to []Address) error {
	addresses := map[bool]Address{}
	for _, a := range to {
		v6 := a.Public.Is6()
		if _, twice := addresses[v6]; twice || !a.Public.IsValid() || a.Bind.Is6() != v6 || a.Public.IsUnspecified() {
			return fmt.Errorf("relays cannot be on %v and known as %v", a.Bind, a.Public)
		}
		addresses[v6] = a
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses = addresses
	return nil
}

// all are the addresses of new relays.
func (r *relays) all() []Address {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.addresses))
}

// address is that of new relays of a family.
func (r *relays) address(v6 bool) (Address, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, ok := r.addresses[v6]
	return a, ok
}

// Errors of allocations that are not made.
var (
	errTransport = errors.New("relays have UDP towards peers")
	errFamily    = errors.New("there are no relays of this family of addresses")
	errEvenPort  = errors.New("ports are not reserved")
	errQuota     = errors.New("there are too many allocations")
	errPorts     = errors.New("no port is free for a relay")
)

// Validate implements turn.RelayAddressGenerator.
func (r *relays) Validate() error { return nil }

// AllocatePacketConn implements turn.RelayAddressGenerator. Ports are random, so that nobody guesses them.
func (r *relays) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	v6 := c.Network == "udp6"
	address, ok := r.address(v6)
	switch {
	case !ok:
		r.server.counters.refuse(Unsupported)
		return nil, nil, errFamily
	case c.UserID == "" || c.RequestedPort != 0: // so pion asks for EVEN-PORT, which media has not needed since RTCP has the same port
		r.server.counters.refuse(Unsupported)
		return nil, nil, errEvenPort
	}
	first := rand.IntN(r.size())
	for i := range min(r.size(), maxPorts) {
		port := r.server.cfg.MinPort + uint16((first+i)%r.size())
		made, err := r.open(c, address, place{v6, port})
		switch {
		case err == nil:
			r.server.counters.allocated.Add(1)
			return made, net.UDPAddrFromAddrPort(made.public), nil
		case errors.Is(err, errQuota):
			return nil, nil, err
		}
	}
	r.server.counters.refuse(ServerQuota)
	return nil, nil, errPorts
}

// maxPorts is how many ports are tried for a relay.
const maxPorts = 256

func (r *relays) size() int { return int(r.server.cfg.MaxPort-r.server.cfg.MinPort) + 1 }

// open makes a relay at a place, if nobody has it.
func (r *relays) open(c turn.AllocateListenerConfig, a Address, at place) (*relay, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	user, session := splitSession(c.UserID)
	if reason, full := r.isFull(user); full {
		r.server.counters.refuse(reason)
		return nil, errQuota
	}
	if r.live[at] != nil {
		return nil, errPorts
	}
	socket, err := net.ListenUDP(c.Network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Bind, at.port)))
	if err != nil {
		return nil, err
	}
	rate, now := float64(r.server.cfg.Limits.Bandwidth), r.server.now()
	made := &relay{
		UDPConn: socket, server: r.server, user: user, session: session, permitted: map[netip.Addr]struct{}{},
		public: netip.AddrPortFrom(a.Public, at.port), local: netip.AddrPortFrom(within(a.Bind), at.port),
		out: newBucket(rate, rate, now), in: newBucket(rate, rate, now),
	}
	r.live[at] = made
	r.known[a.Public]++
	r.users[user]++
	return made, nil
}

// within is by what address a socket is reached on its own machine.
func within(bind netip.Addr) netip.Addr {
	switch {
	case !bind.IsUnspecified():
		return bind
	case bind.Is6():
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// isFull says whether a user may have no further allocation, and why. The caller has mu.
func (r *relays) isFull(user string) (Reason, bool) {
	switch limits := r.server.cfg.Limits; {
	case r.closed || len(r.live) >= limits.Allocations:
		return ServerQuota, true
	case r.users[user] >= limits.UserAllocations:
		return UserQuota, true
	}
	return 0, false
}

// quota implements turn.QuotaHandler: who is refused here is told why (RFC 8656, section 7.2, step 10). It is the one place where pion asks about
// those who have proved who they are, and so the one for those, too, whose session has ended.
func (r *relays) quota(name, _ string, _ net.Addr) bool {
	user, session := splitSession(name)
	if !r.goesOn(user, session) {
		r.server.counters.refuse(SessionOver)
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	reason, full := r.isFull(user)
	if full {
		r.server.counters.refuse(reason)
	}
	return !full
}

// answerWithin is how long it may take, for a new relay, to find out whether its session goes on. The packets of all who come by the same socket
// wait meanwhile.
const answerWithin = 200 * time.Millisecond

// goesOn is whether a session does. When that is not known in time, it does until endInactive asks again.
func (r *relays) goesOn(user, session string) bool {
	answer := make(chan bool, 1)
	r.asking.Go(func() { answer <- r.server.isActive(user, session) })
	select {
	case active := <-answer:
		return active
	case <-time.After(answerWithin):
		return true
	}
}

// AllocateListener implements turn.RelayAddressGenerator. Relays to peers by TCP (RFC 6062) are nothing that calls need.
func (r *relays) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	r.server.counters.refuse(Unsupported)
	return nil, nil, errTransport
}

// AllocateConn implements turn.RelayAddressGenerator.
func (r *relays) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) {
	r.server.counters.refuse(Unsupported)
	return nil, errTransport
}

func (r *relays) remove(gone *relay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, place{gone.public.Addr().Is6(), gone.public.Port()})
	if r.known[gone.public.Addr()]--; r.known[gone.public.Addr()] <= 0 {
		delete(r.known, gone.public.Addr())
	}
	if r.users[gone.user]--; r.users[gone.user] <= 0 {
		delete(r.users, gone.user)
	}
	if len(r.live) == 0 {
		r.none.Broadcast()
	}
}

// close has no more relays be made. Those that there are end with pion's allocations.
func (r *relays) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// wait returns when there is no relay, and nobody asks about one.
func (r *relays) wait() {
	r.asking.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.live) > 0 {
		r.none.Wait()
	}
}

func (r *relays) count() (allocations, users int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.live), len(r.users)
}

// isPublicAddress says whether relays are known by an address.
func (r *relays) isPublicAddress(addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, ok := r.addresses[addr.Is6()]
	return ok && a.Public == addr || r.known[addr] > 0
}

// endInactive ends the relays of sessions that have ended.
func (r *relays) endInactive() {
	type session struct{ user, name string }
	sessions := map[session][]*relay{}
	r.mu.RLock()
	for _, one := range r.live {
		s := session{one.user, one.session}
		sessions[s] = append(sessions[s], one)
	}
	r.mu.RUnlock()
	for s, all := range sessions {
		if r.server.isActive(s.user, s.name) {
			continue
		}
		for _, one := range all {
			one.end()
		}
	}
}

// byAddr finds a relay by the address that its client was told.
func (r *relays) byAddr(addr netip.AddrPort) *relay {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if one := r.live[place{addr.Addr().Is6(), addr.Port()}]; one != nil && one.public == addr {
		return one
	}
	return nil
}

// reach says where a relay is reached that peers know by an address.
func (r *relays) reach(addr netip.AddrPort) (netip.AddrPort, bool) {
	one := r.byAddr(addr)
	if one == nil {
		return netip.AddrPort{}, false
	}
	return one.local, true
}

// told is by what address peers know the relay that has sent a packet from an address of this machine. Where relays are on all
// addresses, no other program has their ports.
func (r *relays) told(from netip.AddrPort) (netip.AddrPort, bool) {
	v6 := from.Addr().Is6()
	r.mu.RLock()
	defer r.mu.RUnlock()
	one := r.live[place{v6, from.Port()}]
	if one == nil || from != one.local && !r.addresses[v6].Bind.IsUnspecified() {
		return netip.AddrPort{}, false
	}
	return one.public, true
}
