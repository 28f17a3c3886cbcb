package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"
)

const (
	adviseTURN = "Set turn.listen to an address that clients reach, such as 0.0.0.0:3478, and let that port through the firewall by UDP and TCP (docs/turn.md)."
	adviseTLS  = "Set turn.tls with a certificate, and let its port through the firewall; 443 gets through most, also beside web pages (docs/turn.md)."
)

var errNoRelay = errors.New("the TURN server gives no relay")

// credentials are those of GET /voip/turnServer.
type credentials struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	URIs     []string `json:"uris"`
}

// turn looks at the relays for those whom firewalls let nothing else through.
func (r *run) turn(ctx context.Context) {
	a, err := r.ask(ctx, http.MethodGet, r.at(clientAPI+"/voip/turnServer"), r.token, nil)
	var c credentials
	if err == nil {
		err = a.decode(&c)
	}
	switch {
	case statusOf(err) == http.StatusNotFound, err == nil && len(c.URIs) == 0:
		r.fail("turn", adviseTURN, "There is no TURN server: people behind firewalls cannot call each other, nor be in calls if UDP does not get through.")
		return
	case err != nil:
		r.fail("turn", "Look into the log of the server.", "Clients get no credentials for TURN: %s.", words(err))
		return
	}
	r.ok("turn", "Clients get credentials for TURN at %s.", strings.Join(c.URIs, ", "))
	tested := map[string]bool{}
	for _, text := range c.URIs {
		uri, err := stun.ParseURI(text)
		if err != nil {
			r.fail("turn", "Correct turn.uris.", "%q is no address of a TURN server.", text)
			continue
		}
		if uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS {
			continue
		}
		name := "turn_" + uri.Proto.String()
		if uri.Scheme == stun.SchemeTypeTURNS {
			name = "turn_tls"
		}
		tested[name] = true
		r.relay(ctx, name, text, uri, c)
	}
	for _, name := range []string{"turn_udp", "turn_tcp"} {
		if !tested[name] {
			r.warn(name, adviseTURN, "There is no TURN by %s.", strings.ToUpper(strings.TrimPrefix(name, "turn_")))
		}
	}
	if !tested["turn_tls"] {
		r.warn("turn_tls", adviseTLS, "There is no TURN by TLS: networks that let nothing but web pages through keep people out of calls.")
	}
}

// relay has media go by a relay.
func (r *run) relay(ctx context.Context, name, text string, uri *stun.URI, c credentials) {
	kind := strings.ToUpper(strings.TrimPrefix(name, "turn_"))
	if err := r.allocate(ctx, uri, c); err != nil {
		r.fail(name, adviseRelay(name, uri, err), "TURN by %s is blocked: %s gives no relay: %s.", kind, text, words(err))
		return
	}
	if r.jwt == "" {
		r.ok(name, "TURN by %s gives a relay at %s. Whether media goes by it to the SFU was not tested.", kind, text)
		return
	}
	// pion speaks plain TURN to a connection that is opened here, by TLS where need be.
	plain := *uri
	plain.Scheme = stun.SchemeTypeTURN
	by := route{networks: byUDP, relay: &webrtc.ICEServer{URLs: []string{plain.String()}, Username: c.Username, Credential: c.Password}}
	if uri.Proto == stun.ProtoTypeTCP {
		by.dial = func(network, _ string) (net.Conn, error) { return r.connect(ctx, network, uri) }
	}
	v, err := r.join(ctx, r.tokenFor(ctx, "doctor-"+name), by)
	switch {
	case v.connected:
		r.ok(name, "Media gets through by TURN by %s, %s.", kind, text)
	case errors.Is(err, errNoMedia):
		r.fail(name, "Set turn.public_addresses to the addresses by which others reach this server's relays, and let the ports from turn.min_port to turn.max_port through by UDP. "+
			"If the SFU is in a private network, set turn.allow_peers.",
			"TURN by %s gives a relay at %s, but media does not get through by it to the SFU.", kind, text)
	default:
		r.fail(name, "Look into the log of the server.", "Media does not get through by TURN by %s, %s: %s.", kind, text, words(err))
	}
}

// adviseRelay is what to do when there is no relay.
func adviseRelay(name string, uri *stun.URI, err error) string {
	switch {
	case strings.Contains(err.Error(), "error 401"), strings.Contains(err.Error(), "error 441"):
		return "The TURN server does not take the credentials: compare turn.secret with the secret of that server, and the clocks of both."
	case strings.Contains(err.Error(), "error 486"), strings.Contains(err.Error(), "error 508"):
		return "The TURN server has no more relays for this account, or none at all: see turn.max_user_allocations and turn.max_allocations."
	case certificateWords(err) != "":
		return "Have turn.tls.certificate be one of a public authority for " + uri.Host + ", with its whole chain."
	}
	protocol := uri.Proto.String()
	if name == "turn_tls" {
		protocol = "tcp"
	}
	return fmt.Sprintf("Let port %d/%s through the firewall, and have the router hand it on to the TURN server. Look whether %s is its address: turn.host says another.",
		uri.Port, protocol, uri.Host)
}

// connect opens a connection to a TURN server.
func (r *run) connect(ctx context.Context, network string, uri *stun.URI) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	plain := &net.Dialer{}
	address := net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))
	if uri.Scheme == stun.SchemeTypeTURNS {
		return (&tls.Dialer{NetDialer: plain, Config: &tls.Config{RootCAs: r.Roots, ServerName: uri.Host}}).DialContext(ctx, network, address)
	}
	return plain.DialContext(ctx, network, address)
}

// allocate asks for a relay, and gives it back. Its error says why there is none.
func (r *run) allocate(ctx context.Context, uri *stun.URI, c credentials) error {
	var conn net.PacketConn
	server := net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))
	if uri.Proto == stun.ProtoTypeTCP {
		stream, err := r.connect(ctx, "tcp", uri)
		if err != nil {
			return err
		}
		conn = turn.NewSTUNConn(stream)
	} else {
		// A socket of both families would ask for a relay with an IPv6 address.
		at, err := net.ResolveUDPAddr("udp", server)
		if err != nil {
			return err
		}
		network := "udp4"
		if at.IP.To4() == nil {
			network = "udp6"
		}
		var listen net.ListenConfig
		if conn, err = listen.ListenPacket(ctx, network, ":0"); err != nil {
			return err
		}
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Username: c.Username, Password: c.Password, Conn: conn,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled, ScopeLevels: map[string]logging.LogLevel{}},
	})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() {
		client.Close()
		_ = conn.Close()
	}()
	if err := client.Listen(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		relay, err := client.Allocate()
		if err == nil {
			err = relay.Close()
		}
		done <- err
	}()
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.DeadlineExceeded
	}
}

// resolve looks a name up.
func (r *run) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
