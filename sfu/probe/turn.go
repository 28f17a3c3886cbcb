package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"
)

const (
	adviseTURN = "Set turn.listen to an address that clients reach, such as 0.0.0.0:3478, and turn.enabled to true, and let that port through the firewall by UDP and TCP " +
		"(docs/turn.md); the log of the server says at its start why there is none."
	adviseTLS = "Set turn.tls with a certificate, and let its port through the firewall; 443 gets through most, also beside web pages (docs/turn.md)."
)

var errNoRelay = errors.New("the TURN server gives no relay")

// credentials are those of GET /voip/turnServer.
type credentials struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	URIs     []string `json:"uris"`
}

// maxServers is how many relays of an SFU are tested.
const maxServers = 8

// turn looks at the relays for those whom firewalls let nothing else through: those of the server, and those that an SFU elsewhere has of its own.
func (r *run) turn(ctx context.Context) {
	a, err := r.ask(ctx, http.MethodGet, r.at(clientAPI+"/voip/turnServer"), r.token, nil)
	var c credentials
	if err == nil {
		err = a.decode(&c)
	}
	switch {
	case statusOf(err) == http.StatusNotFound, err == nil && len(c.URIs) == 0:
		r.fail("turn", adviseTURN, "There is no TURN server: people behind firewalls cannot call each other, nor be in calls if UDP does not get through.")
	case err != nil:
		r.fail("turn", "Look into the log of the server.", "Clients get no credentials for TURN: %s.", words(err))
	default:
		r.ok("turn", "Clients get credentials for TURN at %s.", strings.Join(c.URIs, ", "))
		r.relays(ctx, c)
	}
	tested := 0
	for _, s := range r.servers {
		for _, text := range s.URIs {
			if uri, err := stun.ParseURI(text); err == nil && isRelay(uri) && !slices.Contains(c.URIs, text) && tested < maxServers {
				tested++
				relay{uri: uri, text: text, ofSFU: true}.testInCall(ctx, r)
			}
		}
	}
}

