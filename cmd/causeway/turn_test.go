package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/sfu/network"
	"causeway/sfu/turn"

	"github.com/rs/zerolog"
)

// turnConfig is a configuration whose TURN server has free ports.
func turnConfig(change func(*Config)) *Config {
	cfg := defaultConfig()
	cfg.TURN.Listen = []string{"127.0.0.1:0"}
	if change != nil {
		change(cfg)
	}
	return cfg
}

func openTestTURN(t *testing.T, cfg *Config, log zerolog.Logger) (*turnPart, error) {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "causeway.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	part, err := openTURN(t.Context(), cfg, turnSecrets{db}, publicAddresses(cfg, log, nil), (*calls)(nil).services, log)
	t.Cleanup(func() { part.close() })
	return part, err
}

// TestOpenTURN is about what clients are told.
func TestOpenTURN(t *testing.T) {
	files := t.TempDir()
	certificate, key := writeCertificate(t, files, 1)
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // PORT is one that was free; nil for no TURN
	}{
		{"as it is", nil, []string{"turn:127.0.0.1:PORT?transport=udp", "turn:127.0.0.1:PORT?transport=tcp"}},
		{"off", func(c *Config) { c.TURN.Enabled = false }, nil},
		{"the host of public_url", func(c *Config) { c.PublicURL = "https://matrix.example.org" },
			[]string{"turn:matrix.example.org:PORT?transport=udp", "turn:matrix.example.org:PORT?transport=tcp"}},
		{"a host", func(c *Config) { c.PublicURL = "https://matrix.example.org"; c.TURN.Host = "2001:db8::1" },
			[]string{"turn:[2001:db8::1]:PORT?transport=udp", "turn:[2001:db8::1]:PORT?transport=tcp"}},
		{"behind a proxy", func(c *Config) { c.PublicURL = "https://matrix.example.org"; c.TURN.Listen = nil }, nil},
		{"with TLS", func(c *Config) {
			c.TURN.TLS = TURNTLSConfig{Listen: []string{"127.0.0.1:0"}, Certificate: certificate, Key: key}
		}, []string{"turn:127.0.0.1:PORT?transport=udp", "turn:127.0.0.1:PORT?transport=tcp", "turns:127.0.0.1:PORT?transport=tcp"}},
		{"TLS alone", func(c *Config) {
			c.TURN.Listen = nil
			c.TURN.TLS = TURNTLSConfig{Listen: []string{"127.0.0.1:0"}, Certificate: certificate, Key: key}
		}, []string{"turns:127.0.0.1:PORT?transport=tcp"}},
		{"elsewhere", func(c *Config) { c.TURN.URIs = []string{"turn:turn.example.org"}; c.TURN.Secret = "s" }, []string{"turn:turn.example.org"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			part, err := openTestTURN(t, turnConfig(test.change), zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			if test.want == nil {
				if part != nil || part.forClients() != nil || part.iceServers("x", "y") != nil {
					t.Fatalf("got %+v, want none", part)
				}
				return
			}
			c := part.forClients().Credentials("@alice:localhost", "DEVICE")
			var got []string
			for _, uri := range c.URIs {
				got = append(got, anyPort.ReplaceAllString(uri, ":PORT?"))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if !strings.HasSuffix(c.Username, ":@alice:localhost") || c.Password == "" || c.TTL != 24*60*60 {
				t.Errorf("got %+v", c)
			}
			ice := part.iceServers("@alice:localhost", "@alice:localhost:DEVICE")
			if len(ice) != 1 || !slices.Equal(ice[0].URLs, c.URIs) || !strings.HasSuffix(ice[0].Username, ":@alice:localhost") || ice[0].Credential == "" {
				t.Errorf("got %+v", ice)
			}
		})
	}
}

// TestTURNElsewhere makes credentials for the servers of others.
func TestTURNElsewhere(t *testing.T) {
	part, err := openTestTURN(t, turnConfig(func(c *Config) {
		c.TURN.URIs, c.TURN.Secret, c.TURN.TTL = []string{"turn:turn.example.org"}, "shared", time.Hour
	}), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	c := part.Credentials("@alice:localhost", "DEVICE")
	ends, err := strconv.ParseInt(strings.Split(c.Username, ":")[0], 10, 64)
	if wait := time.Until(time.Unix(ends, 0)); err != nil || wait < 59*time.Minute || wait > time.Hour || c.TTL != 3600 {
		t.Errorf("got %+v", c)
	}
	if c.Password != turn.Sign([]byte("shared"), c.Username) {
		t.Errorf("the password is %s", c.Password)
	}
	part, err = openTestTURN(t, turnConfig(func(c *Config) {
		c.TURN.URIs, c.TURN.Username, c.TURN.Password = []string{"turn:turn.example.org"}, "name", "word"
	}), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if c := part.Credentials("@alice:localhost", "DEVICE"); c.Username != "name" || c.Password != "word" {
		t.Errorf("got %+v", c)
	}
}

// TestTURNPortTaken has another program on the port: by default the server goes on without, where an address was named it does not.
func TestTURNPortTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(turnPort))
	if err == nil { // else some other program has it, which is as good
		defer listener.Close()
	}
	var log bytes.Buffer
	part, err := openTestTURN(t, turnConfig(func(c *Config) { c.TURN.Listen = nil }), zerolog.New(&log))
	if err != nil || part != nil {
		t.Errorf("got %v, %v", part, err)
	}
	if !strings.Contains(log.String(), "another program listens on 127.0.0.1:3478") {
		t.Errorf("the log has %s", log.String())
	}
	_, err = openTestTURN(t, turnConfig(func(c *Config) { c.TURN.Listen = []string{"127.0.0.1:3478"} }), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "another program listens on 127.0.0.1:3478") {
		t.Errorf("got %v", err)
	}
}

// TestTURNSecrets keeps them in the database.
func TestTURNSecrets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var before turn.Credentials
		for i := range 3 { // as many starts of the server
			keys, err := turn.OpenKeys(t.Context(), turnSecrets{db}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			c := keys.Mint("@alice:localhost")
			if i > 0 && c.Username == before.Username && c.Password != before.Password {
				t.Error("the secret is another one after a start")
			}
			before = c
		}
		failure := errors.New("no")
		if _, err := (turnSecrets{db}).Update(t.Context(), func([]byte) ([]byte, error) { return nil, failure }); !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		raw, err := turnSecrets{db}.Update(t.Context(), func(old []byte) ([]byte, error) { return append(old, ' '), nil })
		if err != nil {
			t.Fatal(err)
		}
		again, err := turnSecrets{db}.Update(t.Context(), func(old []byte) ([]byte, error) { return old, nil })
		if err != nil || !bytes.Equal(raw, again) || !bytes.HasSuffix(again, []byte(" ")) {
			t.Errorf("what was changed is %q, %v", again, err)
		}
	})
}

