package network

// Buffers are how large the kernel's buffers of UDP sockets are, in bytes; 0 is not known.
type Buffers struct {
	Asked         int // for each
	Receive, Send int // the smallest that was given
}

// Short names the sysctls that keep the kernel from giving as much as a quarter of what was asked for, for each of both. Packets that come when a buffer
// is full are lost.
func (b Buffers) Short() (sysctls []string) {
	if b.Receive > 0 && b.Receive < b.Asked/4 {
		sysctls = append(sysctls, "net.core.rmem_max")
	}
	if b.Send > 0 && b.Send < b.Asked/4 {
		sysctls = append(sysctls, "net.core.wmem_max")
	}
	return sysctls
}

// Buffers are what the kernel has given to the UDP sockets.
func (n *Network) Buffers() Buffers {
	all := Buffers{Asked: n.buffer}
	for i, c := range n.conns {
		b := buffersOf(c.UDPConn)
		if i == 0 {
			all.Receive, all.Send = b.Receive, b.Send
			continue
		}
		all.Receive, all.Send = min(all.Receive, b.Receive), min(all.Send, b.Send)
	}
	return all
}
