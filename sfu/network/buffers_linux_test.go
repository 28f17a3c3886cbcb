package network

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// opened opens UDP on two addresses of loopback, with buffers of a size.
func opened(t *testing.T, buffer int) *Network {
	t.Helper()
	free := listen(t, "127.0.0.1:0")
	port := free.LocalAddr().(*net.UDPAddr).Port
	_ = free.Close()
	n, err := Listen(Config{
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}, UDPPort: port, SocketBuffer: buffer,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// most reads how much the kernel gives at most.
func most(t *testing.T, sysctl string) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(sysctl, ".", "/"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBuffers tells how large the buffers of sockets are that the kernel has given: what it was asked for, where that is little, and no more than the
// administrator of the machine allows.
func TestBuffers(t *testing.T) {
	if got, want := opened(t, 64<<10).Buffers(), (Buffers{Asked: 64 << 10, Receive: 64 << 10, Send: 64 << 10}); got != want || got.Short() != nil {
		t.Errorf("got %+v, want %+v", got, want)
	}
	const much = 1 << 29
	n := opened(t, much)
	want := Buffers{Asked: much, Receive: min(much, most(t, "net.core.rmem_max")), Send: min(much, most(t, "net.core.wmem_max"))}
	if got := n.Buffers(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	smaller := n.conns[1].UDPConn
	if err := smaller.SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	if got := n.Buffers(); got.Receive != 32<<10 || !slices.Contains(got.Short(), "net.core.rmem_max") {
		t.Errorf("where one socket has less there are %+v", got)
	}
}

// TestShortBuffers names what is to be set where the kernel gives less than a quarter.
func TestShortBuffers(t *testing.T) {
	const receive, send = "net.core.rmem_max", "net.core.wmem_max"
	for _, c := range []struct {
		b    Buffers
		want []string
	}{
		{Buffers{4000, 4000, 4000}, nil},
		{Buffers{4000, 1000, 1000}, nil},
		{Buffers{4000, 999, 1000}, []string{receive}},
		{Buffers{4000, 1000, 999}, []string{send}},
		{Buffers{4000, 212, 212}, []string{receive, send}},
		{Buffers{4000, 0, 0}, nil}, // nobody knows
	} {
		if got := c.b.Short(); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.b, got, c.want)
		}
	}
}
