package track

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

func TestParsePacket(t *testing.T) {
	head := []byte{0x80, 0xe0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8}
	with := func(first byte, rest ...byte) []byte {
		b := bytes.Clone(head)
		b[0] = first
		return append(b, rest...)
	}
	tests := []struct {
		name    string
		b       []byte
		ok      bool
		payload []byte
		one     []byte // the extension with ID 1
	}{
		{"a payload", with(0x80, 9, 8), true, []byte{9, 8}, nil},
		{"no payload", with(0x80), true, []byte{}, nil},
		{"two contributing sources", with(0x82, 1, 1, 1, 1, 2, 2, 2, 2, 9), true, []byte{9}, nil},
		{"padding", with(0xa0, 9, 0, 0, 3), true, []byte{9}, nil},
		{"nothing but padding", with(0xa0, 0, 0, 3), true, []byte{}, nil},
		{"extensions with a header of one byte", with(0x90, 0xbe, 0xde, 0, 2, 0x20, 7, 0, 0x11, 5, 6, 0xf0, 0x10, 9), true, []byte{9}, []byte{5, 6}},
		{"of two bytes", with(0x90, 0x10, 0x03, 0, 2, 2, 0, 0, 1, 3, 5, 6, 7, 9), true, []byte{9}, []byte{5, 6, 7}},
		{"after ID 15 there is none", with(0x90, 0xbe, 0xde, 0, 1, 0xf0, 0x10, 5, 0, 9), true, []byte{9}, nil},
		{"one that is longer than there is", with(0x90, 0xbe, 0xde, 0, 1, 0x1f, 5, 6, 7, 9), true, []byte{9}, nil},
		{"another profile", with(0x90, 0x12, 0x34, 0, 1, 0x10, 5, 6, 7, 9), true, []byte{9}, nil},
		{"no header", head[:11], false, nil, nil},
		{"another version", with(0x40, 9), false, nil, nil},
		{"fewer sources than it says", with(0x81, 1, 1), false, nil, nil},
		{"no extensions", with(0x90, 0xbe), false, nil, nil},
		{"half of the extensions", with(0x90, 0xbe, 0xde, 0, 2, 1, 2, 3, 4), false, nil, nil},
		{"no length of the padding", with(0xa0, 9, 0), false, nil, nil},
		{"more padding than there is", with(0xa0, 9, 200), false, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet
			ok := p.parse(tt.b)
			if ok != tt.ok {
				t.Fatalf("it is a packet: %v", ok)
			}
			if !ok {
				return
			}
			if !bytes.Equal(p.payload, tt.payload) || !bytes.Equal(p.extension(1), tt.one) {
				t.Errorf("payload %x and extension %x, want %x and %x", p.payload, p.extension(1), tt.payload, tt.one)
			}
			if !p.marker || p.pt != 0x60 || p.seq != 0x1234 || p.ts != 0x01020304 || p.ssrc != 0x05060708 {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// FuzzParsePacket compares with pion's parser: what both take they read alike.
func FuzzParsePacket(f *testing.F) {
	for _, p := range []rtp.Packet{
		{Header: rtp.Header{Version: 2, Marker: true, PayloadType: 96, SequenceNumber: 7, Timestamp: 8, SSRC: 9}, Payload: []byte{1, 2}},
		{Header: rtp.Header{Version: 2, CSRC: []uint32{1, 2}}, Payload: []byte{1, 2}},
	} {
		for _, profile := range []uint16{rtp.ExtensionProfileOneByte, rtp.ExtensionProfileTwoByte} {
			p.ExtensionProfile = profile
			_ = p.SetExtension(1, []byte{1, 2, 3})
			_ = p.SetExtension(3, []byte{4})
			raw, err := p.Marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Add([]byte{0xa0, 0xe0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var p packet
		ok := p.parse(b)
		for id := range 256 {
			if e := p.extension(uint8(id)); ok && len(e) > len(b) {
				t.Fatal("an extension is longer than the packet")
			}
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the packet is changed")
		}
		var other rtp.Packet
		if !ok || other.Unmarshal(b) != nil {
			return
		}
		if p.seq != other.SequenceNumber || p.ts != other.Timestamp || p.ssrc != other.SSRC || p.marker != other.Marker || p.pt != other.PayloadType ||
			!bytes.Equal(p.payload, other.Payload) {
			t.Fatalf("%x is %+v, and by pion %+v", b, p, other)
		}
	})
}

func TestPrimaryOfRED(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want []byte
	}{
		{"nothing older", []byte{111, 1, 2, 3}, []byte{1, 2, 3}},
		{"one older", []byte{0x80 | 111, 0, 0, 2, 111, 9, 9, 1, 2}, []byte{1, 2}},
		{"two older", []byte{0x80 | 111, 0x10, 0, 1, 0x80 | 111, 0, 0, 2, 111, 8, 9, 9, 1}, []byte{1}},
		{"an older one of 1023 bytes that are not there", []byte{0x80 | 111, 0, 3, 0xff, 111, 9, 9, 1, 2}, nil},
		{"no newest", []byte{0x80 | 111, 0, 0, 2}, nil},
		{"half of a header", []byte{0x80 | 111, 0, 0}, nil},
		{"nothing", nil, nil},
		{"nothing in it", []byte{111}, []byte{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := primaryOfRED(tt.in); !bytes.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
				t.Errorf("got %x, want %x", got, tt.want)
			}
		})
	}
}

func FuzzPrimaryOfRED(f *testing.F) {
	f.Add([]byte{0x80 | 111, 0x10, 0, 1, 0x80 | 111, 0, 0, 2, 111, 8, 9, 9, 1})
	f.Add([]byte{111, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := primaryOfRED(b)
		if got != nil && !bytes.HasSuffix(b, got) {
			t.Fatalf("%x is no end of %x", got, b)
		}
	})
}

// listener takes audio.
type listener struct {
	webrtc.TrackLocalContext
	red     bool
	packets []gotten
}

func (s *listener) CodecParameters() []webrtc.RTPCodecParameters {
	codecs := []webrtc.RTPCodecParameters{{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/opus", ClockRate: 48_000}, PayloadType: 111}}
	if s.red {
		codecs = append(codecs, webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48_000}, PayloadType: 63})
	}
	return codecs
}
func (s *listener) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (s *listener) SSRC() webrtc.SSRC                                      { return 7 }
func (s *listener) SSRCRetransmission() webrtc.SSRC                        { return 0 }
func (s *listener) WriteStream() webrtc.TrackLocalWriter                   { return s }
func (s *listener) Write([]byte) (int, error)                              { panic("not used") }

func (s *listener) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	s.packets = append(s.packets, gotten{header: h.Clone(), payload: bytes.Clone(payload)})
	return len(payload) + 12, nil
}

// TestAudioPath has redundant audio go to who takes it and who does not, with packets that are late, lost, twice, and nonsense.
func TestAudioPath(t *testing.T) {
	withClock(t)
	for _, red := range []bool{true, false} {
		random := rand.New(rand.NewPCG(1, 5))
		up := NewUp(UpOptions{MIMEType: "audio/red", ClockRate: 48_000, RTCP: &publisher{}})
		up.add(StreamOptions{SSRC: 1000})
		s := &listener{red: red}
		d := NewDown(up, DownOptions{ID: "a"})
		if _, err := d.Bind(s); err != nil {
			t.Fatal(err)
		}
		up.Subscribe(d)
		d.Ready(true)
		var held [][]byte
		lost := 0
		for n := range 2000 {
			at := int64(n+1) * 20_000
			now = func() int64 { return at }
			p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 63, SequenceNumber: uint16(65_000 + n), Timestamp: uint32(n * 960), SSRC: 1000}}
			p.Payload = []byte{0x80 | 111, 0, 0, 2, 111, 7, 7, byte(n), byte(n >> 8)}
			if n%50 == 49 {
				p.Payload = []byte{0x80} // nonsense
			}
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			switch random.IntN(20) {
			case 0:
				lost++
				continue
			case 1:
				held = append(held, raw)
				continue
			case 2:
				receive(up, bytes.Clone(raw), at)
			}
			receive(up, raw, at)
			if len(held) > 0 && random.IntN(3) == 0 {
				receive(up, held[0], at)
				held = held[1:]
			}
		}
		by := map[uint16]gotten{}
		first := s.packets[0].header.SequenceNumber
		most := uint16(0)
		for _, g := range s.packets {
			if _, ok := by[g.header.SequenceNumber]; ok {
				t.Fatalf("number %d was given twice", g.header.SequenceNumber)
			}
			by[g.header.SequenceNumber] = g
			most = max(most, g.header.SequenceNumber-first)
		}
		missing := 0
		for n := range most {
			g, ok := by[first+n]
			if !ok {
				missing++
				continue
			}
			if len(g.payload) == 0 {
				continue
			}
			i := int(g.header.Timestamp / 960)
			want := []byte{byte(i), byte(i >> 8)}
			if red {
				want = append([]byte{0x80 | 111, 0, 0, 2, 111, 7, 7}, want...)
			}
			if i%50 != 49 && !bytes.Equal(g.payload, want) {
				t.Fatalf("packet %d is %x, want %x", i, g.payload, want)
			}
		}
		if missing > lost+len(held) {
			t.Errorf("%d numbers are missing, though only %d were lost", missing, lost)
		}
	}
}

// TestAskedTooOften has feedback that names a packet many times be answered once, and again as late as who waits for answers would ask.
func TestAskedTooOften(t *testing.T) {
	withClock(t)
	at := int64(1_000_000)
	now = func() int64 { return at }
	w := newFuzzed(t, webrtc.MimeTypeOpus)
	for range 10 {
		w.packet(0, []byte{0, 1, 0, 1, 0, 0, 1, 2, 3}, at)
	}
	nacks := make([]rtcp.NackPair, 300)
	for i := range nacks {
		nacks[i] = rtcp.NackPair{PacketID: 1, LostPackets: 0xff}
	}
	for _, want := range []int{9, 0, 9} {
		before := w.sent
		w.down.HandleRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: nacks}})
		if got := w.sent - before; got != want {
			t.Errorf("at %d ms: %d are sent again, want %d", at/1000, got, want)
		}
		at += 6000
	}
}

