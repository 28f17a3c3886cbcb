package sfu

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

func TestWithPublic(t *testing.T) {
	description := strings.Join([]string{
		"v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111",
		"a=candidate:1 1 udp 2130706431 10.0.0.5 7882 typ host",
		"a=candidate:1 2 udp 2130706430 10.0.0.5 7882 typ host",
		"a=candidate:2 1 udp 2130706175 172.17.0.1 7882 typ host",
		"a=candidate:3 1 udp 2130705919 fd00::5 7882 typ host",
		"a=candidate:4 1 tcp 1671430143 10.0.0.5 7882 typ host tcptype passive",
		"a=end-of-candidates", "m=video 9 UDP/TLS/RTP/SAVPF 96", "",
	}, "\r\n")
	if got := withPublic(description, nil); got != description {
		t.Errorf("without public addresses it is\n%s", got)
	}
	v4, v6, own := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("10.0.0.5")
	want := strings.Replace(description, "a=end", strings.Join([]string{
		"a=candidate:1n1 1 udp 2130705663 198.51.100.7 7882 typ host",
		"a=candidate:1n1 2 udp 2130706174 198.51.100.7 7882 typ host",
		"a=candidate:3n2 1 udp 2130705407 2001:db8::7 7882 typ host",
		"a=candidate:4n1 1 tcp 1671429887 198.51.100.7 7882 typ host tcptype passive",
		"a=end",
	}, "\r\n"), 1)
	if got := withPublic(description, []netip.Addr{own, v4, v6}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, broken := range []string{"", "a=candidate:", "a=candidate:1 1 udp x y z\r\nm=", "a=candidate:1 1 udp 5 10.0.0.5 1 typ host"} {
		if got := withPublic(broken, []netip.Addr{v4}); !strings.HasPrefix(got, broken) {
			t.Errorf("%q is %q", broken, got)
		}
	}
}

// nat hands on packets between clients and a socket, as a router does that has another address.
func nat(t *testing.T, public string, to netip.AddrPort) {
	t.Helper()
	outside, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(public), to.Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	go func() {
		inside := map[netip.AddrPort]*net.UDPConn{}
		b := make([]byte, 2000)
		for {
			n, from, err := outside.ReadFromUDPAddrPort(b)
			if err != nil {
				for _, c := range inside {
					_ = c.Close()
				}
				return
			}
			c := inside[from]
			if c == nil {
				if c, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to)); err != nil {
					continue
				}
				inside[from] = c
				go func() {
					b := make([]byte, 2000)
					for n, err := c.Read(b); err == nil; n, err = c.Read(b) {
						_, _ = outside.WriteToUDPAddrPort(b[:n], from)
					}
				}()
			}
			_, _ = c.Write(b[:n])
		}
	}()
}

// TestBehindNAT has a client reach a server of two addresses by that of a NAT, which hands on to the second of them.
func TestBehindNAT(t *testing.T) {
	const public = "127.0.0.9"
	first, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := addrPortOf(first).Port()
	second, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	nat(t, public, addrPortOf(second))
	w := newWorld(t, func(c *Config) {
		c.UDP = ice.NewMultiUDPMuxDefault(
			ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: first}), ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: second}))
		c.PublicIPs = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr(public)} }
	})
	told := make(chan string, 8)
	alice := w.client(token(t, "room", "alice", everything), "alice", true)
	alice.onAnswer = func(sdp string) string {
		told <- sdp
		return onlyAddress(sdp, public) // the others are not reached from outside
	}
	connected := make(chan struct{})
	alice.connect(func(*signalling.JoinRequest) {
		alice.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
			if s == webrtc.PeerConnectionStateConnected {
				close(connected)
			}
		})
	})
	for sdp, want := <-told, []string{"127.0.0.1", "127.0.0.2", public}; len(want) > 0; want = want[1:] {
		if !strings.Contains(sdp, " "+want[0]+" ") {
			t.Errorf("clients are not told of %s:\n%s", want[0], sdp)
		}
	}
	select {
	case <-connected:
	case <-t.Context().Done():
	case <-time.After(within):
		t.Fatal("the client does not come in by " + net.JoinHostPort(public, strconv.Itoa(int(port))))
	}
}

// onlyAddress leaves a description one of its addresses.
func onlyAddress(sdp, address string) string {
	var rest strings.Builder
	for line := range strings.SplitAfterSeq(sdp, "\r\n") {
		if strings.HasPrefix(line, candidateLine) && strings.Fields(line)[4] != address {
			continue
		}
		rest.WriteString(line)
	}
	return rest.String()
}

func addrPortOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }
