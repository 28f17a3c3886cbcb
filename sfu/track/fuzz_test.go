package track

import (
	"encoding/binary"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// fuzzCodecs are those of FuzzPath, by its first byte.
var fuzzCodecs = []string{
	webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeAV1, webrtc.MimeTypeH264, webrtc.MimeTypeOpus, mimeTypeRED,
}

// FuzzPath has a publisher and a subscriber who send whatever they like: packets of all layers in any order, with any numbers and header
// extensions, and any feedback. The steps are a byte that says what is done, one with the length of what follows, and that.
func FuzzPath(f *testing.F) {
	key := []byte{0, 40, 0, 1, 0, 100, 1, 2, 0x90, 0x80, 0x00, 0x00, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0}
	nack, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xffff}}}})
	report, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 1000, NTPTime: 1 << 40, RTPTime: 9}, &rtcp.PictureLossIndication{MediaSSRC: 7}})
	feedback := func(op byte, b []byte) []byte { return append([]byte{op, byte(len(b))}, b...) }
	for codec := range byte(len(fuzzCodecs)) {
		seed := []byte{codec}
		for range 3 {
			seed = append(append(seed, key...), make([]byte, 20)...)
		}
		seed = append(append(seed, feedback(3, nack)...), feedback(4, report)...)
		f.Add(append(seed, 5, 2, 2, 3, 6, 0, 7, 0, 8, 0))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1 || len(b) > 4096 {
			return
		}
		at := int64(1_000_000)
		before := now
		now = func() int64 { return at }
		defer func() { now = before }()
		w := newFuzzed(t, fuzzCodecs[int(b[0])%len(fuzzCodecs)])
		for b = b[1:]; len(b) >= 2; {
			n := min(int(b[1]), len(b)-2)
			w.step(b[0], b[2:2+n], at)
			b = b[2+n:]
			at += 7000
		}
		w.down.Close()
		w.up.Close()
	})
}

// fuzzed is a way from a publisher to a subscriber, neither of whom behaves.
type fuzzed struct {
	t    *testing.T
	up   *Up
	down *Down
	sent int
	seq  [3]uint16
}

func newFuzzed(t *testing.T, mime string) *fuzzed {
	w := &fuzzed{t: t, up: NewUp(UpOptions{MIMEType: mime, ClockRate: 90_000, RTCP: anything{}, Level: func(uint8) {}})}
	for i := range 3 {
		w.up.add(StreamOptions{Layer: i, SSRC: uint32(1000 + i), LevelID: 1, DescriptorID: 2})
	}
	w.down = NewDown(w.up, DownOptions{ID: "x", Transport: anything{}})
	if _, err := w.down.Bind(&fuzzedWriter{subscriber{mime: mime}, w}); err != nil {
		t.Fatal(err)
	}
	w.up.Subscribe(w.down)
	w.down.Ready(true)
	return w
}

func (w *fuzzed) step(op byte, arg []byte, at int64) {
	before := w.sent
	switch op % 10 {
	case 0, 1, 2:
		w.packet(int(op%10), arg, at)
	case 3, 4:
		packets, err := rtcp.Unmarshal(arg)
		if err != nil {
			return
		}
		if op%10 == 3 {
			w.down.HandleRTCP(packets)
		} else {
			w.up.HandleRTCP(0, packets)
		}
	case 5:
		if len(arg) == 2 {
			w.down.Select(int(arg[0]%5)-1, int(arg[1]%4))
		}
	case 6:
		w.up.Tick()
		w.down.Tick()
	case 7:
		w.down.Probe(1000)
	case 8:
		w.down.SenderReport()
		w.down.Stats()
		w.up.Bitrates()
	case 9:
		w.down.Ready(len(arg)%2 == 0)
	}
	if most := max(videoRing, maxBurst); w.sent-before > most+1 {
		w.t.Fatalf("%d packets are sent at once", w.sent-before)
	}
}

// packet has one come: what it says of its number is the distance to the one before.
func (w *fuzzed) packet(layer int, arg []byte, at int64) {
	if len(arg) < 6 {
		return
	}
	w.seq[layer] += binary.BigEndian.Uint16(arg)
	p := &rtp.Packet{Header: rtp.Header{
		Version: 2, SequenceNumber: w.seq[layer], Timestamp: uint32(binary.BigEndian.Uint16(arg[2:])) << 4, Marker: arg[4]&1 != 0, SSRC: uint32(1000 + layer),
	}}
	n := min(int(arg[5]), len(arg)-6)
	if n > 0 {
		_ = p.SetExtension(1, arg[6:7])
		_ = p.SetExtension(2, arg[6:6+min(n, 16)])
	}
	p.Payload = arg[6+n:]
	raw, err := p.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	l := w.up.layer(layer)
	l.take(raw, at)
	if l.full() || arg[4]&2 == 0 {
		l.handOn()
	}
}

// fuzzedWriter counts what a subscriber is sent.
type fuzzedWriter struct {
	subscriber
	w *fuzzed
}

func (f *fuzzedWriter) WriteStream() webrtc.TrackLocalWriter { return f }

func (f *fuzzedWriter) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if _, err := h.Marshal(); err != nil {
		f.w.t.Fatalf("a header that is none: %v", err)
	}
	f.w.sent++
	return len(payload) + 12, nil
}

// anything takes feedback for publishers, and numbers packets.
type anything struct{}

func (anything) WriteRTCP([]rtcp.Packet) error { return nil }
func (anything) Next(int, bool) (uint16, bool) { return 1, true }
func (anything) Lost(float64)                  {}
func (anything) Repeat(int) bool               { return true }
