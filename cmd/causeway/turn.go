package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"causeway/homeserver/clientapi"
	"causeway/homeserver/store"
	"causeway/sfu/network"
	"causeway/sfu/signalling"
	"causeway/sfu/turn"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

// turnPort is the port of TURN (RFC 8656, section 5).
const turnPort = 3478

// turnPart is the TURN server, or what is known of others. A nil one is none.
type turnPart struct {
	uris   []string
	mint   func(user, session string) turn.Credentials
	keys   *turn.Keys   // nil for servers elsewhere
	server *turn.Server // likewise

	// Of the server here:
	config   TURNConfig
	hosts    []netip.Addr // where its sockets are
	public   *network.Discovery
	services func() map[netip.AddrPort]netip.AddrPort
	sessions turnSessions // set by attend
	log      zerolog.Logger
}

// openTURN opens the sockets of the TURN server, if there is to be one. By default it goes without where it would be of no use, or
// where another program has its port, and says so: calls between people whose networks let them reach each other need none.
// public has the addresses by which this machine is reached; services are sockets of this machine that relays may reach.
func openTURN(
	ctx context.Context, cfg *Config, secrets turn.Storage, public *network.Discovery, services func() map[netip.AddrPort]netip.AddrPort,
	log zerolog.Logger,
) (*turnPart, error) {
	c := cfg.TURN
	switch {
	case !c.Enabled:
		return nil, nil
	case c.elsewhere():
		return &turnPart{uris: c.URIs, mint: func(user, _ string) turn.Credentials { return c.mintElsewhere(user) }}, nil
	}
	log = log.With().Str("part", "turn").Logger()
	sockets, err := listenTURN(cfg)
	if err != nil && len(c.Listen)+len(c.TLS.Listen) == 0 {
		log.Warn().Err(err).Msg("There is no TURN server: people behind firewalls cannot call each other")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := turn.OpenKeys(ctx, secrets, c.TTL)
	if err != nil {
		return nil, errors.Join(err, sockets.close())
	}
	t := &turnPart{uris: sockets.uris, mint: keys.MintSession, keys: keys, config: c, hosts: sockets.hosts, public: public, services: services, log: log}
	relays := relayAddresses(c, t.hosts, public)
	t.server, err = turn.New(turn.Config{
		Realm: cfg.ServerName, Keys: keys, Packets: sockets.packets, Streams: sockets.streams, Relays: relays,
		MinPort: uint16(c.MinPort), MaxPort: uint16(c.MaxPort), Allow: peerPrefixes(c.AllowPeers), Refuse: peerPrefixes(c.RefusePeers),
		Services: services(), Active: t.isActive,
		Limits: turn.Limits{Allocations: c.Allocations, UserAllocations: c.UserAllocations, Bandwidth: c.Bandwidth},
	})
	if err != nil {
		return nil, err
	}
	t.tellRelays(relays)
	return t, nil
}

// mintElsewhere makes credentials for servers of others: by the secret that they share, or always the same.
func (c TURNConfig) mintElsewhere(user string) turn.Credentials {
	if c.Secret == "" {
		return turn.Credentials{Username: c.Username, Password: c.Password, TTL: c.TTL}
	}
	return turn.Mint([]byte(c.Secret), user, time.Now(), c.TTL)
}

// forClients is what the client-server API asks for credentials, nil for nothing.
func (t *turnPart) forClients() clientapi.TURN {
	if t == nil {
		return nil
	}
	return t
}

// Credentials implements clientapi.TURN.
func (t *turnPart) Credentials(user id.UserID, device id.DeviceID) clientapi.TURNCredentials {
	c := t.mint(string(user), deviceSession+string(device))
	return clientapi.TURNCredentials{Username: c.Username, Password: c.Password, URIs: t.uris, TTL: int64(c.TTL.Seconds())}
}

// iceServers are what an SFU tells a participant, of whose relays there are as many as of one user's.
func (t *turnPart) iceServers(user, identity string) []signalling.ICEServer {
	if t == nil {
		return nil
	}
	c := t.mint(user, callSession+identity)
	return []signalling.ICEServer{{URLs: t.uris, Username: c.Username, Credential: c.Password}}
}

// run serves until ctx ends.
func (t *turnPart) run(ctx context.Context) error {
	if t == nil || t.server == nil {
		return nil
	}
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return t.keys.Run(ctx) })
	running.Go(func() error { return t.server.Run(ctx) })
	return running.Wait()
}

// close is for one that is never run.
func (t *turnPart) close() error {
	if t != nil && t.server != nil {
		t.server.Close()
	}
	return nil
}

// turnSecrets keeps the secrets of credentials in the database.
type turnSecrets struct{ db *store.DB }

// Update implements turn.Storage.
func (s turnSecrets) Update(ctx context.Context, change func([]byte) ([]byte, error)) (secret []byte, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		secret, err = tx.ChangeSecret("turn", change)
		return err
	})
	return secret, err
}

