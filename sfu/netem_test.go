package sfu

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// way is what happens to packets in one direction: how many of a thousand are lost, how long the others take, but for as many of a thousand as overtake
// them, and how many bits per second come through, with a queue of a length in time in front. Zero is no loss, no delay, and no bound. What comes in is
// not bounded.
type way struct {
	lossPermille, earlyPermille int
	delay                       time.Duration
	bits                        int
	queue                       time.Duration
	only                        netip.AddrPort // whose way it is; all's, where that is nobody
}

// of is whether a way is that to an address, or from there.
func (w way) of(other netip.AddrPort) bool {
	return !w.only.IsValid() || w.only == netip.AddrPortFrom(other.Addr().Unmap(), other.Port())
}

// badSocket is a UDP socket behind a network that can be made worse. Only media is lost, and overtakes.
type badSocket struct {
	*net.UDPConn
	came  chan packetIn
	ended chan struct{} // nothing comes any more

	mu       sync.Mutex // guards what follows
	in, out  way
	free     time.Time // when what is sent next has its turn
	random   *rand.Rand
	dropped  int // of what was sent
	overflow int // of those, because the queue was full
	overtook int // of what was sent and has come
}

// packetIn is a packet that has come.
type packetIn struct {
	b    []byte
	from netip.AddrPort
}

func newBadSocket(conn *net.UDPConn) *badSocket {
	s := &badSocket{UDPConn: conn, random: rand.New(rand.NewPCG(1, 2)), came: make(chan packetIn, 1024), ended: make(chan struct{})}
	go s.receive()
	return s
}

func (s *badSocket) set(in, out way) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in, s.out = in, out
}

// lost is how many packets were lost going out.
func (s *badSocket) lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// overtakes is how many packets have come before others that were sent earlier.
func (s *badSocket) overtakes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overtook
}

func isMedia(b []byte) bool { return len(b) > 0 && b[0] >= 128 && b[0] < 192 }

// lose is whether a packet is lost; mu is held.
func (s *badSocket) lose(w way, b []byte) bool {
	return isMedia(b) && s.random.IntN(1000) < w.lossPermille
}

// wait is how long a packet takes that is not lost; mu is held.
func (s *badSocket) wait(w way, b []byte) time.Duration {
	if isMedia(b) && s.random.IntN(1000) < w.earlyPermille {
		s.overtook++
		return 0
	}
	return w.delay
}

// WriteToAddrPort sends a packet, or loses it.
func (s *badSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.mu.Lock()
	if !s.out.of(to) {
		s.mu.Unlock()
		return s.WriteToUDPAddrPort(b, to)
	}
	if s.lose(s.out, b) {
		s.dropped++
		s.mu.Unlock()
		return len(b), nil
	}
	wait := s.wait(s.out, b)
	if s.out.bits > 0 {
		now := time.Now()
		if s.free.Before(now) {
			s.free = now
		}
		if s.free.Sub(now) > s.out.queue {
			s.dropped++
			s.overflow++
			s.mu.Unlock()
			return len(b), nil
		}
		s.free = s.free.Add(time.Duration(len(b)) * 8 * time.Second / time.Duration(s.out.bits))
		wait += s.free.Sub(now)
	}
	s.mu.Unlock()
	if wait == 0 {
		return s.WriteToUDPAddrPort(b, to)
	}
	late := append([]byte(nil), b...)
	time.AfterFunc(wait, func() { _, _ = s.WriteToUDPAddrPort(late, to) })
	return len(b), nil
}

// WriteTo is WriteToAddrPort.
func (s *badSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	return s.WriteToAddrPort(b, to.(*net.UDPAddr).AddrPort())
}

// receive takes what comes until the socket is closed.
func (s *badSocket) receive() {
	defer close(s.ended)
	b := make([]byte, 1<<16)
	for {
		n, from, err := s.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		lost, wait := false, time.Duration(0)
		s.mu.Lock()
		if s.in.of(from) {
			lost, wait = s.lose(s.in, b[:n]), s.wait(s.in, b[:n])
		}
		s.mu.Unlock()
		if lost {
			continue
		}
		p := packetIn{append([]byte(nil), b[:n]...), from}
		if wait == 0 {
			s.deliver(p)
		} else {
			time.AfterFunc(wait, func() { s.deliver(p) })
		}
	}
}

func (s *badSocket) deliver(p packetIn) {
	select {
	case s.came <- p:
	case <-s.ended:
	}
}

// ReadFromAddrPort reads a packet that was not lost.
func (s *badSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-s.came:
		return copy(b, p.b), p.from, nil
	case <-s.ended:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// ReadFrom is ReadFromAddrPort.
func (s *badSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}
