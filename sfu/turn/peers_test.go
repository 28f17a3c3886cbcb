package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// notPublic are addresses that nobody may be led to.
var notPublic = []string{
	"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255",
	"192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
	"239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::2", "100::1", "fc00::1", "fd12:3456::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "2001::1",
	"2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "3fff::1", "4000::1", "5f00::1",
	"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1", "::ffff:224.0.0.1", "::ffff:0.0.0.0",
	"::10.0.0.1", "::127.0.0.1", "::8.8.8.8",
	"64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::192.168.0.1", "64:ff9b::100.64.0.1", "64:ff9b::224.0.0.1", "64:ff9b::",
	"64:ff9b:1::10.0.0.1", "64:ff9b:1::8.8.8.8",
	"2002:a00:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "2002:6440:1::1", "2002:e000:1::1", "2002::1",
	"2a00::5efe:10.0.0.1", "2a00::200:5efe:127.0.0.1", "2a00:1450:1:2:0:5efe:192.168.1.1",
}

var public = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.0.1",
	"198.17.255.255", "198.20.0.1", "223.255.255.255", "2a00:1450::1", "2001:200::1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	"2002:808:808::1", "2a00::5efe:8.8.8.8",
}

func TestIsPublic(t *testing.T) {
	for _, text := range notPublic {
		if isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is said to be public", text)
		}
	}
	for _, text := range public {
		if !isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is said not to be public", text)
		}
	}
	if isPublic(netip.Addr{}) || isPublic(netip.MustParseAddr("fe80::1%eth0")) {
		t.Error("no address, or one of a zone, is said to be public")
	}
}

// FuzzIsPublic has an IPv4 address in each of the forms that IPv6 has for it, none of which is more public than that.
func FuzzIsPublic(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			return
		}
		v4 := [4]byte(b)
		want := isPublic(netip.AddrFrom4(v4))
		forms := [][16]byte{
			{10: 0xff, 11: 0xff, 12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]},
			{0: 0x20, 1: 0x02, 2: v4[0], 3: v4[1], 4: v4[2], 5: v4[3], 15: 1},
			{1: 0x64, 2: 0xff, 3: 0x9b, 12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]},
			{0: 0x2a, 10: 0x5e, 11: 0xfe, 12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]},
		}
		for _, form := range forms {
			if got := isPublic(netip.AddrFrom16(form)); got != want {
				t.Errorf("%v: public is %v, want %v as for %v", netip.AddrFrom16(form), got, want, v4)
			}
		}
	})
}

// xorAddress is a peer's address byte for byte, so also one of IPv6 that pion would write as one of IPv4.
func xorAddress(m *stun.Message, addr netip.AddrPort) []byte {
	family, ip := byte(2), addr.Addr().AsSlice()
	if addr.Addr().Is4() {
		family = 1
	}
	key := binary.BigEndian.AppendUint32(nil, magicCookie)
	key = append(key, m.TransactionID[:]...)
	b := []byte{0, family, byte(addr.Port()>>8) ^ key[0], byte(addr.Port()) ^ key[1]}
	for i, x := range ip {
		b = append(b, x^key[i])
	}
	return b
}

// rawPeer is xorPeer for every form.
type rawPeer netip.AddrPort

func (p rawPeer) AddTo(m *stun.Message) error {
	m.Add(stun.AttrXORPeerAddress, xorAddress(m, netip.AddrPort(p)))
	return nil
}

var channel = attribute{stun.AttrChannelNumber, []byte{0x40, 0, 0, 0}}

// sendIndication says something to a peer by the relay.
func (a *asker) sendIndication(to netip.AddrPort, text string) {
	a.t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), rawPeer(to), attribute{stun.AttrData, []byte(text)})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.conn.Write(m.Raw); err != nil {
		a.t.Fatal(err)
	}
}

// TestRefusedPeers asks for each address on every way to one.
func TestRefusedPeers(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Relays = []Address{{Bind: loopback4, Public: netip.MustParseAddr("198.51.100.7")}, {Bind: loopback6, Public: netip.MustParseAddr("2001:db8::7")}}
		c.Refuse = prefixes("5.5.5.5/32", "2a05::/16")
	})
	user := s.keys.Mint("@alice:example.org")
	askers := map[bool]*asker{false: s.asker("udp4", user), true: s.asker("udp6", user)}
	for _, a := range askers {
		a.allocation()
	}
	for _, text := range append(notPublic, "5.5.5.5", "2a05::1") {
		addr := netip.MustParseAddr(text)
		if text == "198.51.100.7" || text == "2001:db8::7" {
			continue
		}
		for v6, a := range askers {
			peer := netip.AddrPortFrom(addr, 9)
			if code := a.ask(stun.MethodCreatePermission, rawPeer(peer)); code != 403 && code != 443 {
				t.Errorf("IPv6 %v: CreatePermission for %s is answered with %d, want 403", v6, text, code)
			}
			if code := a.ask(stun.MethodChannelBind, channel, rawPeer(peer)); code != 401 && code != 443 {
				t.Errorf("IPv6 %v: ChannelBind for %s is answered with %d, want 401", v6, text, code)
			}
			a.sendIndication(peer, "lost")
		}
	}
	for _, text := range []string{"8.8.8.8", "198.51.100.7"} {
		if code := askers[false].ask(stun.MethodCreatePermission, rawPeer(netip.AddrPortFrom(netip.MustParseAddr(text), 9))); code != 0 {
			t.Errorf("CreatePermission for %s is answered with %d", text, code)
		}
	}
	if code := askers[true].ask(stun.MethodChannelBind, channel, rawPeer(netip.MustParseAddrPort("[2001:db8::7]:9"))); code != 0 {
		t.Errorf("ChannelBind for the relays' own address is answered with %d", code)
	}
	if m := s.Metrics(); m.BytesOut != 0 || m.Refused["peer"] == 0 {
		t.Errorf("metrics are %+v", m)
	}
}

