package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/store"
	"causeway/sfu"
	"causeway/sfu/focus"
	"causeway/sfu/network"
	"causeway/sfu/signalling"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

// Where clients find what group calls need, below the server's address.
const (
	callTokensPath = "/livekit/jwt" // focus
	callMediaPath  = "/livekit/sfu" // signalling; clients put /rtc or /rtc/v1 behind it
)

// calls are the group calls of the server: what makes tokens for them, and the SFU, if that is ours.
type calls struct {
	focus  *focus.Service
	sfu    *sfu.Server // nil for one elsewhere, and net with it
	net    *network.Network
	nodes  *focus.Nodes // nil for none
	turn   *turnPart    // set by relayedBy
	base   string
	media  string // the WebSocket address of the SFU; "" for nodes, of which each has its own
	public *network.Discovery
	hs     *homeserver.Server // set by attend
	page   *callPage          // nil for none
}

// openCalls prepares group calls; nil where there are none. What is wrong with the network ends no server, and the log says
// so, but where calls.listen names an address that cannot be had.
// public has the addresses by which media reaches this machine.
func openCalls(cfg *Config, db *store.DB, public *network.Discovery, log zerolog.Logger) (c *calls, err error) {
	if !cfg.Calls.Enabled {
		return nil, nil
	}
	log = log.With().Str("part", "calls").Logger()
	c = &calls{base: strings.TrimRight(cfg.BaseURL(), "/"), public: public}
	fc := focus.Config{ServerName: cfg.ServerName, OpenID: c, Membership: c, Ledger: callSeats{db}, Log: log}
	if cfg.DelayedEvents.Enabled {
		fc.Delays = c
	}
	key, secret := cfg.Calls.SFU.LiveKit.Key, cfg.Calls.SFU.LiveKit.Secret
	reached := []string{cfg.Calls.SFU.LiveKit.media()}
	switch elsewhere := cfg.Calls.SFU.LiveKit; {
	case elsewhere.URL != "":
		c.media = elsewhere.media()
		fc.Elsewhere = &focus.LiveKit{URL: c.media, API: elsewhere.api(), Key: key, Secret: secret}
		fc.SFU = fc.Elsewhere
	case len(cfg.Calls.SFU.Nodes) > 0:
		key, secret = nodeKey(cfg.Calls.SFU.Secret)
		c.nodes, reached = openNodes(cfg, key, secret, log), nil
		for _, n := range cfg.Calls.SFU.Nodes {
			reached = append(reached, n.media())
		}
		fc.SFU, fc.Elsewhere = c.nodes, c.nodes
	default:
		c.net, err = openMedia(cfg, log)
		if err != nil && cfg.Calls.Listen != "" {
			return nil, err
		}
		if err != nil {
			log.Error().Err(err).Msg("There are no group calls: media has no port. Set calls.listen, or calls.enabled to false")
			return nil, nil
		}
		if key, secret, err = callKey(filepath.Join(cfg.DataDir, "calls.key")); err != nil {
			return nil, errors.Join(err, c.close())
		}
		if err := c.openSFU(key, secret, log); err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.media = "ws" + strings.TrimPrefix(c.base, "http") + callMediaPath // https:// becomes wss://
		fc.SFU, reached = ownSFU{c.sfu, c.media}, []string{c.media}
	}
	fc.Mint = func(g focus.Grant, valid time.Duration) (string, error) {
		return sfu.Mint(key, secret, sfu.Grant{Room: g.Room, Identity: g.Identity, Permission: permission(g.Publish)}, valid)
	}
	c.focus = focus.New(fc)
	if c.page, err = openCallPage(cfg, reached...); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// openSFU makes the SFU of this process.
func (c *calls) openSFU(key, secret string, log zerolog.Logger) (err error) {
	sc := c.sfuConfig(log)
	sc.Keys = map[string]string{key: secret}
	sc.Admit = c.admit
	sc.Joined = func(who sfu.Presence, may sfu.Permission) { c.focus.Joined(who.Room, who.Identity, may.Publish) }
	sc.Left = func(who sfu.Presence) { c.focus.Left(who.Room, who.Identity) }
	c.sfu, err = sfu.New(sc)
	return err
}

// sfuConfig is what an SFU of this process needs of the network.
func (c *calls) sfuConfig(log zerolog.Logger) sfu.Config {
	return sfu.Config{
		UDP: c.net.UDP, TCP: c.net.TCP, Flush: c.net.Flush, PublicIPs: c.public.Addresses,
		Addresses: c.net.Has, Loopback: c.net.Loopback(),
		ICEServers: c.iceServers,
		Log:        log,
	}
}

// permission is what those may do in a call who may send sound and picture, and those who may not.
func permission(publish bool) sfu.Permission {
	return sfu.Permission{Publish: publish, Subscribe: true, Data: publish, Metadata: true}
}

// iceServers are what a participant of a call is told. Where users are known, credentials of TURN are the user's, as those of 1:1 calls are, so that
// there are no more relays for who has several identities.
func (c *calls) iceServers(room, identity string) []signalling.ICEServer {
	if c.focus == nil { // a node
		return c.turn.iceServers(identity, identity)
	}
	seat, ok := c.focus.Who(room, identity)
	if !ok {
		return nil // it is put out at this moment
	}
	return c.turn.iceServers(string(seat.UserID), identity)
}

// relayedBy has participants told of a TURN server, before anything is served.
func (c *calls) relayedBy(t *turnPart) {
	if c != nil {
		c.turn = t
	}
}

// attend ties the homeserver's end, before anything is served.
func (c *calls) attend(hs *homeserver.Server) {
	if c != nil {
		c.hs = hs
	}
}

// prepare knows who was in calls before a restart, before anything is served.
func (c *calls) prepare(ctx context.Context) error {
	if c == nil {
		return nil
	}
	return c.focus.Prepare(ctx)
}

// with has a handler serve calls, too.
func (c *calls) with(next http.Handler) http.Handler {
	if c == nil {
		return next
	}
	next = c.page.with(next)
	mux := http.NewServeMux()
	mux.Handle(callTokensPath+"/", http.StripPrefix(callTokensPath, c.focus.Handler()))
	if c.sfu != nil {
		mux.Handle(callMediaPath+"/", http.StripPrefix(callMediaPath, c.sfu.Handler()))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, callTokensPath+"/") || strings.HasPrefix(r.URL.Path, callMediaPath+"/") {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxWhere is how many addresses of media people are told one by one.
const maxWhere = 3

// where says for people where sound and picture of calls go.
func (c *calls) where() string {
	switch {
	case c == nil:
		return "none, as the log says"
	case c.nodes != nil:
		return "on " + strings.Join(slices.Sorted(maps.Keys(c.nodes.Live())), ", ")
	case c.net == nil:
		return "on " + c.media
	}
	addresses, port := c.net.Addresses(), c.net.UDPPort()
	if len(addresses) > maxWhere {
		return fmt.Sprintf("port %d of %d addresses (UDP, TCP)", port, len(addresses))
	}
	var at []string
	for _, a := range addresses {
		at = append(at, netip.AddrPortFrom(a, uint16(port)).String())
	}
	return strings.Join(at, ", ") + " (UDP, TCP)"
}

// run serves calls until ctx ends.
func (c *calls) run(ctx context.Context) error {
	if c == nil {
		return nil
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return c.focus.Run(ctx) })
	if c.sfu != nil {
		parts.Go(func() error { return c.sfu.Run(ctx) })
	}
	return errors.Join(parts.Wait(), c.close())
}

// close closes what was opened.
func (c *calls) close() error {
	if c == nil {
		return nil
	}
	err := c.page.close()
	if c.net != nil {
		err = errors.Join(err, c.net.Close())
	}
	return err
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
	return []clientapi.CallTransport{{Type: "livekit", ServiceURL: c.base + callTokensPath, URL: c.media}}
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

// CancelDelayed implements focus.Delays.
func (c *calls) CancelDelayed(ctx context.Context, user id.UserID, delayID string) error {
	return c.hs.CancelDelayed(ctx, user, delayID)
}

// ownSFU is the SFU of this process.
type ownSFU struct {
	*sfu.Server
	url string
}

// Open implements focus.SFU: rooms come with those who come in.
func (o ownSFU) Open(context.Context, string) (string, error) { return o.url, nil }

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
