package probe_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/sfu"
	"causeway/sfu/network"
	"causeway/sfu/probe"

	"github.com/pion/ice/v4"
	"github.com/rs/zerolog"
)

const (
	key    = "key"
	secret = "a secret for tests, which is long enough"
)

// fake is a Matrix server as far as the test asks it, with a real SFU.
type fake struct {
	valid    time.Duration // of access tokens
	secret   string        // by which they are signed
	date     time.Duration // how far the clock is ahead
	media    http.Handler
	noAccess bool // without Access-Control-Allow-Origin
	*httptest.Server
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/livekit/sfu"); ok {
		r.URL.Path = rest
		f.media.ServeHTTP(w, r)
		return
	}
	if !f.noAccess {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}
	w.Header().Set("Date", time.Now().Add(f.date).UTC().Format(http.TimeFormat))
	foci := []map[string]string{{"type": "livekit", "livekit_service_url": f.URL + "/livekit/jwt"}}
	answers := map[string]any{
		"/_matrix/client/versions":                                          map[string]any{"versions": []string{"v1.1"}},
		"/.well-known/matrix/client":                                        map[string]any{"m.homeserver": map[string]string{"base_url": f.URL + "/"}, "org.matrix.msc4143.rtc_foci": foci},
		"/_matrix/client/v3/account/whoami":                                 map[string]string{"user_id": "@alice:test", "device_id": "A"},
		"/_matrix/client/v1/rtc/transports":                                 map[string]any{"rtc_transports": foci},
		"/_matrix/client/unstable/org.matrix.msc4143/rtc/transports":        map[string]any{"rtc_transports": foci},
		"/_matrix/client/v3/createRoom":                                     map[string]string{"room_id": "!room:test"},
		"/_matrix/client/v3/user/@alice:test/openid/request_token":          map[string]any{"access_token": "x"},
		"/_matrix/client/v3/rooms/!room:test/leave":                         struct{}{},
		"/_matrix/client/v3/rooms/!room:test/forget":                        struct{}{},
		"/_matrix/client/v3/voip/turnServer":                                struct{}{},
		"/livekit/jwt/healthz":                                              struct{}{},
		"/livekit/jwt/sfu/get":                                              nil,
		"/livekit/jwt/get_token":                                            nil,
		"/_matrix/client/v1/rtc/livekit/get_token":                          nil,
		"/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token": nil,
	}
	answer, ok := answers[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if answer == nil {
		token, _ := sfu.Mint(key, f.secret, sfu.Grant{Room: "room", Identity: "alice", Permission: sfu.Permission{Publish: true, Subscribe: true, Data: true}}, f.valid)
		answer = map[string]string{"jwt": token, "url": "ws" + strings.TrimPrefix(f.URL, "http") + "/livekit/sfu"}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// deaf is a socket that a firewall lets nothing through to.
type deaf struct{ net.PacketConn }

func (d deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if _, _, err := d.PacketConn.ReadFrom(p); err != nil {
			return 0, nil, err
		}
	}
}

// start runs the server, whose SFU takes media by UDP and TCP, or is not reached by UDP.
func start(t *testing.T, secure, udp, tcp, blocked bool, change func(*fake)) *fake {
	t.Helper()
	cfg := network.Config{Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}}
	for _, want := range []struct {
		on   bool
		port *int
	}{{udp, &cfg.UDPPort}, {tcp, &cfg.TCPPort}} {
		if want.on {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			*want.port = listener.Addr().(*net.TCPAddr).Port
			_ = listener.Close()
		}
	}
	sockets, err := network.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if blocked {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		sockets.UDP = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: deaf{conn}})
	}
	s, err := sfu.New(sfu.Config{
		Keys: map[string]string{key: secret}, UDP: sockets.UDP, TCP: sockets.TCP, Flush: sockets.Flush, Addresses: sockets.Has, Loopback: true, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	f := &fake{valid: time.Hour, secret: secret, media: s.Handler()}
	if change != nil {
		change(f)
	}
	if secure {
		f.Server = httptest.NewTLSServer(f)
	} else {
		f.Server = httptest.NewServer(f)
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
		f.Close()
		_ = sockets.Close()
	})
	return f
}

