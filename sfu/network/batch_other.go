//go:build !linux

package network

import "net"

// batch sends what has waited, one by one.
type batch struct{ plain *net.UDPConn }

func (b *batch) open(conn *net.UDPConn) { b.plain = conn }

func (b *batch) send(q *queue) (calls, failed int) {
	for i := range q.n {
		p := &q.packets[i]
		if _, err := b.plain.WriteToUDPAddrPort(p.data[:p.size], p.to); err != nil {
			failed++
		}
	}
	return q.n, failed
}
