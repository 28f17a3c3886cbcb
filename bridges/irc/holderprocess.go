package irc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/irc/holder"
)

// registrar hears of connections that are made, as identd does.
type registrar interface {
	begin() (end func())
	add(conn net.Conn, user string)
	remove(conn net.Conn)
}

// dialSpec is a connection as the holder is asked for it: what dial needs of a configuration and a source. It goes
// over the holder's socket only, because it may have passwords and keys.
type dialSpec struct {
	Address     string     `json:"address"`
	TLS         bool       `json:"tls"`
	TLSInsecure bool       `json:"tls_insecure"`
	Dial        DialConfig `json:"dial"`
	User        id.UserID  `json:"user"`
	Chain       [][]byte   `json:"chain,omitempty"` // of the certificate, DER
	Key         []byte     `json:"key,omitempty"`   // PKCS #8
}

func newDialSpec(cfg NetworkConfig, from source) (dialSpec, error) {
	spec := dialSpec{Address: cfg.Address, TLS: cfg.TLS, TLSInsecure: cfg.TLSInsecure, Dial: cfg.Dial, User: from.user}
	if from.certificate == nil {
		return spec, nil
	}
	key, err := x509.MarshalPKCS8PrivateKey(from.certificate.PrivateKey)
	if err != nil {
		return spec, fmt.Errorf("hand over the client certificate: %w", err)
	}
	spec.Chain, spec.Key = from.certificate.Certificate, key
	return spec, nil
}

func (s dialSpec) source() (source, error) {
	from := source{user: s.User}
	if len(s.Chain) == 0 {
		return from, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(s.Key)
	if err != nil {
		return from, fmt.Errorf("take the client certificate: %w", err)
	}
	from.certificate = &tls.Certificate{Certificate: s.Chain, PrivateKey: key}
	return from, nil
}

// RunHolder is the life of the process that keeps IRC connections over a restart: it serves the socket until ctx ends
// or there is nothing to hold, and says on out when it can be reached. cmd/causeway runs it by a hidden command.
func RunHolder(ctx context.Context, socket string, out io.Writer) error {
	return holder.New(socket, dialHeld).Run(ctx, func() { _, _ = fmt.Fprintln(out, holder.Ready) })
}

// EndHolder has the holder that serves a socket, if there is one, say goodbye on all connections and end.
func EndHolder(ctx context.Context, socket string) error {
	return (&holder.Dialer{Path: socket}).End(ctx, quitMessage)
}

// dialHeld is the holder's way to dial.
func dialHeld(ctx context.Context, text json.RawMessage, tcp func(net.Conn)) (net.Conn, bool, error) {
	var spec dialSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, false, fmt.Errorf("what to connect to: %w", err)
	}
	from, err := spec.source()
	if err != nil {
		return nil, false, err
	}
	from.ident = teller(tcp)
	conn, err := dial(ctx, NetworkConfig{Address: spec.Address, TLS: spec.TLS, TLSInsecure: spec.TLSInsecure, Dial: spec.Dial}, from)
	return conn, spec.TLS, err
}

// teller passes on what a registrar hears: identd is the server's.
type teller func(net.Conn)

func (t teller) begin() func()               { return func() {} }
func (t teller) add(conn net.Conn, _ string) { t(conn) }
func (t teller) remove(net.Conn)             {}

// SetHolder says how the process is run that keeps connections over a restart. Without it there is none, whatever
// Config.Handover says.
func (c *Connector) SetHolder(command func(socket string) *exec.Cmd) { c.holderCommand = command }

// isSecure reports whether a connection has TLS.
func isSecure(conn net.Conn) bool {
	if held, ok := conn.(*holder.Conn); ok {
		return held.Secure()
	}
	_, ok := conn.(*tls.Conn)
	return ok
}
