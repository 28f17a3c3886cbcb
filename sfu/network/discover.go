package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// DiscoveryConfig says how a machine behind NAT finds by what addresses it is reached from outside.
type DiscoveryConfig struct {
	// Given are addresses that somebody has named, which hold: nothing is asked about their families.
	Given []netip.Addr
	// STUN is a server of the operator's choice, host:port, which says from where it is asked; "" for none.
	STUN string
	// Host is a name by which clients reach this machine, or an address; "" for none. It is looked up, and nothing else is asked, where
	// the STUN server gives no answer.
	Host string

	// Local, Resolve and Dial are what the system has, if they are nil: the addresses of this machine, those of a name by "ip4" or "ip6", and
	// a connection by "udp4" or "udp6".
	Local   func() ([]netip.Addr, error)
	Resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	// Changed is called, by Run, when something else is found than before; nil for nobody.
	Changed func()
	Log     zerolog.Logger
}

// Discovery knows by what addresses a machine is reached from outside that are not its own. None of them takes the place of one of the machine's
// own, so that one that is wrong keeps out nobody whom those let in.
type Discovery struct {
	cfg DiscoveryConfig

	mu     sync.Mutex      // guards what follows
	found  map[bool]answer // by whether they are of IPv6
	silent map[bool]bool   // whether nobody answered when it was last asked
}

// answer is an address that was found, and who said so.
type answer struct {
	addr   netip.Addr
	source source
}

type source int

const (
	byNobody source = iota
	byName
	bySTUN
)

const (
	// discoverEvery is how often it is asked again: addresses of households change, most of them once a day.
	discoverEvery = 5 * time.Minute
	// discoverSoon is how soon it is asked again where nobody answers, and then in twice the time: the network may not be up yet.
	discoverSoon = 15 * time.Second
	// resolveWithin bounds a look-up.
	resolveWithin = 5 * time.Second
)

