package irc

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"
)

// maxSTS bounds how long a network can have us remember that it is to be talked to over TLS only.
const maxSTS = 365 * 24 * time.Hour

// stsPolicy is that a network is talked to over TLS only, although its configuration says otherwise. IRCv3, "Strict
// Transport Security".
type stsPolicy struct {
	Port    int   `json:"port"`
	UntilTS int64 `json:"until_ts"`
}

// inForce reports whether a policy holds.
func (p *stsPolicy) inForce(now time.Time) bool { return p != nil && now.UnixMilli() < p.UntilTS }

// parseSTS reads "duration=N,port=N". What is missing or makes no sense is -1.
func parseSTS(value string) (duration time.Duration, port int) {
	duration, port = -1, -1
	for key := range strings.SplitSeq(value, ",") {
		key, text, _ := strings.Cut(key, "=")
		n, err := strconv.ParseUint(text, 10, 32)
		switch {
		case err != nil:
		case key == "duration":
			duration = min(time.Duration(n)*time.Second, maxSTS)
		case key == "port" && n > 0 && n < 1<<16:
			port = int(n)
		}
	}
	return duration, port
}

// dialConfig is the configuration to connect by: with TLS where the network has asked for it, on this connection or before.
func (c *client) dialConfig(now time.Time) NetworkConfig {
	cfg, port := c.net.cfg, c.stsPort
	c.net.mu.Lock()
	if policy := c.net.sts; policy.inForce(now) {
		port = policy.Port
	}
	c.net.mu.Unlock()
	host, _, _ := net.SplitHostPort(cfg.Address)
	if cfg.TLS || port == 0 {
		return cfg
	}
	cfg.TLS, cfg.TLSInsecure, cfg.Address = true, false, net.JoinHostPort(host, strconv.Itoa(port))
	return cfg
}

// heedSTS does what the network says about TLS, and reports whether the connection has been given up for one with TLS. An
// address that is no name is left alone: nothing vouches for it.
func (c *client) heedSTS() (again bool) {
	value, offered := c.caps.offered["sts"]
	host, _, _ := net.SplitHostPort(c.net.cfg.Address)
	if !offered || c.net.cfg.TLS || net.ParseIP(host) != nil {
		return false
	}
	duration, port := parseSTS(value)
	if isSecure(c.sess.conn) {
		if duration >= 0 {
			c.net.keepSTS(c.stsPort, duration)
		}
		return false
	}
	if port < 0 || c.phase != registering {
		return false
	}
	c.stsPort = port
	c.dropSession()
	c.phase = offline
	c.connect(time.Now())
	return true
}

// keepSTS remembers a policy over restarts; without a duration, it ends. The port is that of a policy before, if this connection
// was made by it.
func (n *network) keepSTS(port int, duration time.Duration) {
	n.mu.Lock()
	if port == 0 && n.sts != nil {
		port = n.sts.Port
	}
	n.sts = &stsPolicy{Port: port, UntilTS: time.Now().Add(duration).UnixMilli()}
	if duration == 0 || port == 0 {
		n.sts = nil
	}
	policy := n.sts
	n.mu.Unlock()
	n.conn.later(func(ctx context.Context) {
		if err := n.conn.change(ctx, n.login, func(meta *loginMeta) { meta.STS = policy }); err != nil {
			n.log.Err(err).Msg("store that the network is to be talked to over TLS")
		}
	})
}
