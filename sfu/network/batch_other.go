//go:build !linux

package network

import "net"

// batch sends what has waited, one by one.
type batch struct{ plain *net.UDPConn }

func (b *batch) open(conn *net.UDPConn) { b.plain = conn }

func (b *batch) send(q *queue) (calls, failed int) {
	for _, w := range q.ways {
		for i := w.first; i >= 0; i = q.packets[i].next {
			if _, err := b.plain.WriteToUDPAddrPort(q.packet(i), w.to); err != nil {
				failed++
			}
		}
	}
	return len(q.packets), failed
}