// relays tests those of the server.
func (r *run) relays(ctx context.Context, c credentials) {
	tested := map[string]bool{}
	for _, text := range c.URIs {
		uri, err := stun.ParseURI(text)
		if err != nil {
			r.fail("turn", "Correct turn.uris.", "%q is no address of a TURN server.", text)
			continue
		}
		if !isRelay(uri) {
			continue
		}
		one := relay{uri: uri, text: text, credentials: c}
		tested[one.name()] = true
		one.test(ctx, r)
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

func isRelay(uri *stun.URI) bool {
	return uri.Scheme == stun.SchemeTypeTURN || uri.Scheme == stun.SchemeTypeTURNS
}

// relay is a TURN server by one of its addresses.
type relay struct {
	uri  *stun.URI
	text string // the address as it is told
	credentials
	ofSFU bool // the SFU tells of it, and the server does not
}

// name is that of the check.
func (t relay) name() string {
	name := "turn_" + t.uri.Proto.String()
	if t.uri.Scheme == stun.SchemeTypeTURNS {
		name = "turn_tls"
	}
	if t.ofSFU {
		name = "sfu_" + name
	}
	return name
}

// words are what it is called.
func (t relay) words() string {
	kind := strings.ToUpper(t.uri.Proto.String())
	if t.uri.Scheme == stun.SchemeTypeTURNS {
		kind = "TLS"
	}
	if t.ofSFU {
		return "the SFU's own TURN by " + kind
	}
	return "TURN by " + kind
}

// testInCall is test while somebody is in the call, by the credentials that they are told.
func (t relay) testInCall(ctx context.Context, r *run) {
	servers, release, err := r.stay(ctx)
	if err != nil {
		r.skip(t.name(), "TURN at %s cannot be tested: the SFU was not reached: %s.", t.text, words(err))
		return
	}
	defer release()
	for _, s := range servers {
		if slices.Contains(s.URIs, t.text) {
			t.credentials = s
		}
	}
	t.test(ctx, r)
}

// test has media go by a relay to the SFU.
func (t relay) test(ctx context.Context, r *run) {
	name, what := t.name(), t.words()
	begin := strings.ToUpper(what[:1]) + what[1:] // of a sentence
	if err := r.allocate(ctx, t.uri, t.credentials); err != nil {
		r.fail(name, t.advise(err), "%s does not work: %s gives no relay: %s.", begin, t.text, words(err))
		return
	}
	switch {
	case !r.reached:
		r.skip(name, "%s gives a relay at %s. Whether media goes by it cannot be tested: the SFU was not reached.", begin, t.text)
		return
	case !t.ofSFU && !r.isOfSFU(t.text):
		r.ok(name, "%s gives a relay at %s, for calls of two: in group calls the SFU tells of its own.", begin, t.text)
		return
	}
	// pion speaks plain TURN to a connection that is opened here, by TLS where need be.
	plain := *t.uri
	plain.Scheme = stun.SchemeTypeTURN
	by := route{networks: byUDP, relay: &webrtc.ICEServer{URLs: []string{plain.String()}, Username: t.Username, Credential: t.Password}}
	if t.uri.Proto == stun.ProtoTypeTCP {
		by.dial = func(network, _ string) (net.Conn, error) { return r.connect(ctx, network, t.uri) }
	}
	v, err := r.join(ctx, r.tokenFor(ctx, "doctor-"+name), by)
	switch {
	case v.connected:
		r.through = true
		r.ok(name, "Media gets through by %s, %s.", what, t.text)
	case errors.Is(err, errNoMedia):
		r.fail(name, t.where("Set turn.public_addresses, or calls.public_ips, which holds where that is empty, to the addresses by which others reach this server's relays, "+
			"and let the ports from turn.min_port to turn.max_port through by UDP. If the SFU is in a private network, set turn.allow_peers."),
			"%s gives a relay at %s, but media does not get through by it to the SFU.", begin, t.text)
	case !v.upgraded && !errors.Is(err, errNoRelay):
		r.skip(name, "%s gives a relay at %s. Whether media goes by it cannot be tested: the SFU was not reached: %s.", begin, t.text, words(err))
	default:
		r.fail(name, "Look into the log of the server.", "Media does not get through by %s, %s: %s.", what, t.text, words(err))
	}
}

// isOfSFU is whether clients have a relay in group calls. An SFU that tells of none leaves them those of the server.
func (r *run) isOfSFU(text string) bool {
	none := true
	for _, s := range r.servers {
		for _, told := range s.URIs {
			if told == text {
				return true
			}
			if uri, err := stun.ParseURI(told); err == nil && isRelay(uri) {
				none = false
			}
		}
	}
	return none
}

// where says in whose configuration the settings are that advice names.
func (t relay) where(advice string) string {
	if t.ofSFU {
		return advice + " These settings are those of the SFU, not of the homeserver."
	}
	return advice
}

// advise is what to do when there is no relay.
func (t relay) advise(err error) string {
	host, isLookUp := errors.AsType[*net.DNSError](err)
	switch {
	case strings.Contains(err.Error(), "error 401"), strings.Contains(err.Error(), "error 441"):
		return t.where("The TURN server does not take the credentials: compare turn.secret with the secret of that server, and the clocks of both.")
	case strings.Contains(err.Error(), "error 486"), strings.Contains(err.Error(), "error 508"):
		return t.where("The TURN server has no more relays for this account, or none at all: see turn.max_user_allocations and turn.max_allocations.")
	case certificateWords(err) != "":
		return t.where("Have turn.tls.certificate be one of a public authority for " + t.uri.Host + ", with its whole chain.")
	case isLookUp:
		return t.where("Correct turn.host (or turn.uris), or the DNS, which has to know " + host.Name + ".")
	}
	protocol := "udp"
	if t.uri.Proto == stun.ProtoTypeTCP {
		protocol = "tcp"
	}
	return t.where(fmt.Sprintf("Let port %d/%s through the firewall, and have the router hand it on to the TURN server. If %s is not its address, set turn.host (or turn.uris).",
		t.uri.Port, protocol, t.uri.Host))
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
