package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/store"
	"causeway/sfu"
	"causeway/sfu/focus"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

// Where clients find what group calls need, below the server's address.
const (
	callTokensPath = "/livekit/jwt" // focus
	callMediaPath  = "/livekit/sfu" // signalling; clients put /rtc or /rtc/v1 behind it
)

// CallsConfig is of group calls.
type CallsConfig struct {
	Enabled bool `yaml:"enabled"`
	// Listen is where media comes in: one UDP port for all. "" is port 7882, of loopback alone where the server is there alone.
	Listen string `yaml:"listen"`
	// PublicIPs are told to clients in the place of the machine's own.
	PublicIPs []string `yaml:"public_ips"`
}

func defaultCalls() CallsConfig {
	return CallsConfig{Enabled: true, PublicIPs: []string{}}
}

func (c CallsConfig) check(bad report) {
	if c.Listen != "" {
		checkListenAt("calls.listen", c.Listen, bad)
	}
	for i, s := range c.PublicIPs {
		if _, err := netip.ParseAddr(s); err != nil {
			bad(fmt.Sprintf("calls.public_ips[%d]", i), "%q is no IP address", s)
		}
	}
}

// calls are the group calls of the server: the SFU, and what makes tokens for it.
type calls struct {
	focus *focus.Service
	sfu   *sfu.Server
	mux   ice.UDPMux
	base  string
	hs    *homeserver.Server // set by attend
	log   zerolog.Logger
}

// openCalls prepares group calls; nil where there are none. What is wrong with the network ends no server: the log says so.
func openCalls(cfg *Config, db *store.DB, log zerolog.Logger) (*calls, error) {
	if !cfg.Calls.Enabled {
		return nil, nil
	}
	log = log.With().Str("part", "calls").Logger()
	conn, err := openMedia(cfg, log)
	if err != nil {
		log.Error().Err(err).Msg("There are no group calls: media has no port. Set calls.listen, or calls.enabled to false")
		return nil, nil
	}
	name, secret, err := callKey(filepath.Join(cfg.DataDir, "calls.key"))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &calls{mux: webrtc.NewICEUDPMux(nil, conn), base: strings.TrimRight(cfg.BaseURL(), "/"), log: log}
	loopback := isLoopback(hostAt(conn.LocalAddr())) || localBase(cfg.BaseURL())
	c.sfu, err = sfu.New(sfu.Config{
		Keys: map[string]string{name: secret}, UDP: c.mux, Loopback: loopback, PublicIPs: cfg.Calls.PublicIPs,
		Admit: c.admit, Joined: func(room, identity string, may sfu.Permission) { c.focus.Joined(room, identity, may.Publish) },
		Left: func(room, identity string) { c.focus.Left(room, identity) },
		Log:  log,
	})
	if err != nil {
		return nil, errors.Join(err, c.mux.Close())
	}
	fc := focus.Config{
		ServerName: cfg.ServerName, OpenID: c, Membership: c, URL: c.mediaURL(), SFU: ownSFU{c.sfu}, Ledger: callSeats{db}, Log: log,
		Mint: func(g focus.Grant, valid time.Duration) (string, error) {
			return sfu.Mint(name, secret, sfu.Grant{Room: g.Room, Identity: g.Identity, Permission: permission(g.Publish)}, valid)
		},
	}
	if cfg.DelayedEvents.Enabled {
		fc.Delays = c
	}
	c.focus = focus.New(fc)
	return c, nil
}

// permission is what those may do in a call who may send sound and picture, and those who may not.
func permission(publish bool) sfu.Permission {
	return sfu.Permission{Publish: publish, Subscribe: true, Data: publish, Metadata: true}
}

// mediaURL is the WebSocket address of the SFU: https:// becomes wss://.
func (c *calls) mediaURL() string {
	return "ws" + strings.TrimPrefix(c.base, "http") + callMediaPath
}

// defaultMediaPort is that of LiveKit, which descriptions of firewalls for calls name.
const defaultMediaPort = "7882"

// openMedia opens the UDP port of media. Where another program has the default one, it is any other.
func openMedia(cfg *Config, log zerolog.Logger) (net.PacketConn, error) {
	listen := cfg.Calls.Listen
	if listen == "" {
		host := ""
		if h, _, err := net.SplitHostPort(cfg.Listen); err == nil && isLoopback(h) && cfg.PublicURL == "" {
			host = h
		}
		listen = net.JoinHostPort(host, defaultMediaPort)
	}
	conn, err := net.ListenPacket("udp", listen)
	if errors.Is(err, syscall.EADDRINUSE) && cfg.Calls.Listen == "" {
		host, _, _ := net.SplitHostPort(listen)
		if conn, err = net.ListenPacket("udp", net.JoinHostPort(host, "0")); err == nil {
			log.Warn().Str("listen", listen).Stringer("instead", conn.LocalAddr()).
				Msg("Another program has the UDP port for calls, so that it is another one, which firewalls may not let through: set calls.listen")
		}
	}
	return conn, err
}

func hostAt(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// localBase is whether clients are on this machine.
func localBase(base string) bool {
	u, err := url.Parse(base)
	return err == nil && (u.Hostname() == "localhost" || isLoopback(u.Hostname()))
}

// callKey reads the key by which access tokens are signed, which is made at first. Tokens outlive a restart by it.
func callKey(path string) (name, secret string, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw = []byte("API" + rand.Text()[:12] + " " + rand.Text() + rand.Text() + "\n")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return "", "", fmt.Errorf("keep the key of access tokens for calls: %w", err)
		}
	} else if err != nil {
		return "", "", fmt.Errorf("read the key of access tokens for calls: %w", err)
	}
	name, secret, ok := strings.Cut(strings.TrimSpace(string(raw)), " ")
	if !ok || len(secret) < 32 {
		return "", "", fmt.Errorf("%s is no key of access tokens for calls: delete it, and another one is made", path)
	}
	return name, secret, nil
}