// TestTURNRuns has TURN as it is by default run, tell that nobody is there, and end; and where it is turned off, nothing of it fails.
func TestTURNRuns(t *testing.T) {
	part, err := openTestTURN(t, turnConfig(nil), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part.run(ctx) }()
	var text bytes.Buffer
	if err := part.printMetrics(&text); err != nil || !strings.Contains(text.String(), "causeway_turn_allocations 0\n") {
		t.Errorf("got %s, %v", text.String(), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := part.close(); err != nil {
		t.Error(err)
	}
	var none *turnPart
	if none.run(ctx) != nil || none.close() != nil || none.printMetrics(&text) != nil {
		t.Error("no TURN server is one that fails")
	}
}

func TestRelayAddresses(t *testing.T) {
	parse := netip.MustParseAddr
	c := defaultTURN()
	got := relayAddresses(c, []netip.Addr{parse("127.0.0.1")}, network.Discover(network.DiscoveryConfig{}))
	if want := []turn.Address{{Bind: parse("127.0.0.1"), Public: parse("127.0.0.1")}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c.PublicAddresses = []string{"198.51.100.7", "2001:db8::7"}
	got = relayAddresses(c, []netip.Addr{parse("::")}, network.Discover(network.DiscoveryConfig{}))
	want := []turn.Address{{Bind: parse("0.0.0.0"), Public: parse("198.51.100.7")}, {Bind: parse("::"), Public: parse("2001:db8::7")}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = relayAddresses(c, []netip.Addr{parse("10.0.0.5"), parse("10.0.0.6")}, network.Discover(network.DiscoveryConfig{}))
	if want := []turn.Address{{Bind: parse("10.0.0.5"), Public: parse("198.51.100.7")}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c.PublicAddresses = nil
	for _, a := range relayAddresses(c, []netip.Addr{parse("::")}, network.Discover(network.DiscoveryConfig{})) {
		if a.Public.IsUnspecified() || a.Public.Is6() != a.Bind.Is6() || a.Public.Zone() != "" {
			t.Errorf("got %v", a)
		}
	}
}

// TestCertificateFiles has a certificate be renewed, and for a moment only half of it be there.
func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	certificate, key := writeCertificate(t, dir, 1)
	files := &certificateFiles{certificate: certificate, key: key}
	serial := func() int64 {
		t.Helper()
		pair, err := files.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("the certificate is %d", got)
	}
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, dir, 2)
	renewed, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for i, content := range [][]byte{old, renewed} {
		if err := os.WriteFile(key, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(certificate, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != int64(i+1) {
			t.Errorf("the certificate is %d, want %d", got, i+1)
		}
	}
	if _, err := (&certificateFiles{certificate: filepath.Join(dir, "none"), key: key}).get(nil); err == nil {
		t.Error("a certificate is there that is not")
	}
}

// writeCertificate writes one for loopback with a serial number, which has signed itself, and returns the paths.
func writeCertificate(t *testing.T, dir string, serial int64) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

var anyPort = regexp.MustCompile(`:\d+\?`)

// TestTURNConfigProblems is about what makes no sense, and never shows a secret.
func TestTURNConfigProblems(t *testing.T) {
	for yaml, want := range map[string]string{
		"turn: {listen: [nowhere]}":                                  `turn.listen[0]: "nowhere" is not host:port`,
		"turn: {tls: {listen: [\":443\"]}}":                          "turn.tls: needs certificate and key",
		"turn: {tls: {certificate: a, key: b}}":                      "turn.tls.listen: must not be empty",
		"turn: {tls: {proxied_port: 443}}":                           "turn.tls.listen: must not be empty where there is a proxy",
		"turn: {tls: {proxied_port: 70000}}":                         "turn.tls.proxied_port: must be from 1 to 65535",
		"turn: {host: \"a b\"}":                                      `turn.host: "a b" is not a host`,
		"turn: {public_addresses: [example.org]}":                    `turn.public_addresses[0]: "example.org" is not an IP address`,
		"turn: {public_addresses: [192.0.2.1, 192.0.2.2]}":           "turn.public_addresses[1]: is the second of its family",
		"turn: {allow_peers: [x]}":                                   `turn.allow_peers[0]: "x" is neither`,
		"turn: {refuse_peers: [10.0.0.0/99]}":                        `turn.refuse_peers[0]: "10.0.0.0/99" is neither`,
		"turn: {min_port: 80}":                                       "turn.min_port: must be from 1024",
		"turn: {min_port: 50000, max_port: 49999}":                   "turn.max_port: must be from min_port",
		"turn: {max_allocations: 0}":                                 "turn.max_allocations: must be at least 1",
		"turn: {ttl: 1s}":                                            "turn.ttl: must be from 5m0s",
		"turn: {ttl: 30d}":                                           "turn.ttl: must be from 5m0s to 72h0m0s",
		"turn: {secret: hush}":                                       "turn.uris: must not be empty",
		"turn: {uris: [\"turn:a\"]}":                                 "turn.uris: needs either secret, or username",
		"turn: {uris: [\"turn:a\"], secret: hush, username: x}":      "turn.uris: needs either secret, or username",
		"turn: {uris: [\"turn:a\"], password: hush}":                 "turn.username: needs password",
		"turn: {uris: [\"https://turn.example.org\"], secret: hush}": `turn.uris[0]: "https://turn.example.org" is no address`,
		"turn: {uris: [\"turn://a\"], secret: hush}":                 `turn.uris[0]: "turn://a" is no address`,
	} {
		_, err := parseConfig("causeway.yaml", []byte(yaml), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, want %s", yaml, err, want)
		}
	}
}
