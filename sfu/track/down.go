package track

import (
	"strings"
	"sync"

	"causeway/sfu/buffer"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	uriTransportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriDescriptor  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// DownOptions are what a Down needs.
type DownOptions struct {
	ID        string // of the track, as the subscriber sees it
	StreamID  string // of the stream that it belongs to
	Transport Transport
	// Bound is called when what is sent has been negotiated, with whether the subscriber takes the track's codec: else nothing is sent. nil is for nobody.
	Bound func(d *Down, taken bool)
}

// Down is a track as one subscriber gets it. It is a webrtc.TrackLocal.
type Down struct {
	DownOptions
	up *Up

	mu     sync.Mutex // guards what follows
	bound  bool
	ready  bool // the connection is there
	closed bool
	write  webrtc.TrackLocalWriter
	ssrc   uint32
	pt     uint8
	rtx    stream // for what is sent again
	red    bool   // the subscriber takes redundant audio
	header rtp.Header
	ccID   uint8
	cc     [2]byte // the number of the packet, in the header
	ddID   uint8

	layers  selection
	numbers numbers
	sent    history
	counts  Counts
	again   uint64 // packets sent again
	remote  remoteReport
	scratch []byte
}

// stream is where packets that are sent again go. RFC 4588.
type stream struct {
	ssrc uint32
	pt   uint8
	seq  uint16
}

// NewDown makes a track for a subscriber. It has the packets of up from when it is bound, and Ready has been called.
func NewDown(up *Up, o DownOptions) *Down {
	size := audioHistory
	if up.Video() {
		size = videoHistory
	}
	return &Down{DownOptions: o, up: up, sent: newHistory(size), layers: newSelection(), scratch: make([]byte, 0, 1500)}
}

// ID is the ID of the track.
func (d *Down) ID() string { return d.DownOptions.ID }

// RID is empty: a subscriber gets one stream.
func (d *Down) RID() string { return "" }

// StreamID is the ID of the stream that the track belongs to.
func (d *Down) StreamID() string { return d.DownOptions.StreamID }

// Kind is what the track is.
func (d *Down) Kind() webrtc.RTPCodecType {
	if d.up.Video() {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// Up is where the track comes from.
func (d *Down) Up() *Up { return d.up }

// Bind is called by the peer connection when what is sent has been negotiated. That the subscriber does not know the codec is no error: the
// connection would take none of the description then, which is about all of the subscriber's tracks.
func (d *Down) Bind(t webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codec, taken := d.up.Choose(t.CodecParameters())
	if !taken {
		if d.Bound != nil {
			d.Bound(d, false)
		}
		return codec, nil
	}
	d.mu.Lock()
	d.bound, d.write = true, t.WriteStream()
	d.ssrc, d.pt = uint32(t.SSRC()), uint8(codec.PayloadType)
	d.rtx = stream{ssrc: uint32(t.SSRCRetransmission()), pt: retransmission(codec.PayloadType, t.CodecParameters())}
	d.red = strings.EqualFold(codec.MimeType, mimeTypeRED)
	d.ccID, d.ddID = 0, 0
	for _, e := range t.HeaderExtensions() {
		switch e.URI {
		case uriTransportCC:
			d.ccID = uint8(e.ID)
		case uriDescriptor:
			// The other codecs say in their payload which frame needs which, and go on saying it where layers are left out.
			if strings.EqualFold(codec.MimeType, webrtc.MimeTypeAV1) {
				d.ddID = uint8(e.ID)
			}
		}
	}
	d.header = rtp.Header{Version: 2, SSRC: d.ssrc, PayloadType: d.pt}
	d.mu.Unlock()
	if d.Bound != nil {
		d.Bound(d, true)
	}
	return codec, nil
}

// Unbind is called by the peer connection when nothing is sent any more.
func (d *Down) Unbind(webrtc.TrackLocalContext) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bound = false
	return nil
}

const (
	mimeTypeRED = "audio/red"
	mimeTypeRTX = "video/rtx"
)

// Choose gives the one of a subscriber's codecs in which it can have the track, and whether there is one: the same profile where it has that. Redundant
// audio is given to who does not take it without what is redundant.
func (u *Up) Choose(codecs []webrtc.RTPCodecParameters) (webrtc.RTPCodecParameters, bool) {
	want := []string{u.MIMEType}
	if strings.EqualFold(u.MIMEType, mimeTypeRED) {
		want = append(want, webrtc.MimeTypeOpus)
	}
	for _, mime := range want {
		for _, c := range codecs {
			if strings.EqualFold(c.MimeType, mime) && sameProfile(u.FMTP, c.SDPFmtpLine) {
				return c, true
			}
		}
		for _, c := range codecs {
			if strings.EqualFold(c.MimeType, mime) {
				return c, true
			}
		}
	}
	return webrtc.RTPCodecParameters{}, false
}

// Ready is told whether the connection is there.
func (d *Down) Ready(ready bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready = ready
	if !ready {
		d.layers.lose()
	}
}

// Close ends the track.
func (d *Down) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.up.Unsubscribe(d)
}

// Select chooses the highest layers that the subscriber gets: numbers from 0, or -1 for none at all. It is changed to as soon
// as frames allow; a key frame is asked for where one is needed.
func (d *Down) Select(spatial, temporal int) {
	d.mu.Lock()
	d.layers.want(spatial, temporal)
	ask := d.needsKeyFrame()
	d.mu.Unlock()
	if ask >= 0 {
		d.up.KeyFrame(ask)
	}
}

// Selected gives the layers that the subscriber is to get, and those that it gets; -1 is none.
func (d *Down) Selected() (spatial, temporal, current int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.layers.wantSpatial, d.layers.wantTemporal, d.layers.spatial
}

// needsKeyFrame gives the stream of which a key frame is needed, or -1. d.mu is held.
func (d *Down) needsKeyFrame() int {
	if !d.bound || !d.ready || !d.up.Video() || d.layers.wantSpatial < 0 {
		return -1
	}
	if d.layers.spatial < 0 && d.up.begins(d.layers.wantSpatial) {
		return -1 // it begins with the next packet
	}
	if d.up.Scalable() {
		if d.layers.spatial < d.layers.wantSpatial {
			return 0
		}
		return -1
	}
	if d.layers.spatial != d.layers.wantSpatial {
		return d.layers.wantSpatial
	}
	return -1
}

// Tick asks for the key frame that is waited for. It is called a few times a second.
func (d *Down) Tick() {
	d.mu.Lock()
	ask := d.needsKeyFrame()
	d.mu.Unlock()
	if ask >= 0 {
		d.up.KeyFrame(ask)
	}
}

// forward hands on packets of a stream, those of them that the subscriber gets.
func (d *Down) forward(l *layer, batch []fresh) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.bound || !d.ready || d.closed {
		return
	}
	for i := range batch {
		p := &batch[i].Packet
		switch {
		case !d.up.video:
			d.forwardAudio(l, p)
		case d.layers.spatial < 0 && d.begin(l, p, batch[i].newest):
		case d.forwardVideo(l, p):
			d.catchUp(l, p.Seq, batch[i].newest)
		}
	}
}