// attend ties the homeserver's end, before anything is served.
func (c *calls) attend(hs *homeserver.Server) {
	if c != nil {
		c.hs = hs
	}
}

// with has a handler serve calls, too.
func (c *calls) with(next http.Handler) http.Handler {
	if c == nil {
		return next
	}
	mux := http.NewServeMux()
	mux.Handle(callTokensPath+"/", http.StripPrefix(callTokensPath, c.focus.Handler()))
	mux.Handle(callMediaPath+"/", http.StripPrefix(callMediaPath, c.sfu.Handler()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, callTokensPath+"/") || strings.HasPrefix(r.URL.Path, callMediaPath+"/") {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// run serves calls until ctx ends.
func (c *calls) run(ctx context.Context) error {
	if c == nil {
		return nil
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return c.focus.Run(ctx) })
	parts.Go(func() error { return c.sfu.Run(ctx) })
	return errors.Join(parts.Wait(), c.mux.Close())
}

// close closes what was opened for calls that do not run.
func (c *calls) close() error {
	if c == nil {
		return nil
	}
	return c.mux.Close()
}

// admit tells the SFU who may come in, and what they may do by now.
func (c *calls) admit(ctx context.Context, g *sfu.Grant) error {
	publish, err := c.focus.Admit(ctx, g.Room, g.Identity)
	if err == nil && !publish {
		g.Permission = permission(false)
	}
	return err
}

// clientCalls are calls as the client-server API has them; nil for none.
func (c *calls) clientCalls() clientapi.Calls {
	if c == nil {
		return nil
	}
	return c
}

// watcher hears who may not be in a call any more; nil for no calls.
func (c *calls) watcher() homeserver.CallWatcher {
	if c == nil {
		return nil
	}
	return c.focus
}

// Transports implements clientapi.Calls.
func (c *calls) Transports() []clientapi.CallTransport {
	return []clientapi.CallTransport{{Type: "livekit", ServiceURL: c.base + callTokensPath, URL: c.mediaURL()}}
}

// Delegates implements clientapi.Calls.
func (c *calls) Delegates() bool { return c.focus.Delegates() }

// CallToken implements clientapi.Calls.
func (c *calls) CallToken(ctx context.Context, m clientapi.CallMember) (clientapi.CallToken, error) {
	who, member := asMember(m)
	token, err := c.focus.Token(ctx, who, member)
	return clientapi.CallToken{JWT: token.JWT, URL: token.URL}, err
}

// DelegateLeave implements clientapi.Calls.
func (c *calls) DelegateLeave(ctx context.Context, m clientapi.CallMember, delayID string) error {
	who, member := asMember(m)
	return c.focus.Delegate(ctx, who, member, delayID)
}

func asMember(m clientapi.CallMember) (focus.Who, focus.Member) {
	return focus.Who{UserID: m.UserID, DeviceID: m.DeviceID},
		focus.Member{RoomID: m.RoomID, SlotID: m.SlotID, DeviceID: m.ClaimedDeviceID, MemberID: m.MemberID}
}

// OpenIDUser implements focus.OpenID.
func (c *calls) OpenIDUser(ctx context.Context, token string) (id.UserID, error) {
	return c.hs.OpenIDUser(ctx, token)
}

// Access implements focus.Membership.
func (c *calls) Access(ctx context.Context, room id.RoomID, user id.UserID, device id.DeviceID) (focus.Access, error) {
	joined, byState, bySticky, err := c.hs.CallAccess(ctx, room, user, device)
	return focus.Access{Joined: joined, ByState: byState, BySticky: bySticky}, err
}

// DelayedEvent implements focus.Delays.
func (c *calls) DelayedEvent(ctx context.Context, user id.UserID, delayID string) (focus.Delay, error) {
	room, after, err := c.hs.DelayedEvent(ctx, user, delayID)
	return focus.Delay{RoomID: room, After: after}, err
}

// RestartDelayed implements focus.Delays.
func (c *calls) RestartDelayed(ctx context.Context, user id.UserID, delayID string) error {
	return c.hs.RestartDelayed(ctx, user, delayID)
}

// SendDelayed implements focus.Delays.
func (c *calls) SendDelayed(ctx context.Context, user id.UserID, delayID string) error {
	return c.hs.SendDelayed(ctx, user, delayID)
}

// ownSFU is the SFU of this process.
type ownSFU struct{ *sfu.Server }

// Open implements focus.SFU: rooms come with those who come in.
func (ownSFU) Open(context.Context, string) error { return nil }

// Remove implements focus.SFU.
func (o ownSFU) Remove(_ context.Context, room, identity string) error {
	o.Server.Remove(room, identity)
	return nil
}

// SetPublish implements focus.SFU.
func (o ownSFU) SetPublish(_ context.Context, room, identity string, publish bool) error {
	o.Server.SetPermission(room, identity, permission(publish))
	return nil
}

// Present implements focus.SFU. The SFU tells itself who comes and goes.
func (ownSFU) Present(context.Context, string) ([]string, error) { return nil, nil }
