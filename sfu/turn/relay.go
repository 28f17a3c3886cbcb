package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// relay is the socket of an allocation towards its peers. It is what pion reads and writes; the bounds of the allocation are kept here.
type relay struct {
	*net.UDPConn
	server *Server
	user   string
	// session is that of the user, "" for credentials that say none.
	session string
	public  netip.AddrPort // by which peers know it
	local   netip.AddrPort // by which relays of this server reach it

	out, in bucket

	mu        sync.RWMutex // guards what follows
	permitted map[netip.Addr]struct{}
	starting  chan struct{} // closed when the newest permission is complete; nil for one that is
	channels  int
	closed    bool
}

// ReadFrom returns the next packet of a peer that has permission. Those of others cost the allocation nothing.
func (r *relay) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := r.ReadFromUDPAddrPort(p)
		if err != nil {
			return 0, nil, err
		}
		from = r.server.origin(netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()))
		switch {
		case !r.permits(from.Addr()):
			r.server.counters.refuse(NoPermission)
		case !r.in.take(n, r.server.now()):
			r.server.counters.refuse(Bandwidth)
		default:
			r.server.counters.in.Add(uint64(n))
			return n, net.UDPAddrFromAddrPort(from), nil
		}
	}
}

// WriteTo sends a packet to a peer, if it may go there. What may not is lost, as packets are.
func (r *relay) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := r.server.route(addrPort(addr))
	switch {
	case !ok:
		r.server.counters.refuse(PeerPort)
	case !r.out.take(len(p), r.server.now()):
		r.server.counters.refuse(Bandwidth)
	default:
		r.server.counters.out.Add(uint64(len(p)))
		// A network that is not reached now loses packets, and no more.
		_, _ = r.WriteToUDPAddrPort(p, to)
	}
	return len(p), nil
}

// Close ends the relay. pion closes that of an allocation that ends.
func (r *relay) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	err := r.UDPConn.Close()
	r.server.relays.remove(r)
	return err
}

func (r *relay) isClosed() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.closed
}

func (r *relay) permits(addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.permitted[addr]
	return ok
}

// mayPermit says whether another address may get permission.
func (r *relay) mayPermit(addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.permitted[addr]
	return ok || len(r.permitted) < maxPeers
}

// permit notes a permission of which pion tells. It tells so before it has set the permission's timer, and an allocation that ends in this
// moment would have pion stop a timer that is not there, and the whole program with it. So forbid, which is told before timers are
// stopped, waits for settle, which is what the goroutine that makes permissions does next: before it takes another lock.
func (r *relay) permit(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.permitted[addr] = struct{}{}
	r.starting = make(chan struct{})
}

// settle says that all permissions are complete. The goroutine calls it that handles the client's requests.
func (r *relay) settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.starting != nil {
		close(r.starting)
		r.starting = nil
	}
}

func (r *relay) forbid(addr netip.Addr) {
	r.mu.Lock()
	delete(r.permitted, addr)
	starting := r.starting
	r.mu.Unlock()
	if starting != nil {
		<-starting
	}
}

// channel counts channels. pion looks through all of them with each packet, so an allocation with too many is ended.
func (r *relay) channel(change int) {
	r.mu.Lock()
	r.channels += change
	tooMany := r.channels > maxChannels
	r.mu.Unlock()
	if tooMany {
		r.server.counters.refuse(TooManyPeers)
		r.end()
	}
}

// end has pion end the allocation, as it does with one from whose relay it cannot read.
func (r *relay) end() { _ = r.SetReadDeadline(time.Unix(0, 0)) }

// bucket is a token bucket.
type bucket struct {
	rate, burst float64 // tokens a second, and at most

	mu     sync.Mutex // guards what follows
	tokens float64
	last   time.Time
}

func newBucket(rate, burst float64, now time.Time) bucket {
	return bucket{rate: rate, burst: burst, tokens: burst, last: now}
}

// take takes n tokens, if they are there.
func (b *bucket) take(n int, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.tokens < float64(n) {
		return false
	}
	b.tokens -= float64(n)
	return true
}

func (b *bucket) fill(now time.Time) {
	b.tokens = min(b.burst, b.tokens+b.rate*max(0, now.Sub(b.last).Seconds()))
	b.last = now
}

// isFull says whether the bucket is as a new one.
func (b *bucket) isFull(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return b.tokens >= b.burst
}

// addrPort is the address of a packet or a connection.
func addrPort(addr net.Addr) netip.AddrPort {
	var a netip.AddrPort
	switch addr := addr.(type) {
	case *net.UDPAddr:
		a = addr.AddrPort()
	case *net.TCPAddr:
		a = addr.AddrPort()
	}
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
