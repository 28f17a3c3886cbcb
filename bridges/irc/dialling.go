package irc

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
	"maunium.net/go/mautrix/id"
)

// source is who a connection is made for.
type source struct {
	user        id.UserID
	certificate *tls.Certificate // shown to the server, or nil
	ident       registrar        // to be told of the connection, or nil
}

// dial connects as the configuration says, for somebody.
func dial(ctx context.Context, cfg NetworkConfig, from source) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dialTCP(ctx, cfg, from)
	if err != nil || !cfg.TLS {
		return conn, err
	}
	host, _, _ := net.SplitHostPort(cfg.Address)
	tlsConfig := &tls.Config{ServerName: host, InsecureSkipVerify: cfg.TLSInsecure}
	pair := from.certificate
	if pair == nil && cfg.Dial.ClientCert != "" {
		shared, err := tls.LoadX509KeyPair(cfg.Dial.ClientCert, cfg.Dial.ClientKey)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("load the network's client certificate: %w", err)
		}
		pair = &shared
	}
	if pair != nil {
		tlsConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	secure := tls.Client(conn, tlsConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %s (is the port one for TLS? if not, set tls: false): %w", cfg.Address, err)
	}
	return secure, nil
}

func dialTCP(ctx context.Context, cfg NetworkConfig, from source) (net.Conn, error) {
	dialer := &net.Dialer{}
	if cfg.Dial.SOCKS5 != "" {
		return dialProxy(ctx, dialer, cfg)
	}
	network := "tcp"
	if cfg.Dial.Bind != "" {
		prefix, err := parseBind(cfg.Dial.Bind)
		if err != nil {
			return nil, err
		}
		addr := addressOf(prefix, from.user)
		if network = "tcp4"; addr.Is6() {
			network = "tcp6"
		}
		dialer.LocalAddr = &net.TCPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
		if cfg.Dial.FreeBind {
			dialer.Control = freeBind
		}
	}
	if from.ident == nil {
		return dialer.DialContext(ctx, network, cfg.Address)
	}
	defer from.ident.begin()()
	conn, err := dialer.DialContext(ctx, network, cfg.Address)
	if err != nil {
		return nil, err
	}
	from.ident.add(conn, username(from.user))
	return &identConn{Conn: conn, d: from.ident}, nil
}

// dialProxy connects through a SOCKS5 proxy. Its errors do not show the proxy's password.
func dialProxy(ctx context.Context, dialer *net.Dialer, cfg NetworkConfig) (net.Conn, error) {
	u, err := url.Parse(cfg.Dial.SOCKS5)
	if err != nil {
		return nil, fmt.Errorf("dial.socks5 is no URL")
	}
	var auth *proxy.Auth
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	through, err := proxy.SOCKS5("tcp", u.Host, auth, dialer)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", u.Host, err)
	}
	conn, err := through.(proxy.ContextDialer).DialContext(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("through proxy %s: %w", u.Host, err)
	}
	return conn, nil
}

// addressOf is the address of a user out of a network: always the same, and with a network of 64 bits for nobody else.
func addressOf(prefix netip.Prefix, user id.UserID) netip.Addr {
	if prefix.IsSingleIP() {
		return prefix.Addr()
	}
	host := sha256.Sum256([]byte("causeway irc address\x00" + user.String()))
	raw := prefix.Addr().AsSlice()
	for i := range raw {
		fixed := min(max(prefix.Bits()-8*i, 0), 8) // leading bits of this byte that belong to the network
		mask := byte(0xff) >> fixed
		raw[i] = raw[i]&^mask | host[i]&mask
	}
	raw[len(raw)-1] |= 1 // neither the network's own address nor its routers'
	if prefix.Addr().Is4() && raw[len(raw)-1] == 0xff {
		raw[len(raw)-1] = 0xfd // nor its broadcast
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// webIRC is the parameters of WEBIRC, which goes before everything else: password, gateway, host and address.
func webIRC(cfg NetworkConfig, user id.UserID) ([]string, error) {
	prefix, err := parseBind(cfg.WebIRC.Addresses)
	if err != nil {
		return nil, err
	}
	addr := addressOf(prefix, user).String()
	if strings.HasPrefix(addr, ":") {
		addr = "0" + addr // a parameter that begins with a colon is another thing
	}
	host := addr
	if cfg.WebIRC.Host != "" {
		host = strings.ReplaceAll(cfg.WebIRC.Host, "{localpart}", username(user))
	}
	params := []string{cfg.WebIRC.Password, cfg.WebIRC.Gateway, host, addr}
	if cfg.TLS {
		params = append(params, "secure")
	}
	return params, nil
}