// mean is a way that takes so many repeats.
type mean struct {
	anything
	left int
}

func (m *mean) Repeat(int) bool {
	m.left--
	return m.left >= 0
}

// TestRepeatsAreBounded has more be asked for again than the way takes: the rest is sent when it is asked for once more.
func TestRepeatsAreBounded(t *testing.T) {
	withClock(t)
	at := int64(1_000_000)
	now = func() int64 { return at }
	w := newFuzzed(t, webrtc.MimeTypeOpus)
	for range 10 {
		w.packet(0, []byte{0, 1, 0, 1, 0, 0, 1, 2, 3}, at)
	}
	way := &mean{}
	w.down.Transport = way
	for _, round := range []struct{ takes, want int }{{4, 4}, {0, 0}, {100, 9}} {
		way.left = round.takes
		before := w.sent
		w.down.HandleRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xff}}}})
		if got := w.sent - before; got != round.want {
			t.Errorf("of a way that takes %d: %d are sent again, want %d", round.takes, got, round.want)
		}
		at += 11_000
	}
}

// TestFlood has somebody send far more than sound can be: it is not handed on, and what comes later is.
func TestFlood(t *testing.T) {
	withClock(t)
	at := int64(1_000_000)
	now = func() int64 { return at }
	w := newFuzzed(t, webrtc.MimeTypeOpus)
	w.seq[0] = 1
	packet := append([]byte{0, 1, 0, 60, 0, 0}, make([]byte, 1000)...)
	for range 10_000 { // in a second
		at += 100
		w.packet(0, packet, at)
	}
	if most := 2 * mostAudio / 1000; w.sent > most || w.sent < most/2 {
		t.Errorf("%d packets of a flood are handed on, want %d at most", w.sent, most)
	}
	before := w.sent
	for range 50 {
		at += 20_000
		w.packet(0, packet[:200], at)
	}
	if got := w.sent - before; got != 50 {
		t.Errorf("%d of 50 packets after it are handed on", got)
	}
}

