package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// direct comes into a call by UDP, which shows whether signalling works, and by TCP.
func (r *run) direct(ctx context.Context) {
	v, err := r.join(ctx, r.tokenFor(ctx, "doctor-udp"), route{networks: byUDP})
	if !r.signalling(v, err) {
		return
	}
	r.reached, r.servers = true, v.servers
	r.told(ctx, v.told)
	r.mediaBy(v, err, "udp", false)
	if r.legacy {
		r.mediaBy(v, err, "tcp", true)
		return
	}
	if v.connected {
		r.others(ctx, v)
	}
	v, err = r.join(ctx, r.tokenFor(ctx, "doctor-tcp"), route{networks: byTCP})
	r.mediaBy(v, err, "tcp", true)
}

// signalling tells whether a client comes into a call, be there media or not.
func (r *run) signalling(v visit, err error) bool {
	switch status := statusOf(err); {
	case v.joined && len(v.told) > 0:
		r.ok("websocket", "A client comes into a call by the WebSocket at %s.", r.media)
		return true
	case !v.upgraded && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		r.fail("websocket", adviseToken(err), "The SFU lets nobody in: %v.", err)
	case !v.upgraded && status != 0:
		r.fail("websocket", "Have the reverse proxy hand on WebSockets below /livekit/sfu/: the headers Upgrade and Connection, by HTTP/1.1 (docs/calls.md has an example).",
			"WebSockets do not get through to %s: %v.", r.media, err)
	case !v.upgraded:
		r.fail("websocket", adviseMedia, "The WebSocket at %s cannot be opened: %s.", r.media, words(err))
	case errors.Is(err, errPutOut):
		r.fail("websocket", "Look into the log of the server.", "The SFU does not keep a client: %v.", err)
	default:
		r.fail("websocket", "Look whether the proxy hands on both directions of a WebSocket without keeping it back (proxy_buffering off).",
			"The WebSocket at %s opens, but nothing comes by it: %s.", r.media, words(err))
	}
	return false
}

// told looks at the addresses that clients are told.
func (r *run) told(ctx context.Context, all []told) {
	public, _ := r.lookUp(ctx)
	var good, private, here []string
	for _, t := range all {
		switch ip := t.address.Addr(); {
		case ip.IsLoopback():
			here = append(here, t.String())
		case ip.IsPrivate() || ip.IsLinkLocalUnicast() || shared.Contains(ip):
			private = append(private, t.String())
		default:
			good = append(good, t.String())
		}
	}
	suggestion := "Set calls.public_ips to the addresses by which clients reach the server, or calls.stun to a STUN server that sees it at them; start the server again."
	if public.IsValid() && !isInner(public) {
		suggestion = fmt.Sprintf("Set calls.public_ips to [%q], or what else the public address of the server is, or calls.stun to a STUN server that sees it; start the server again.", public)
	}
	listed := strings.Join(slices.Concat(good, private, here), ", ")
	switch {
	case isHere(r.base.Hostname()):
		if len(here) == 0 {
			r.warn("addresses", "Nothing, if clients on this machine reach these.", "Clients are told to send media to %s, though they are on this machine.", listed)
			return
		}
		r.ok("addresses", "Clients are told to send media to %s.", listed)
	case len(good)+len(private) == 0:
		r.fail("addresses", suggestion, "Clients are told to send media to %s, their own machine: nobody elsewhere can be in calls.", listed)
	case len(good) == 0 && public.IsValid() && !isInner(public):
		r.fail("addresses", suggestion, "Clients are told to send media to %s alone, which nobody outside of the server's own network reaches.", listed)
	default:
		r.ok("addresses", "Clients are told to send media to %s.", listed)
	}
}

// maxOthers is how many further addresses are tested.
const maxOthers = 4

// others names the public addresses among those that clients are told by which no media gets through, though it does by another: those who do not reach
// that one are kept out. Only UDP is tested; the addresses of TCP are the same.
func (r *run) others(ctx context.Context, v visit) {
	tested := 0
	for _, t := range v.told {
		if t.tcp || isInner(t.address.Addr()) || t.address.String() == v.remote || !hasWay(ctx, t.address) || tested == maxOthers {
			continue
		}
		tested++
		if _, err := r.join(ctx, r.tokenFor(ctx, "doctor-other"), route{networks: byUDP, only: t.address}); errors.Is(err, errNoMedia) {
			r.warn("address", fmt.Sprintf("Let port %d/udp through the firewall, and have the router hand it on to the server. If it is not the server's address, set calls.public_ips to that which is. "+
				"If this computer is in the server's own network, ask from another: many routers hand nothing on that comes from inside.", t.address.Port()),
				"Clients are told to send media to %s, too, but nothing comes back from there: who reaches no other address of the server is kept out of calls.", t)
		}
	}
}

// hasWay is whether this computer has any way to an address: not where it has no IPv6. Nothing is sent.
func hasWay(ctx context.Context, to netip.AddrPort) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", to.String())
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// shared is what carriers give to those behind their NAT (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isInner(ip netip.Addr) bool {
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || shared.Contains(ip)
}

// lookUp is the address of the server.
func (r *run) lookUp(ctx context.Context) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(r.base.Hostname()); err == nil {
		return ip.Unmap(), nil
	}
	all, err := r.resolve(ctx, r.base.Hostname())
	if err != nil || len(all) == 0 {
		return netip.Addr{}, err
	}
	return all[0].Unmap(), nil
}

// mediaBy tells whether media gets through by UDP or TCP.
func (r *run) mediaBy(v visit, err error, name string, tcp bool) {
	upper := strings.ToUpper(name)
	var at []string
	var port uint16
	for _, t := range v.told {
		if t.tcp == tcp {
			at, port = append(at, t.address.String()), t.address.Port()
		}
	}
	switch {
	case v.connected:
		r.through = true
		r.ok(name, "Media gets through by %s to %s.", upper, v.remote)
	case len(at) == 0 && tcp:
		r.warn(name, "Nothing, if TURN by TLS works.", "The SFU takes no media by TCP: who cannot send UDP needs TURN.")
	case len(at) == 0:
		r.fail(name, "Look into the log of the server why media has no port; set calls.listen.", "The SFU takes no media by UDP.")
	case errors.Is(err, errNoMedia):
		advice := fmt.Sprintf("Let port %d/%s through the firewall, and have the router hand it on to the server. If the address is not that by which clients reach the server, set calls.public_ips.", port, name)
		text := "Media does not get through by " + upper + ": nothing comes back from " + strings.Join(at, ", ") + "."
		if tcp {
			r.warn(name, advice+" It is for clients that cannot send UDP.", "%s", text)
			return
		}
		r.fail(name, advice, "%s", text)
	default:
		r.fail(name, "Look into the log of the server.", "Whether media gets through by %s could not be tested: %s.", upper, words(err))
	}
}