// Discover makes a discovery. Addresses that are given are known at once, others from Run on.
func Discover(cfg DiscoveryConfig) *Discovery {
	if cfg.Local == nil {
		cfg.Local = Local
	}
	if cfg.Resolve == nil {
		cfg.Resolve = net.DefaultResolver.LookupNetIP
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	return &Discovery{cfg: cfg, found: map[bool]answer{}, silent: map[bool]bool{}}
}

// Addresses are those that are known by now: the given ones, and what was found for the families that none is given of. It never blocks.
func (d *Discovery) Addresses() []netip.Addr {
	all := slices.Clone(d.cfg.Given)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v6 := range []bool{false, true} {
		if a := d.found[v6]; a.source != byNobody {
			all = append(all, a.addr)
		}
	}
	return all
}

// Public is the first address of a family.
func (d *Discovery) Public(v6 bool) (netip.Addr, bool) {
	for _, a := range d.Addresses() {
		if a.Is6() == v6 {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// Run asks at once, and again and again, until ctx ends; it returns nil then.
func (d *Discovery) Run(ctx context.Context) error {
	if d.cfg.STUN == "" && d.cfg.Host == "" {
		<-ctx.Done()
		return nil
	}
	for soon := discoverSoon; ; {
		wait := discoverEvery
		if !d.look(ctx) {
			wait, soon = soon, min(2*soon, discoverEvery)
		} else {
			soon = discoverSoon
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// look asks about both families. answered is whether who was asked has answered.
func (d *Discovery) look(ctx context.Context) (answered bool) {
	local, err := d.cfg.Local()
	if err != nil {
		d.cfg.Log.Warn().Err(err).Msg("Whether this machine is behind NAT cannot be seen")
		return false
	}
	answered = true
	changed := false
	for _, v6 := range []bool{false, true} {
		if !behindNAT(local, v6) || slices.ContainsFunc(d.cfg.Given, func(a netip.Addr) bool { return a.Is6() == v6 }) {
			changed = d.take(v6, answer{}) || changed
			continue
		}
		a, err := d.ask(ctx, v6)
		if ctx.Err() != nil {
			return false
		}
		answered = answered && err == nil
		d.mu.Lock()
		before, silent := d.found[v6], d.silent[v6]
		d.silent[v6] = err != nil
		d.mu.Unlock()
		if err != nil && !silent {
			d.cfg.Log.Warn().Err(err).Str("family", family(v6)).Msg("The public address of this machine was not found; it is looked for again within five minutes")
		}
		if err == nil || a.source >= before.source { // else what was said before holds: who said it does not answer now
			changed = d.take(v6, a) || changed
		}
	}
	if changed && d.cfg.Changed != nil {
		d.cfg.Changed()
	}
	return answered
}

// take notes what was found, and tells of it where it is new.
func (d *Discovery) take(v6 bool, a answer) (changed bool) {
	d.mu.Lock()
	before := d.found[v6]
	d.found[v6] = a
	d.mu.Unlock()
	if before.addr == a.addr {
		return false
	}
	log := d.cfg.Log.Info().Str("family", family(v6))
	switch a.source {
	case bySTUN:
		log.Stringer("address", a.addr).Str("stun", d.cfg.STUN).
			Msg("This machine is behind NAT: the STUN server sees it at this address, which clients are told beside its own")
	case byName:
		log.Stringer("address", a.addr).Str("host", d.cfg.Host).
			Msg("This machine is behind NAT: the name by which clients reach it has this address, which they are told beside its own")
	default:
		log.Stringer("address", before.addr).Msg("The public address that was found is none any more, and clients are not told it")
	}
	return true
}

// ask asks the STUN server, and looks the name up where that says nothing of use. An answer that is no public address is none. The error is of
// who did not answer, be there another answer or not.
func (d *Discovery) ask(ctx context.Context, v6 bool) (answer, error) {
	var silent error
	if d.cfg.STUN != "" {
		a, err := d.mapped(ctx, v6)
		switch {
		case err != nil:
			silent = err
		case IsPublic(a):
			return answer{a, bySTUN}, nil
		default:
			d.cfg.Log.Warn().Stringer("address", a).Str("stun", d.cfg.STUN).Msg("The STUN server sees this machine at an address that nobody " +
				"reaches from elsewhere: either it is within the same network, or the provider has a NAT of its own")
		}
	}
	if d.cfg.Host == "" {
		return answer{}, silent
	}
	a, err := d.named(ctx, v6)
	if err != nil || !IsPublic(a) {
		return answer{}, errors.Join(silent, err)
	}
	return answer{a, byName}, silent
}

// named looks up the name. Of several addresses none is taken: they are of a service between the clients and this machine.
func (d *Discovery) named(ctx context.Context, v6 bool) (netip.Addr, error) {
	if a, err := netip.ParseAddr(d.cfg.Host); err == nil {
		if a.Unmap().Is6() != v6 {
			return netip.Addr{}, nil
		}
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	all, err := d.cfg.Resolve(ctx, "ip"+family(v6)[len("IPv"):], d.cfg.Host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("look up %s: %w", d.cfg.Host, err)
	}
	for i := range all {
		all[i] = all[i].Unmap().WithZone("")
	}
	all = slices.DeleteFunc(all, func(a netip.Addr) bool { return a.Is6() != v6 })
	if len(all) != 1 {
		return netip.Addr{}, nil
	}
	return all[0], nil
}

// behindNAT is whether a machine has addresses of a family, and all of them are private.
func behindNAT(local []netip.Addr, v6 bool) bool {
	of := func(a netip.Addr) bool { return a.Unmap().Is6() == v6 && !a.IsLoopback() }
	return slices.ContainsFunc(local, of) && !slices.ContainsFunc(local, func(a netip.Addr) bool { return of(a) && IsPublic(a) })
}

// carriers is what carriers give to those behind their NAT (RFC 6598).
var carriers = netip.MustParsePrefix("100.64.0.0/10")

// IsPublic is whether an address may be one that everybody reaches.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carriers.Contains(a)
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}
