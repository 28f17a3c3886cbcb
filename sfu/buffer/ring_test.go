package buffer

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"causeway/sfu/codec"
)

// content is what the payload of a packet holds, so that what is copied can be told from anything else.
func content(seq uint16, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(int(seq)*31 + i*7)
	}
	return b
}

func packet(seq uint16, size int, at int64) *Packet {
	return &Packet{Seq: seq, TS: uint32(seq) / 4, At: at, Payload: content(seq, size)}
}

func keyPacket(seq uint16, at int64) *Packet {
	p := packet(seq, 100, at)
	p.Frame = codec.Frame{Key: true, Start: true}
	return p
}

func TestRing(t *testing.T) {
	r := NewRing(64)
	if _, ok := r.Copy(0, nil); ok {
		t.Error("an empty ring has a packet")
	}
	for n := range 200 { // over the end of the numbers
		seq := uint16(65_500 + n)
		p := packet(seq, 50+n, int64(n)*1000)
		p.Descriptor = []byte{1, 2, byte(n)}
		kept := r.Add(p)
		if kept == nil || !bytes.Equal(kept.Payload, p.Payload) || !bytes.Equal(kept.Descriptor, p.Descriptor) {
			t.Fatalf("packet %d was kept as %+v", seq, kept)
		}
		if r.Add(p) != nil {
			t.Fatalf("packet %d was kept twice", seq)
		}
	}
	newest := uint16(65_699 - 65_536)
	for back := range uint16(200) {
		seq := newest - back
		got, ok := r.Copy(seq, nil)
		if ok != (back < 64) {
			t.Errorf("%d back it is kept: %v", back, ok)
		}
		if n := int(seq + 36); ok && (!bytes.Equal(got.Payload, content(seq, 50+n)) || !bytes.Equal(got.Descriptor, []byte{1, 2, byte(n)})) {
			t.Errorf("%d back it is %+v", back, got)
		}
	}
}

func TestRingLate(t *testing.T) {
	tests := []struct {
		name string
		seqs []uint16
		kept string // y or n for each
	}{
		{"late", []uint16{10, 13, 11, 12}, "yyyy"},
		{"twice", []uint16{10, 10, 12, 11, 11, 12}, "ynyynn"},
		{"before the first", []uint16{10, 9, 8}, "yyy"},
		{"at the end of the numbers", []uint16{65_534, 1, 65_535, 0, 65_535}, "yyyyn"},
		{"as late as can be", []uint16{1000, 1000 - 63, 1000 - 64}, "yyn"},
		{"half of all numbers late", []uint16{1000, 33_768, 1001}, "yny"},
		{"far ahead", []uint16{1000, 21_000, 1001, 20_990, 20_900}, "yynyn"},
		{"forgotten, and again", func() []uint16 {
			var s []uint16
			for n := range uint16(65) {
				s = append(s, n)
			}
			return append(s, 0, 1)
		}(), "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyynn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRing(64)
			got := ""
			for _, s := range tt.seqs {
				if r.Add(packet(s, 100, 0)) != nil {
					got += "y"
				} else {
					got += "n"
				}
			}
			if got != tt.kept {
				t.Errorf("got %s, want %s", got, tt.kept)
			}
		})
	}
}

func TestSinceKey(t *testing.T) {
	r := NewRing(64)
	check := func(what string, key, newest uint16, ok bool) {
		t.Helper()
		k, n, o := r.SinceKey()
		if o != ok || o && (k != key || n != newest) {
			t.Errorf("%s: %d to %d, %v; want %d to %d, %v", what, k, n, o, key, newest, ok)
		}
	}
	check("at first", 0, 0, false)
	r.Add(packet(100, 10, 0))
	check("without a key frame", 0, 0, false)
	r.Add(keyPacket(101, 0))
	check("a key frame", 101, 101, true)
	r.Add(packet(104, 10, 0))
	check("with a hole", 0, 0, false)
	r.Add(packet(102, 10, 0))
	check("half of it filled", 0, 0, false)
	r.Add(packet(103, 10, 0))
	check("filled", 101, 104, true)
	late := keyPacket(98, 0)
	r.Add(late)
	check("after an older one that is late", 101, 104, true)
	r.Add(keyPacket(108, 0))
	check("a newer, with a hole before it", 108, 108, true)
	// Two packets of a frame can be its beginning, as with H.264: the first counts, also when it comes last.
	a, b := keyPacket(111, 0), keyPacket(112, 0)
	a.TS, b.TS = 77, 77
	r.Add(b)
	check("the second packet of a frame", 112, 112, true)
	r.Add(a)
	check("then the first", 111, 112, true)
	for n := uint16(113); n < 111+64; n++ {
		r.Add(packet(n, 10, 0))
	}
	check("as long as it is kept", 111, 111+63, true)
	r.Add(packet(111+64, 10, 0))
	check("no longer", 0, 0, false)
	r.Add(keyPacket(400, 0))
	r.Add(packet(20_000, 10, 0))
	check("far ahead", 0, 0, false)
}