// TestForwardAllocatesNothing counts what a packet costs for a subscriber.
func TestForwardAllocatesNothing(t *testing.T) {
	withClock(t)
	var frames []*frame
	random := rand.New(rand.NewPCG(1, 5))
	s := newSource("vp8", 0, random, &frames)
	up := NewUp(UpOptions{MIMEType: "video/VP8", ClockRate: 90_000, RTCP: &publisher{sources: []*source{s}}})
	up.add(StreamOptions{SSRC: 1000})
	d := NewDown(up, DownOptions{ID: "v"})
	if _, err := d.Bind(&nowhere{subscriber{mime: "video/VP8"}}); err != nil {
		t.Fatal(err)
	}
	up.Subscribe(d)
	d.Ready(true)
	d.Select(0, 3)
	var packets [][]byte
	at := int64(1_000_000)
	now = func() int64 { return at }
	for range 6000 {
		at += 33_000
		for _, p := range s.picture(at) {
			packets = append(packets, p.raw)
		}
	}
	at = 1_000_000
	next := func() {
		at += 5000
		receive(up, packets[0], at)
		packets = packets[1:]
	}
	for range 3000 {
		next()
	}
	if n := testing.AllocsPerRun(3000, next); n > 0 {
		t.Errorf("%v allocations for a packet", n)
	}
}

// nowhere takes packets and keeps none.
type nowhere struct{ subscriber }

func (n *nowhere) WriteStream() webrtc.TrackLocalWriter                { return n }
func (n *nowhere) WriteRTP(_ *rtp.Header, payload []byte) (int, error) { return len(payload) + 12, nil }

// receive has a packet come, and be handed on.
func receive(up *Up, b []byte, at int64) {
	l := up.layer(0)
	l.take(b, at)
	l.handOn()
}