// TestRun has faults of all kinds told in words.
func TestRun(t *testing.T) {
	noWebSocket := func(f *fake) {
		media := f.media
		f.media = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Upgrade")
			r.Header.Del("Connection")
			media.ServeHTTP(w, r)
		})
	}
	for _, test := range []struct {
		name          string
		secure, trust bool
		noUDP, noTCP  bool
		blocked       bool
		change        func(*fake)
		check         string
		status        probe.Status
		text, advice  string
		nobody        bool // can be in a call
	}{
		{name: "a token that has expired", change: func(f *fake) { f.valid = -time.Hour }, check: "validate", status: probe.Failed,
			text: "The SFU does not take the access token", advice: "The clocks of who makes the tokens and of the SFU are apart"},
		{name: "a token by another secret", change: func(f *fake) { f.secret = strings.Repeat("x", 40) }, check: "validate", status: probe.Failed,
			text: "signature", advice: "The key and the secret of calls.sfu.livekit are not those"},
		{name: "a proxy without WebSockets", change: noWebSocket, check: "websocket", status: probe.Failed,
			text: "WebSockets do not get through", advice: "Upgrade and Connection"},
		{name: "a proxy that has no SFU", change: func(f *fake) { f.media = http.NotFoundHandler() }, check: "validate", status: probe.Failed,
			text: "There is no SFU at", advice: "/livekit/sfu/"},
		{name: "media by TCP alone", noUDP: true, check: "udp", status: probe.Failed, text: "The SFU takes no media by UDP", advice: "calls.listen"},
		{name: "and it gets through", noUDP: true, check: "tcp", status: probe.OK, text: "Media gets through by TCP to 127.0.0.1:"},
		{name: "a firewall", blocked: true, check: "udp", status: probe.Failed, text: "Media does not get through by UDP: nothing comes back from 127.0.0.1:", advice: "set calls.public_ips"},
		{name: "and it does not block TCP", blocked: true, check: "tcp", status: probe.OK, text: "Media gets through by TCP to 127.0.0.1:"},
		{name: "a firewall for all", blocked: true, noTCP: true, check: "udp", status: probe.Failed, text: "does not get through by UDP", advice: "Let port", nobody: true},
		{name: "media by UDP alone", noTCP: true, check: "tcp", status: probe.Warning, text: "who cannot send UDP needs TURN", advice: "TURN by TLS"},
		{name: "a clock that is ahead", change: func(f *fake) { f.date = 5 * time.Minute }, check: "clock", status: probe.Failed, text: "5m0s ahead of", advice: "NTP"},
		{name: "a clock that is behind", change: func(f *fake) { f.date = -time.Hour }, check: "clock", status: probe.Failed, text: "1h0m0s behind that", advice: "NTP"},
		{name: "no pages of other origins", change: func(f *fake) { f.noAccess = true }, check: "well_known", status: probe.Failed,
			text: "lacks Access-Control-Allow-Origin", advice: "Access-Control-Allow-Origin: *"},
		{name: "a certificate that nobody trusts", secure: true, check: "certificate", status: probe.Failed,
			text: "its certificate is signed by nobody whom clients trust", advice: "a certificate of a public authority"},
		{name: "a good certificate", secure: true, trust: true, check: "certificate", status: probe.OK, text: "The certificate is trusted"},
		{name: "and all by TLS", secure: true, trust: true, check: "udp", status: probe.OK, text: "Media gets through by UDP to 127.0.0.1:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, test.secure, !test.noUDP && !test.blocked, !test.noTCP, test.blocked, test.change)
			o := probe.Options{URL: f.URL, Token: "token", Wait: 10 * time.Second}
			if test.trust {
				o.Roots = x509.NewCertPool()
				o.Roots.AddCert(f.Certificate())
			}
			report, err := probe.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if report.Blocked != test.nobody {
				t.Errorf("nobody can be in a call: %t, want %t", report.Blocked, test.nobody)
			}
			for _, c := range report.Checks {
				if c.Name == test.check {
					if c.Status != test.status || !strings.Contains(c.Text, test.text) || !strings.Contains(c.Advice, test.advice) {
						t.Errorf("got %+v, want %s, %q and %q", c, test.status, test.text, test.advice)
					}
					return
				}
			}
			t.Errorf("there is no check %s: %+v", test.check, report.Checks)
		})
	}
}
