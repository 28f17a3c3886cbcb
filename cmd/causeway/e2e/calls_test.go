package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCalls has two people call each other with matrix-js-sdk in Chromium, by the built-in TURN server alone (testdata/calls). Nothing is
// allowed that is not by default: they meet at its own relays.
func TestCalls(t *testing.T) {
	folder, err := filepath.Abs("output/calls")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	const token = "a-secret-of-the-collector"
	certificate, key := selfSigned(t)
	metrics := freePort(t)
	server := startServer(t, options{extra: fmt.Sprintf("turn:\n  listen: [\"127.0.0.1:0\"]\n  tls: {listen: [\"127.0.0.1:0\"], certificate: %q, key: %q}\nmetrics: {listen: %q, token: %s}\n",
		certificate, key, metrics, token)})
	server.awaitListener(t, metrics)
	server.runNode(t, nil, "calls/main.mjs", server.url(""), folder, "http://"+metrics+"/_causeway/metrics", token)
}

// selfSigned writes a certificate for loopback that nobody trusts, and returns the paths of it and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
