package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// askTimes are how long an answer to each of the requests is waited for that are sent after each other (RFC 8489, section 6.2.1, with fewer
// of them: it is asked again soon).
var askTimes = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}

// maxSTUN bounds an answer, in bytes.
const maxSTUN = 1500

var errNoAnswer = errors.New("no answer")

// mapped asks the STUN server from what address it is asked (RFC 8489, section 5: a Binding request). The socket is another than that of
// media, which a NAT gives another port, but the same address.
func (d *Discovery) mapped(ctx context.Context, v6 bool) (a netip.Addr, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask %s for the public %s address: %w", d.cfg.STUN, family(v6), err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	conn, err := d.cfg.Dial(ctx, "udp"+family(v6)[len("IPv"):], d.cfg.STUN)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return netip.Addr{}, err
	}
	b := make([]byte, maxSTUN)
	for _, wait := range askTimes {
		if _, err := conn.Write(request.Raw); err != nil {
			return netip.Addr{}, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		for {
			n, err := conn.Read(b)
			if err != nil {
				break // the time is over, or a router says that nobody is there, which may be false
			}
			if a, ok := readMapped(b[:n], request.TransactionID); ok {
				return a, nil
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return netip.Addr{}, errNoAnswer
}

// readMapped reads the address in the answer to a request. What answers no request of ours says nothing: the number of a request is what a
// stranger cannot guess.
func readMapped(b []byte, id [stun.TransactionIDSize]byte) (netip.Addr, bool) {
	m := new(stun.Message)
	var mapped stun.XORMappedAddress
	if m.UnmarshalBinary(b) != nil || m.TransactionID != id || m.Type != stun.BindingSuccess || mapped.GetFrom(m) != nil {
		return netip.Addr{}, false
	}
	a, ok := netip.AddrFromSlice(mapped.IP)
	return a.Unmap(), ok
}
