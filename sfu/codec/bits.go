package codec

// bitReader reads numbers that begin anywhere in a byte. After the end it gives zeros, and is spoilt.
type bitReader struct {
	b      []byte
	at     int // in bits
	spoilt bool
}

func (r *bitReader) left() int { return len(r.b)*8 - r.at }

// read gives a number of up to 32 bits.
func (r *bitReader) read(n int) uint32 {
	if r.spoilt || r.left() < n {
		r.spoilt = true
		return 0
	}
	var v uint32
	for range n {
		v = v<<1 | uint32(r.b[r.at>>3]>>(7-r.at&7)&1)
		r.at++
	}
	return v
}

func (r *bitReader) flag() bool { return r.read(1) == 1 }

// below reads ns(n), a number below n. RTP Payload Format for AV1, section A.8.2.
func (r *bitReader) below(n uint32) uint32 {
	w := 0
	for x := n; x != 0; x >>= 1 {
		w++
	}
	m := uint32(1)<<w - n
	v := r.read(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.read(1)
}

// bitWriter appends numbers that begin anywhere in a byte.
type bitWriter struct {
	b  []byte
	at int // bits of the last byte that are used; 0 when it is full
}

// write appends the n lower bits of a number.
func (w *bitWriter) write(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.at == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (7 - w.at)
		w.at = (w.at + 1) & 7
	}
}

// copy appends bits of another, up to where it ends.
func (w *bitWriter) copy(from []byte, first, end int) {
	r := bitReader{b: from, at: first}
	for r.at < end {
		n := min(end-r.at, 24)
		w.write(r.read(n), n)
	}
}
