package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/rs/zerolog"
)

// TestTURNBehindProxy has a proxy hand on what comes by its port for TURN by TLS: clients are told of that port, and the server knows whom
// connections are from.
func TestTURNBehindProxy(t *testing.T) {
	certificate, key := writeCertificate(t, t.TempDir(), 1)
	at := freeMedia(t)
	part, err := openTestTURN(t, turnConfig(func(c *Config) {
		c.PublicURL, c.TURN.Host, c.TURN.Listen = "https://matrix.example.org", "turn.example.org", nil
		c.TURN.TLS = TURNTLSConfig{Listen: []string{at}, Certificate: certificate, Key: key, ProxiedPort: 443}
	}), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part.run(ctx) }()
	defer func() { stop(); <-ended }()
	if want := []string{"turns:turn.example.org:443?transport=tcp"}; !slices.Equal(part.uris, want) {
		t.Errorf("clients are told of %v, want %v", part.uris, want)
	}
	if len(part.hosts) != 1 || !part.hosts[0].IsUnspecified() {
		t.Errorf("relays are at %v", part.hosts)
	}
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n": "203.0.113.9:4711",
		"": "",
	} {
		raw, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		fmt.Fprint(raw, header)
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		_, err = conn.Write(request.Raw)
		if want == "" {
			if err == nil {
				t.Error("a connection is taken of which no proxy says whom it is from")
			}
			continue
		}
		b := make([]byte, 1500)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		m := new(stun.Message)
		var mapped stun.XORMappedAddress
		if err := m.UnmarshalBinary(b[:n]); err != nil || mapped.GetFrom(m) != nil || mapped.String() != want {
			t.Errorf("a connection is from %v, %v; want %s", mapped, err, want)
		}
	}
}