// catchUp hands on what has come after the packet with which a stream begins for the subscriber, when that was late.
func (d *Down) catchUp(l *layer, first, newest uint16) {
	var kept []byte
	for n := first + 1; int16(newest-n) >= 0; n++ {
		if p, ok := l.ring.Copy(n, kept); ok {
			kept = p.Payload
			d.forwardVideo(l, &p)
		}
	}
}

// begin starts with the key frame that is kept, if everything since is there and it is not too much, so that a new subscriber need not wait for the
// next. It tells whether it did, p included.
func (d *Down) begin(l *layer, p *buffer.Packet, newest uint16) bool {
	if p.Frame.Key || d.layers.wantSpatial < 0 || !d.up.Scalable() && l.options.Layer != d.layers.wantSpatial {
		return false
	}
	key, _, ok := l.ring.SinceKey()
	if !ok || newest != p.Seq || int16(newest-key) < 0 || int(newest-key) > maxBurst {
		return false
	}
	var kept []byte
	for n := key; ; n++ {
		if old, ok := l.ring.Copy(n, kept); ok {
			kept = old.Payload
			d.forwardVideo(l, &old)
		}
		if n == newest {
			return true
		}
	}
}

// maxBurst is with how many packets a subscriber may begin at once.
const maxBurst = 120