// TestRingModel compares a ring with one that keeps everything: what it has is right, nothing is taken twice, and what came in the last second is
// there, as many packets as it may have.
func TestRingModel(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		most := 64 << random.IntN(4)
		r := NewRing(most)
		came := map[int]*Packet{} // by the number, not cut off
		next, at := int(random.IntN(65_536)), int64(0)
		rate := int64(200 + random.IntN(30_000))
		newest := -1
		var held []int
		for range 6000 {
			at += random.Int64N(rate)
			n := next
			switch k := random.IntN(100); {
			case k < 3: // lost
				next++
				continue
			case k < 10: // late
				held = append(held, next)
				next++
				continue
			case k < 18 && len(held) > 0:
				i := random.IntN(len(held))
				n = held[i]
				held = append(held[:i], held[i+1:]...)
			case k < 22:
				n = max(next-random.IntN(2*most), 0) // again, or what was lost
			case k == 99 && random.IntN(20) == 0:
				next += random.IntN(3 * most)
				n = next
				next++
			default:
				next++
			}
			p := packet(uint16(n), random.IntN(1200), at)
			if random.IntN(5) == 0 {
				p.Descriptor = content(uint16(n)+1, 1+random.IntN(80))
			}
			kept := r.Add(p)
			if kept != nil && came[n] != nil {
				t.Fatalf("seed %d: %d was taken twice", seed, n)
			}
			if kept == nil && came[n] == nil && n > newest {
				t.Fatalf("seed %d: %d was not taken, which is the newest", seed, n)
			}
			if kept != nil {
				came[n] = p
				newest = max(newest, n)
				if !bytes.Equal(kept.Payload, p.Payload) || !bytes.Equal(kept.Descriptor, p.Descriptor) {
					t.Fatalf("seed %d: %d was kept as something else", seed, n)
				}
			}
			// A look at some of the last.
			for range 3 {
				n := newest - random.IntN(2*most)
				got, ok := r.Copy(uint16(n), nil)
				want := came[n]
				if ok && (want == nil || !bytes.Equal(got.Payload, want.Payload) || !bytes.Equal(got.Descriptor, want.Descriptor) || got.At != want.At) {
					t.Fatalf("seed %d: %d of %d is wrong", seed, n, newest)
				}
				if !ok && want != nil && newest-n < most && at-want.At < keepFor {
					t.Fatalf("seed %d: %d of %d is not there, after %d ms", seed, n, newest, (at-want.At)/1000)
				}
			}
		}
	}
}

// TestRingConcurrent copies while packets are added: under the race detector it shows that nothing is read that is being written.
func TestRingConcurrent(t *testing.T) {
	r := NewRing(512)
	done := make(chan struct{})
	var wait sync.WaitGroup
	var mu sync.Mutex
	newest := uint16(0)
	for range 4 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(1, 2))
			buf := make([]byte, 0, 1500)
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				seq := newest - uint16(random.IntN(600))
				mu.Unlock()
				if p, ok := r.Copy(seq, buf); ok && !bytes.Equal(p.Payload, content(seq, len(p.Payload))) {
					t.Errorf("%d is wrong", seq)
					return
				}
				r.SinceKey()
			}
		})
	}
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 20_000 {
		p := packet(uint16(n), random.IntN(1300), int64(n)*2000)
		p.Frame = codec.Frame{Key: n%500 == 0, Start: true}
		r.Add(p)
		mu.Lock()
		newest = uint16(n)
		mu.Unlock()
	}
	close(done)
	wait.Wait()
}

// TestRingMemory measures what a stream takes, and that a packet allocates nothing.
func TestRingMemory(t *testing.T) {
	for _, tt := range []struct {
		name       string
		bits       int // per second
		size       int // of a packet
		most, want int // bytes
	}{
		{"audio", 40_000, 100, 64, 24 << 10},
		{"a small picture", 150_000, 600, 512, 48 << 10},
		{"a middle one", 500_000, 1000, 512, 160 << 10},
		{"a large one", 2_500_000, 1100, 512, 640 << 10},
		{"too much", 20_000_000, 1200, 512, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRing(tt.most)
			random := rand.New(rand.NewPCG(1, 2))
			every := int64(tt.size) * 8 * 1_000_000 / int64(tt.bits)
			seq, at := uint16(0), int64(0)
			p := packet(0, 2000, 0)
			payload := p.Payload
			add := func() {
				seq++
				at += every
				p.Seq, p.At, p.Payload = seq, at, payload[:tt.size/2+random.IntN(tt.size)]
				r.Add(p)
			}
			for range 5000 {
				add()
			}
			t.Logf("%d bytes", r.Bytes())
			if r.Bytes() > tt.want {
				t.Errorf("%d bytes, want at most %d", r.Bytes(), tt.want)
			}
			if n := testing.AllocsPerRun(2000, add); n > 0 {
				t.Errorf("%v allocations for a packet", n)
			}
			buf := make([]byte, 0, 2000)
			if n := testing.AllocsPerRun(1000, func() { r.Copy(seq-3, buf) }); n > 0 {
				t.Errorf("%v allocations for a copy", n)
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	r := NewRing(512)
	p := packet(0, 1100, 0)
	for i := range b.N {
		p.Seq, p.At = uint16(i), int64(i)*3500
		r.Add(p)
	}
}
