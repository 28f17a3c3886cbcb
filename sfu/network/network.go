// Package network opens the sockets of an SFU: one UDP port for all participants of all rooms, on each address of this
// machine, and one TCP port for those who cannot send UDP. What is sent by UDP waits for a moment, and goes out in batches (sendmmsg, and
// UDP segmentation offload where the kernel has it): most of what an SFU does is sending.
//
// Discovery finds by what public addresses a machine behind NAT is reached.
//
// It knows neither rooms nor packets, but for telling media from the rest by its first byte, RFC 7983.
package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
)

// Config says where to listen.
type Config struct {
	// Addresses are those of this machine to listen on; empty for all that are up, without loopback and link-local ones.
	Addresses []netip.Addr
	UDPPort   int // 0 for none
	TCPPort   int // 0 for none
	// SocketBuffer is how large the kernel's buffers of each UDP socket are to be, in bytes; 4 MB where it is 0. The kernel may
	// allow less: see Network.Buffers.
	SocketBuffer int
	Logger       logging.LoggerFactory
}

// defaultBuffer holds what comes within 30 ms at a gigabit per second.
const defaultBuffer = 4 << 20

// Network is the open sockets.
type Network struct {
	UDP ice.UDPMux // nil for none
	TCP ice.TCPMux // nil for none

	conns     []*Conn
	listeners []net.Listener
	addresses []netip.Addr
	udpPort   int
	buffer    int // that was asked for, in bytes
}

// UDPPort is the port of media; 0 for none.
func (n *Network) UDPPort() int { return n.udpPort }

// Listen opens the sockets. When one cannot be opened, none is.
func Listen(cfg Config) (opened *Network, err error) {
	if cfg.SocketBuffer == 0 {
		cfg.SocketBuffer = defaultBuffer
	}
	if cfg.Logger == nil {
		cfg.Logger = logging.NewDefaultLoggerFactory()
	}
	if len(cfg.Addresses) == 0 {
		if cfg.Addresses, err = Local(); err != nil {
			return nil, err
		}
	}
	n := &Network{addresses: cfg.Addresses, udpPort: cfg.UDPPort, buffer: cfg.SocketBuffer}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if cfg.UDPPort != 0 {
		if err := n.listenUDP(cfg); err != nil {
			return nil, err
		}
	}
	if cfg.TCPPort != 0 {
		if err := n.listenTCP(cfg); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Network) listenUDP(cfg Config) error {
	log := cfg.Logger.NewLogger("ice")
	for _, a := range cfg.Addresses {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(cfg.UDPPort))))
		if err != nil {
			return fmt.Errorf("listen for media: %w", err)
		}
		_ = conn.SetReadBuffer(cfg.SocketBuffer)
		_ = conn.SetWriteBuffer(cfg.SocketBuffer)
		c := NewConn(conn)
		if c.aside, err = openAside(conn, cfg.SocketBuffer); err != nil {
			log.Debugf("Feedback comes with everything else: %v", err)
		}
		n.conns = append(n.conns, c)
	}
	n.UDP = newMux(n.conns, log)
	return nil
}

// What ICE-TCP may keep, in packets of each connection.
const tcpReadBuffer = 64

func (n *Network) listenTCP(cfg Config) error {
	var muxes []ice.TCPMux
	for _, a := range cfg.Addresses {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(cfg.TCPPort))))
		if err != nil {
			return fmt.Errorf("listen for media by TCP: %w", err)
		}
		n.listeners = append(n.listeners, l)
		muxes = append(muxes, ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: bound(l), Logger: cfg.Logger.NewLogger("ice"), ReadBufferSize: tcpReadBuffer, WriteBufferSize: 1 << 20,
			FirstStunBindTimeout: firstMessage, AliveDurationForConnFromStun: firstMessage,
		}))
	}
	n.TCP = ice.NewMultiTCPMuxDefault(muxes...)
	return nil
}

// Local gives the addresses of this machine by which others may reach it; a loopback address where there are none.
func Local() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("look for addresses of this machine: %w", err)
	}
	var found []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if ip := p.Addr().Unmap(); !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			found = append(found, ip)
		}
	}
	if len(found) == 0 {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	return found, nil
}

// Has is whether the network listens on an address.
func (n *Network) Has(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && slices.Contains(n.addresses, a.Unmap())
}

// Addresses are those that the network listens on.
func (n *Network) Addresses() []netip.Addr { return n.addresses }

// Loopback is whether it listens on loopback addresses.
func (n *Network) Loopback() bool {
	return slices.ContainsFunc(n.addresses, netip.Addr.IsLoopback)
}

// Flush sends what waits.
func (n *Network) Flush() {
	for _, c := range n.conns {
		c.Flush()
	}
}

// Stats are what has been sent since the beginning.
func (n *Network) Stats() Stats {
	var s Stats
	for _, c := range n.conns {
		s.add(c.Stats())
	}
	return s
}

// Close closes the sockets.
func (n *Network) Close() error {
	var errs []error
	if n.UDP != nil {
		errs = append(errs, n.UDP.Close())
	}
	if n.TCP != nil {
		errs = append(errs, n.TCP.Close())
	}
	for _, c := range n.conns {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, l := range n.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