// turnSockets are what clients come by.
type turnSockets struct {
	packets []net.PacketConn
	streams []net.Listener
	hosts   []netip.Addr // where packets are, in their order
	uris    []string     // in the order in which clients are to prefer them
}

var errTURNUseless = errors.New("clients reach this server by another address (public_url): set turn.listen to one that they reach")

// listenTURN opens the sockets. UDP comes first in what clients are told: it carries media best.
func listenTURN(cfg *Config) (_ *turnSockets, err error) {
	c, s := cfg.TURN, new(turnSockets)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	public, err := url.Parse(cfg.BaseURL())
	if err != nil {
		return nil, fmt.Errorf("read public_url: %w", err)
	}
	name := c.Host
	if name == "" {
		name = public.Hostname()
	}
	addresses := c.Listen
	if len(addresses) == 0 && len(c.TLS.Listen) == 0 {
		host, _, _ := net.SplitHostPort(cfg.Listen)
		if isLoopback(host) && !isLoopback(name) {
			return nil, errTURNUseless
		}
		addresses = []string{net.JoinHostPort(host, strconv.Itoa(turnPort))}
	}
	var udp, tcp, secure []string
	for _, address := range addresses {
		port, err := s.listen(address)
		if err != nil {
			return nil, err
		}
		udp, tcp = append(udp, turnURI("turn", name, port, "udp")), append(tcp, turnURI("turn", name, port, "tcp"))
	}
	for _, address := range c.TLS.Listen {
		port, err := s.listenTLS(address, c.TLS, peerPrefixes(cfg.TrustedProxies))
		if err != nil {
			return nil, err
		}
		secure = append(secure, turnURI("turns", name, port, "tcp"))
	}
	for _, uri := range slices.Concat(udp, tcp, secure) {
		if !slices.Contains(s.uris, uri) { // two addresses may have the same port
			s.uris = append(s.uris, uri)
		}
	}
	return s, nil
}

// listen opens the sockets of an address for UDP and TCP, on the same port, and returns that.
func (s *turnSockets) listen(address string) (int, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return 0, turnTaken(address, err)
	}
	s.streams = append(s.streams, listener)
	at, _ := listener.Addr().(*net.TCPAddr)
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
	if err != nil {
		return 0, turnTaken(address, err)
	}
	for _, grow := range []func(int) error{packets.SetReadBuffer, packets.SetWriteBuffer} {
		_ = grow(turnBuffer) // the kernel gives what it allows
	}
	s.packets = append(s.packets, packets)
	s.hosts = append(s.hosts, at.AddrPort().Addr().Unmap())
	return at.Port, nil
}

// turnBuffer is how many bytes of packets may wait in a socket.
const turnBuffer = 4 << 20

// listenTLS opens the socket of an address for TLS, and returns the port by which clients reach it. trusted are proxies that may be in front.
func (s *turnSockets) listenTLS(address string, c TURNTLSConfig, trusted []netip.Prefix) (int, error) {
	files := &certificateFiles{certificate: c.Certificate, key: c.Key}
	if _, err := files.get(nil); err != nil {
		return 0, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return 0, turnTaken(address, err)
	}
	at, _ := listener.Addr().(*net.TCPAddr)
	port := at.Port
	if c.ProxiedPort > 0 {
		port = c.ProxiedPort
		listener = network.Proxied(listener, func(from netip.Addr) bool {
			return from.IsLoopback() || slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(from) })
		})
	}
	s.streams = append(s.streams, tls.NewListener(listener, &tls.Config{GetCertificate: files.get, MinVersion: tls.VersionTLS12}))
	host := at.AddrPort().Addr().Unmap()
	if host.IsLoopback() && c.ProxiedPort > 0 { // the proxy is here; relays are for the world
		host = netip.IPv4Unspecified()
	}
	s.hosts = append(s.hosts, host)
	return port, nil
}

func turnTaken(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("another program listens on %s: stop it, or set another address in turn.listen", address)
	}
	return fmt.Errorf("listen on %s for TURN: %w", address, err)
}

func (s *turnSockets) close() error {
	var errs []error
	for _, p := range s.packets {
		errs = append(errs, p.Close())
	}
	for _, l := range s.streams {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// certificateFiles is a certificate that somebody renews.
type certificateFiles struct {
	certificate, key string

	mu     sync.Mutex // guards what follows
	loaded *tls.Certificate
	at     time.Time // when the file was written
}

// get returns the certificate that the files have now. While they cannot be read, as when one is new and the other is not
// yet, it is the one of before.
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.certificate)
	if err == nil && (f.loaded == nil || !info.ModTime().Equal(f.at)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(f.certificate, f.key); err == nil {
			f.loaded, f.at = &pair, info.ModTime()
		}
	}
	if f.loaded == nil {
		return nil, fmt.Errorf("read the certificate of turn.tls: %w", err)
	}
	return f.loaded, nil
}