// TestOwnServices has a relay of this machine's address send to what listens there.
func TestOwnServices(t *testing.T) {
	secret, known := peer(t, "4"), peer(t, "4")
	told := netip.MustParseAddrPort("198.51.100.7:7881")
	for name, test := range map[string]struct {
		public netip.Addr
		known  netip.AddrPort // by which clients know the service
	}{
		"its own address":      {loopback4, addrPort(known.LocalAddr())},
		"the address of a NAT": {told.Addr(), told},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(c *Config) {
				c.Relays = []Address{{Bind: loopback4, Public: test.public}}
				c.Services = map[netip.AddrPort]netip.AddrPort{test.known: addrPort(known.LocalAddr())}
			})
			a := s.asker("udp4", s.keys.Mint("@alice:example.org"))
			a.allocation()
			hidden := netip.AddrPortFrom(test.public, addrPort(secret.LocalAddr()).Port())
			for _, ask := range []int{
				a.ask(stun.MethodCreatePermission, rawPeer(hidden)), a.ask(stun.MethodChannelBind, channel, rawPeer(hidden)),
			} {
				if ask != 0 {
					t.Fatalf("permission for the relays' address is answered with %d", ask)
				}
			}
			a.sendIndication(hidden, "not for you")
			if _, err := a.conn.Write([]byte{0x40, 0, 0, 4, 'n', 'o', 'n', 'e'}); err != nil {
				t.Fatal(err)
			}
			a.sendIndication(test.known, "for the service")
			got, from := receive(t, known)
			if got != "for the service" {
				t.Fatalf("the service gets %q", got)
			}
			if m := s.Metrics(); m.Refused["peer_port"] != 2 {
				t.Errorf("refused is %v", m.Refused)
			}
			send(t, known, from, "an answer")
			data := new(stun.Message)
			if err := data.UnmarshalBinary(a.message()); err != nil {
				t.Fatal(err)
			}
			if body, err := data.Get(stun.AttrData); err != nil || string(body) != "an answer" {
				t.Errorf("the client gets %q, %v", body, err)
			}
			var peer stun.XORMappedAddress
			if err := peer.GetFromAs(data, stun.AttrXORPeerAddress); err != nil || peer.String() != test.known.String() {
				t.Errorf("it is from %v, want %v", peer, test.known)
			}
		})
	}
	if err := secret.SetReadDeadline(time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := secret.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("what is no relay has got %d bytes", n)
	}
}

// TestStrangersCannotUseUp has somebody without permission flood a relay.
func TestStrangersCannotUseUp(t *testing.T) {
	s := start(t, func(c *Config) { allowLoopback(c); c.Limits.Bandwidth = 2000 })
	alice, friend := s.mustAllocate("udp4", s.keys.Mint("@alice:example.org")), peer(t, "4")
	send(t, alice, friend.LocalAddr(), "hello")
	_, relay := receive(t, friend)
	stranger, err := net.ListenPacket("udp4", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	for range 20 {
		send(t, stranger, relay, string(make([]byte, 500)))
	}
	send(t, friend, relay, "still heard")
	if got, from := receive(t, alice); got != "still heard" || from.String() != friend.LocalAddr().String() {
		t.Errorf("got %q from %v", got, from)
	}
	if m := s.Metrics(); m.Refused["no_permission"] != 20 || m.Refused["bandwidth"] != 0 {
		t.Errorf("refused is %v", m.Refused)
	}
}

// TestBandwidth has each direction carry no more than it may.
func TestBandwidth(t *testing.T) {
	s := start(t, func(c *Config) { allowLoopback(c); c.Limits.Bandwidth = 3000 })
	alice, friend := s.mustAllocate("udp4", s.keys.Mint("@alice:example.org")), peer(t, "4")
	send(t, alice, friend.LocalAddr(), string(make([]byte, 1000)))
	_, relay := receive(t, friend)
	for range 10 {
		send(t, alice, friend.LocalAddr(), string(make([]byte, 1000)))
		send(t, friend, relay, string(make([]byte, 1000)))
	}
	await(t, "packets are dropped in both directions", func() bool { return s.Metrics().Refused["bandwidth"] >= 12 })
	s.clock.advance(2e9)
	send(t, alice, friend.LocalAddr(), "later")
	for got := ""; got != "later"; {
		got, _ = receive(t, friend)
	}
}
