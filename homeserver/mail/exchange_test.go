package mail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// exchange is an SMTP server for a test.
type exchange struct {
	port    int
	pool    *x509.CertPool
	arrived chan struct{} // gets one for each message

	mu       sync.Mutex // guards the rest
	messages []string
	to       []string
	user     string
	fault    error // of RCPT
	late     error // of DATA, once it is kept
}

type conversation struct {
	x  *exchange
	to string
}

func (x *exchange) NewSession(*smtp.Conn) (smtp.Session, error) { return &conversation{x: x}, nil }

func (c *conversation) Reset()                               {}
func (c *conversation) Logout() error                        { return nil }
func (c *conversation) Mail(string, *smtp.MailOptions) error { return nil }
func (c *conversation) AuthMechanisms() []string             { return []string{sasl.Plain} }
func (c *conversation) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		c.x.mu.Lock()
		defer c.x.mu.Unlock()
		if password != "right" {
			return smtp.ErrAuthFailed
		}
		c.x.user = user
		return nil
	}), nil
}

func (c *conversation) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.to = to
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	return c.x.fault
}

func (c *conversation) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	c.x.messages, c.x.to = append(c.x.messages, string(raw)), append(c.x.to, c.to)
	c.x.arrived <- struct{}{}
	return c.x.late
}

func (x *exchange) set(fault, late error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault, x.late = fault, late
}

func (x *exchange) got() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string(nil), x.messages...)
}

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func newExchange(t *testing.T, mode string) *exchange {
	t.Helper()
	x := &exchange{arrived: make(chan struct{}, 1000)}
	cert, pool := certificate(t)
	x.pool = pool
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.port = listener.Addr().(*net.TCPAddr).Port
	server := smtp.NewServer(x)
	server.Domain, server.EnableSMTPUTF8 = "localhost", mode != NoTLS
	server.ErrorLog = quiet{}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	if mode == StartTLS {
		server.TLSConfig = config
	}
	if mode == Implicit {
		listener = tls.NewListener(listener, config)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it ends when the test does
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return x
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