func (d *Down) forwardAudio(l *layer, p *buffer.Packet) {
	payload := p.Payload
	if !d.red && strings.EqualFold(d.up.MIMEType, mimeTypeRED) {
		payload = primaryOfRED(payload)
	}
	if d.layers.wantSpatial < 0 || len(payload) == 0 {
		d.leaveOut(l, p)
		return
	}
	out, ok := d.numbers.next(l, p)
	if !ok {
		return
	}
	d.sent.add(entry{out: out.seq, in: p.Seq, layer: uint8(l.options.Layer), ts: out.ts})
	d.send(out, p.Marker, payload, p.Descriptor)
}

// forwardVideo hands on a packet, and tells whether it is the first of its stream.
func (d *Down) forwardVideo(l *layer, p *buffer.Packet) bool {
	v := d.layers.pass(l.options.Layer, d.up.scalable, p)
	switch {
	case v == elsewhere:
		// It may have a number that was kept for it, from before.
		if d.numbers.late(l, p) {
			d.leaveOut(l, p)
		}
		return false
	case v == dropped, len(p.Payload) == 0:
		d.leaveOut(l, p)
		return false
	case v == begins:
		d.numbers.change(l, p)
	}
	out, ok := d.numbers.next(l, p)
	if !ok {
		return false
	}
	marker := p.Marker
	if d.up.scalable && p.Frame.End && int(p.Frame.Spatial) == d.layers.spatial {
		marker = true
	}
	payload := p.Payload
	if p.Frame.VP8.Size > 0 && out.moved(p) {
		d.scratch = append(d.scratch[:0], payload...)
		payload = d.scratch
		p.Frame.VP8.Rewrite(payload, out.picture, out.tl0, out.keyIdx)
	}
	d.sent.add(entry{
		out: out.seq, in: p.Seq, layer: uint8(l.options.Layer), ts: out.ts, marker: marker,
		picture: out.picture, tl0: out.tl0, keyIdx: out.keyIdx,
	})
	d.send(out, marker, payload, p.Descriptor)
	return v == begins
}

// leaveOut leaves a packet out. Where a number was kept for it, because it is late, an empty packet has that: it tells the subscriber that
// there is nothing to wait for.
func (d *Down) leaveOut(l *layer, p *buffer.Packet) {
	out, late := d.numbers.skip(l, p)
	if !late {
		return
	}
	d.sent.add(entry{out: out.seq, ts: out.ts, empty: true})
	d.send(out, false, nil, nil)
}

// send writes a packet. d.mu is held.
func (d *Down) send(out numbered, marker bool, payload, descriptor []byte) {
	h := &d.header
	h.SSRC, h.PayloadType, h.SequenceNumber, h.Timestamp, h.Marker = d.ssrc, d.pt, out.seq, out.ts, marker
	d.extend(h, len(payload), descriptor)
	n, err := d.write.WriteRTP(h, payload)
	if err == nil && n > 0 && len(payload) > 0 {
		d.counts.Packets++
		d.counts.Bytes += uint64(len(payload))
	}
}

// extend sets the header extensions of the next packet.
func (d *Down) extend(h *rtp.Header, size int, descriptor []byte) {
	h.Extension, h.ExtensionProfile, h.Extensions = false, rtp.ExtensionProfileOneByte, h.Extensions[:0]
	if d.ddID != 0 && len(descriptor) > 0 {
		if len(descriptor) > maxOneByte {
			h.ExtensionProfile = rtp.ExtensionProfileTwoByte
		}
		h.Extension = true
		_ = h.SetExtension(d.ddID, descriptor)
	}
	if d.ccID == 0 || d.Transport == nil {
		return
	}
	if n, ok := d.Transport.Next(size, d.up.video); ok {
		d.cc[0], d.cc[1] = byte(n>>8), byte(n)
		h.Extension = true
		_ = h.SetExtension(d.ccID, d.cc[:])
	}
}

