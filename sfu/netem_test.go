package sfu

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// way is what happens to packets in one direction: how many of a thousand are lost, how long the others take, and how many bits per second
// come through, with a queue of a length in time in front. Zero is no loss, no delay, and no bound.
type way struct {
	lossPermille int
	delay        time.Duration
	bits         int
	queue        time.Duration
}

// badSocket is a UDP socket behind a network that can be made worse. Only media is lost.
type badSocket struct {
	*net.UDPConn

	mu       sync.Mutex // guards what follows
	in, out  way
	free     time.Time // when what is sent next has its turn
	random   *rand.Rand
	dropped  int // of what was sent
	overflow int // of those, because the queue was full
}

func newBadSocket(conn *net.UDPConn) *badSocket {
	return &badSocket{UDPConn: conn, random: rand.New(rand.NewPCG(1, 2))}
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

func (s *badSocket) lose(w way, b []byte) bool {
	return len(b) > 0 && b[0] >= 128 && b[0] < 192 && s.random.IntN(1000) < w.lossPermille
}

// WriteToAddrPort sends a packet, or loses it.
func (s *badSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.mu.Lock()
	if s.lose(s.out, b) {
		s.dropped++
		s.mu.Unlock()
		return len(b), nil
	}
	wait := s.out.delay
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

// ReadFromAddrPort reads a packet that was not lost.
func (s *badSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := s.ReadFromUDPAddrPort(b)
		if err != nil {
			return n, from, err
		}
		s.mu.Lock()
		lost := s.lose(s.in, b[:n])
		s.mu.Unlock()
		if !lost {
			return n, from, nil
		}
	}
}
