package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// maxMessage bounds a message of a client, in bytes: what pion has room for. Media comes in packets of 1,200.
const maxMessage = 1600

// front is one socket by which clients come, with a server of pion's behind it. As each has one of its own, the address of a client is
// enough to know whose allocation something is about.
type front struct {
	server  *Server
	packets *datagrams // one of the two is nil
	streams *streams

	mu      sync.RWMutex // guards clients
	clients map[netip.AddrPort]*relay
}

func (s *Server) newFront(socket net.PacketConn, listener net.Listener) *front {
	f := &front{server: s, clients: map[netip.AddrPort]*relay{}}
	if socket != nil {
		f.packets = &datagrams{PacketConn: socket, front: f}
	} else {
		f.streams = newStreams(f, listener)
	}
	return f
}

func (f *front) start() error {
	config := turn.ServerConfig{
		Realm: f.server.cfg.Realm, AuthHandler: f.server.auth, QuotaHandler: f.server.relays.quota, InboundMTU: maxMessage,
		LoggerFactory: silent{}, EventHandler: turn.EventHandler{
			OnAuth:              f.authenticated,
			OnAllocationCreated: f.allocated, OnAllocationDeleted: f.ended,
			OnPermissionCreated: f.permitted((*relay).permit), OnPermissionDeleted: f.permitted((*relay).forbid),
			OnChannelCreated: f.channel(1), OnChannelDeleted: f.channel(-1),
		},
	}
	if f.packets != nil {
		config.PacketConnConfigs = []turn.PacketConnConfig{{PacketConn: f.packets, RelayAddressGenerator: f.server.relays, PermissionHandler: f.mayPermit}}
	} else {
		f.streams.start()
		config.ListenerConfigs = []turn.ListenerConfig{{Listener: f.streams, RelayAddressGenerator: f.server.relays, PermissionHandler: f.mayPermit}}
	}
	_, err := turn.NewServer(config) // it ends with its socket
	return err
}

// close ends the socket and all connections. pion's server ends when it cannot read any more.
func (f *front) close() {
	if f.packets != nil {
		_ = f.packets.Close()
	} else {
		_ = f.streams.Close()
	}
}

func (f *front) connected() int {
	if f.streams == nil {
		return 0
	}
	return f.streams.connected()
}

// client returns the relay of a client's allocation, nil for none.
func (f *front) client(addr netip.AddrPort) *relay {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.clients[addr]
}

func (f *front) authenticated(_, _ net.Addr, _, _, _, _ string, ok bool) {
	if !ok {
		f.server.counters.refuse(BadCredentials)
	}
}

func (f *front) allocated(src, _ net.Addr, _, _, _ string, relayAddr net.Addr, _ int) {
	one, client := f.server.relays.byAddr(addrPort(relayAddr)), addrPort(src)
	if one == nil {
		return // it has ended meanwhile
	}
	f.mu.Lock()
	f.clients[client] = one
	f.mu.Unlock()
	if f.streams != nil {
		f.streams.allocated(client, true)
	}
}

// ended forgets an allocation. Its client may have made another one in this moment.
func (f *front) ended(src, _ net.Addr, _, _, _ string) {
	client := addrPort(src)
	f.mu.Lock()
	one := f.clients[client]
	over := one == nil || one.isClosed()
	if over {
		delete(f.clients, client)
	}
	f.mu.Unlock()
	if over && f.streams != nil {
		f.streams.allocated(client, false)
	}
}

// mayPermit implements turn.PermissionHandler, for CreatePermission and for ChannelBind.
func (f *front) mayPermit(src net.Addr, peer net.IP) bool {
	addr, ok := netip.AddrFromSlice(peer)
	one := f.client(addrPort(src))
	if one != nil {
		one.settle() // the permission of another address of the same request
	}
	if !ok || one == nil || !f.server.mayReach(addr) {
		f.server.counters.refuse(PeerRefused)
		return false
	}
	if !one.mayPermit(addr.Unmap()) {
		f.server.counters.refuse(TooManyPeers)
		return false
	}
	return true
}

func (f *front) permitted(note func(*relay, netip.Addr)) func(_, _ net.Addr, _, _, _ string, relayAddr net.Addr, peer net.IP) {
	return func(_, _ net.Addr, _, _, _ string, relayAddr net.Addr, peer net.IP) {
		one := f.server.relays.byAddr(addrPort(relayAddr))
		if addr, ok := netip.AddrFromSlice(peer); ok && one != nil {
			note(one, addr.Unmap())
		}
	}
}

func (f *front) channel(change int) func(_, _ net.Addr, _, _, _ string, relayAddr, _ net.Addr, _ uint16) {
	return func(_, _ net.Addr, _, _, _ string, relayAddr, _ net.Addr, _ uint16) {
		if one := f.server.relays.byAddr(addrPort(relayAddr)); one != nil {
			one.channel(change)
		}
	}
}

// settle says that what a client has asked for is done: pion answers it, or reads its next request.
func (f *front) settle(client netip.AddrPort) {
	if one := f.client(client); one != nil {
		one.settle()
	}
}

// isResponse tells answers, which pion writes where it handles requests, from what it relays.
func isResponse(p []byte) bool { return len(p) > 0 && p[0]&0xc1 == 1 }

// The two bits of a message's type that say what it is (RFC 8489, section 5).
const (
	classBits       = 0x0110
	classIndication = 0x0010
)

// admits says whether a message of a client goes to pion. What only those with an allocation say is dropped before it costs
// anything, and requests are counted: each is answered, to an address that may be somebody else's, and takes a signature.
func (f *front) admits(p []byte, from netip.AddrPort, now time.Time) bool {
	kind := uint16(p[0])<<8 | uint16(p[1])
	switch {
	case p[0]&0xc0 != 0 || kind&classBits == classIndication:
		if f.client(from) != nil {
			return true
		}
	case kind&classBits == 0:
		if f.server.visitors.mayAsk(from.Addr(), now) {
			return true
		}
		f.server.counters.refuse(TooFast)
		return false
	}
	f.server.counters.refuse(Malformed)
	return false
}

// silent is a log that nobody reads: pion tells in it who talks to whom.
type silent struct{}

func (silent) NewLogger(string) logging.LeveledLogger { return silent{} }
func (silent) Trace(string)                           {}
func (silent) Tracef(string, ...any)                  {}
func (silent) Debug(string)                           {}
func (silent) Debugf(string, ...any)                  {}
func (silent) Info(string)                            {}
func (silent) Infof(string, ...any)                   {}
func (silent) Warn(string)                            {}
func (silent) Warnf(string, ...any)                   {}
func (silent) Error(string)                           {}
func (silent) Errorf(string, ...any)                  {}