// maxOneByte is how long a header extension can be where their headers have one byte. RFC 8285, section 4.2.
const maxOneByte = 16

// HandleRTCP takes what the subscriber says of the track.
func (d *Down) HandleRTCP(packets []rtcp.Packet) {
	again := false
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.TransportLayerNack:
			again = true
			at := now()
			for _, pair := range p.Nacks {
				pair.Range(func(seq uint16) bool { d.resend(seq, at); return true })
			}
		case *rtcp.PictureLossIndication:
			d.lost()
		case *rtcp.FullIntraRequest:
			d.lost()
		case *rtcp.ReceiverReport:
			d.reported(p.Reports)
		}
	}
	if f := d.up.Flusher; f != nil && again {
		f.Flush()
	}
}

// lost asks for a key frame of what the subscriber gets.
func (d *Down) lost() {
	d.mu.Lock()
	i := d.layers.spatial
	if d.up.scalable {
		i = 0
	}
	if i < 0 {
		i = d.layers.wantSpatial
	}
	d.mu.Unlock()
	if i >= 0 {
		d.up.KeyFrame(i)
	}
}

// resend sends a packet again at a time in microseconds, by its own stream where the subscriber takes one, unless it has done so just now: one
// packet of feedback can name the same one thousands of times. RFC 4588, section 4.
func (d *Down) resend(seq uint16, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.sent.find(seq)
	if e == nil || !d.bound || !d.ready || e.repeats >= maxRepeats {
		return
	}
	ms := uint16(at / 1000)
	if e.repeats > 0 && ms-e.again < repeatEvery {
		return
	}
	e.again = ms
	p, ok := d.kept(e)
	if !ok || d.Transport != nil && !d.Transport.Repeat(len(p.Payload)) {
		return
	}
	d.counts.Asked++
	e.repeats++
	if p.Frame.VP8.Size > 0 {
		p.Frame.VP8.Rewrite(p.Payload, e.picture, e.tl0, e.keyIdx)
	}
	if !d.up.Video() && !d.red && strings.EqualFold(d.up.MIMEType, mimeTypeRED) {
		p.Payload = primaryOfRED(p.Payload)
	}
	d.again++
	if d.rtx.ssrc == 0 || d.rtx.pt == 0 {
		d.send(numbered{seq: e.out, ts: e.ts}, e.marker, p.Payload, p.Descriptor)
		return
	}
	d.sendRTX(e, p)
}

// kept gives a packet as it came.
func (d *Down) kept(e *entry) (buffer.Packet, bool) {
	if e.empty {
		return buffer.Packet{}, true
	}
	l := d.up.layer(int(e.layer))
	if l == nil {
		return buffer.Packet{}, false
	}
	return l.ring.Copy(e.in, d.scratch[:cap(d.scratch)])
}

const (
	// maxRepeats is how often a packet is sent again.
	maxRepeats = 8
	// repeatEvery is how many milliseconds lie between: who asks twice within them does not wait for an answer.
	repeatEvery = 10
)

func (d *Down) sendRTX(e *entry, p buffer.Packet) {
	payload := make([]byte, 2+len(p.Payload))
	payload[0], payload[1] = byte(e.out>>8), byte(e.out)
	copy(payload[2:], p.Payload)
	h := &d.header
	d.rtx.seq++
	h.SSRC, h.PayloadType, h.SequenceNumber, h.Timestamp, h.Marker = d.rtx.ssrc, d.rtx.pt, d.rtx.seq, e.ts, e.marker
	d.extend(h, len(payload), p.Descriptor)
	_, _ = d.write.WriteRTP(h, payload)
}

// retransmission gives the payload type for packets of another that are sent again, or 0.
func retransmission(of webrtc.PayloadType, codecs []webrtc.RTPCodecParameters) uint8 {
	for _, c := range codecs {
		if strings.EqualFold(c.MimeType, mimeTypeRTX) && parameter(c.SDPFmtpLine, "apt") == number(int(of)) {
			return uint8(c.PayloadType)
		}
	}
	return 0
}
