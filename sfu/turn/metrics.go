package turn

import "sync/atomic"

// Reason says why something was refused.
type Reason int

// What Metrics counts refusals by.
const (
	BadCredentials   Reason = iota // no credentials of ours
	Expired                        // credentials of once
	SessionOver                    // credentials of a session that has ended
	UserQuota                      // too many allocations of the user
	ServerQuota                    // too many allocations in all, or no port for another
	PeerRefused                    // permission for an address that relays may not reach
	PeerPort                       // a packet for a service of this machine
	TooManyPeers                   // permissions, or channels
	Bandwidth                      // a packet beyond the bandwidth of its allocation
	NoPermission                   // a packet from somebody to whom its allocation gives no permission
	TooFast                        // a request, or a connection, beyond what its address may make in a while
	TooManyConnected               // a connection beyond what its address, or everybody, may have
	TooSlow                        // a connection without an allocation, or stuck in a message
	Malformed                      // what is no message of the protocol
	Unsupported                    // an allocation of a kind that is not served
	reasons
)

// reasonNames are those of metrics.
var reasonNames = [reasons]string{
	"bad_credentials", "expired", "session_over", "user_quota", "server_quota", "peer", "peer_port", "too_many_peers", "bandwidth", "no_permission",
	"too_fast", "too_many_connections", "too_slow", "malformed", "unsupported",
}

func (r Reason) String() string { return reasonNames[r] }

// Metrics tell how much is done.
type Metrics struct {
	Allocations int            // that there are
	Users       int            // who have them
	Connections int            // by TCP and TLS
	Allocated   uint64         // allocations since the start
	BytesOut    uint64         // to peers
	BytesIn     uint64         // from peers
	Refused     map[string]int // by the names of reasons; those that never were are left out
}

type counters struct {
	allocated, out, in atomic.Uint64
	refused            [reasons]atomic.Int64
}

func (c *counters) refuse(r Reason) { c.refused[r].Add(1) }

// Metrics returns what has been counted.
func (s *Server) Metrics() Metrics {
	m := Metrics{
		Allocated: s.counters.allocated.Load(), BytesOut: s.counters.out.Load(), BytesIn: s.counters.in.Load(), Refused: map[string]int{},
	}
	m.Allocations, m.Users = s.relays.count()
	for _, f := range s.fronts {
		m.Connections += f.connected()
	}
	for r := range reasons {
		if n := s.counters.refused[r].Load(); n > 0 {
			m.Refused[r.String()] = int(n)
		}
	}
	return m
}
