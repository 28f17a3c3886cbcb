package sfu

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// newBadWorld starts a server behind a network that can be made worse.
func newBadWorld(t *testing.T) (*world, *badSocket) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	bad := newBadSocket(conn)
	return newWorld(t, func(c *Config) { c.UDP = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: bad}) }), bad
}

// TestLoss loses 2 % of all packets, both ways, with 40 ms from one to the other that a quarter of them do not have, so that they overtake others: next to all
// of a video come all the same.
func TestLoss(t *testing.T) {
	w, bad := newBadWorld(t)
	alice, bob := w.joinLayers("room", "alice"), w.join("room", "bob", everything)
	alice.publishLayers("camera", map[string]int{"f": 2_000_000})
	track := bob.awaitTrack()
	bob.awaitPackets(track, 50)
	lossy := way{lossPermille: 20, delay: 20 * time.Millisecond, earlyPermille: 250}
	bad.set(lossy, lossy)
	const packets = 3000
	missing, of := bob.missing(packets, func() *rtp.Packet { return bob.awaitPackets(track, 1)[0] })
	dropped, early := bad.lost(), bad.overtakes()
	t.Logf("%d of %d packets did not come, of which the network lost %d going out, and %d overtook others both ways", missing, of, dropped, early)
	if dropped < packets/100 || early < packets/4 {
		t.Fatalf("the network lost %d packets, and %d overtook others, which shows nothing", dropped, early)
	}
	if missing*1000 > of {
		t.Errorf("%d of %d packets did not come: more than 0.1 %%", missing, of)
	}
}

// missing reads packets that were sent by sendLayer, and tells how many of how many did not come that were sent meanwhile.
func (c *client) missing(packets int, next func() *rtp.Packet) (missing, of int) {
	c.t.Helper()
	seen := map[uint32]bool{}
	var first, last uint32
	for n := 0; n < packets; {
		number, ok := frameNumber(next())
		if !ok {
			continue
		}
		n++
		if first == 0 {
			first = number
		}
		seen[number] = true
		last = max(last, number)
	}
	for n := first; n+100 < last; n++ { // the newest may be on their way
		if !seen[n] {
			missing++
		}
	}
	return missing, int(last-100) - int(first)
}

// TestBandwidthDrops takes nine tenths of the bandwidth away, and gives it back: the picture becomes smaller, does not stand still, and becomes large again.
// How long each takes is measured, and in docs/benchmarks.md.
func TestBandwidthDrops(t *testing.T) {
	w, bad := newBadWorld(t)
	alice, bob := w.joinLayers("room", "alice"), w.join("room", "bob", everything)
	alice.publishLayers("camera", map[string]int{"q": 120_000, "h": 450_000, "f": 1_500_000})
	track := bob.awaitTrack()
	bobs := bob.reachedAt()
	limit := func(bits int) {
		bad.set(way{}, way{bits: bits, queue: 300 * time.Millisecond, delay: 10 * time.Millisecond, only: bobs})
	}
	limit(3_000_000)
	bob.watch(track).drops(t, limit)
}

// reachedAt is where a client is reached.
func (c *client) reachedAt() netip.AddrPort {
	c.t.Helper()
	pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		c.t.Fatalf("%s is not connected: %v", c.identity, err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr(pair.Local.Address), pair.Local.Port)
}

// drops takes nine tenths of a viewer's bandwidth away, which is 3 Mbit/s, and gives it back. The smallest of three layers is to come within 3 s, and the
// picture is not to stand still for a second. What counts is when this machine has the time, which is measured, too, at the best of three times: else it is
// bounded by what one with much else to do may need.
func (v *viewer) drops(t *testing.T, limit func(bits int)) {
	t.Helper()
	lateness := watchClock(t)
	for range 3 {
		if v.drop(t, limit, lateness) || t.Failed() {
			return
		}
	}
	t.Error("three times out of three it took too long, though this machine had the time")
}

func (v *viewer) drop(t *testing.T, limit func(bits int), lateness *lateness) (fine bool) {
	t.Helper()
	v.reset()
	v.await(t, "2 s of the largest layer", time.Minute, func() bool { return v.layer == 2 && v.frames >= 2*framesPerSecond })

	v.reset()
	lateness.reset()
	limit(300_000)
	dropped := time.Now()
	v.await(t, "the smallest layer", 30*time.Second, func() bool { return v.layer == 0 })
	took, during, late := time.Since(dropped), v.pause(), lateness.worst()
	v.reset()
	lateness.reset()
	v.await(t, "8 s of the smallest layer", time.Minute, func() bool { return v.frames >= 8*framesPerSecond*3/4 })
	still, lateThen := v.pause(), lateness.worst()

	v.reset()
	limit(3_000_000)
	back := time.Now()
	v.await(t, "the largest layer again", 2*time.Minute, func() bool { return v.layer == 2 })
	t.Logf("down after %v, longest pause until then %v, after that %v; up again after %v; this machine was late by %v, and by %v",
		took, during, still, time.Since(back), late, lateThen)
	if during > 10*time.Second || still > 5*time.Second {
		t.Errorf("the picture stood still for %v, and for %v", during, still)
	}
	return (late > punctual || took <= 3*time.Second && during <= time.Second) && (lateThen > punctual || still <= time.Second)
}

// punctual is how late a machine may be that has the time for what is tested.
const punctual = 30 * time.Millisecond

// lateness is how late goroutines of the test are that wait for a time.
type lateness struct {
	mu   sync.Mutex // guards what follows
	most time.Duration
}

// watchClock measures it until the test ends.
func watchClock(t *testing.T) *lateness {
	l := new(lateness)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		const every = 5 * time.Millisecond
		for next := time.Now().Add(every); ; next = time.Now().Add(every) {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(time.Until(next)):
			}
			l.mu.Lock()
			l.most = max(l.most, time.Since(next))
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() { <-ended })
	return l
}

func (l *lateness) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = 0
}

// worst is how late the latest was since reset.
func (l *lateness) worst() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}

const (
	framesPerSecond = 25
	packetSize      = 1000
)

// publishLayers sends video in layers, by RID and bits per second: VP8 whose packets have their layer and a number in them, and a key frame when
// one is asked for.
func (c *client) publishLayers(cid string, bits map[string]int) {
	c.t.Helper()
	add := &signalling.AddTrackRequest{CID: cid, Type: signalling.Video, Source: signalling.Camera, Width: 640, Height: 360}
	var tracks []*webrtc.TrackLocalStaticRTP
	var rids []string
	for i, rid := range []string{"q", "h", "f"} {
		if bits[rid] == 0 {
			continue
		}
		add.Layers = append(add.Layers, signalling.VideoLayer{Quality: signalling.VideoQuality(i), Width: 160 << i, Height: 90 << i, RID: rid})
		t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, cid, "stream", webrtc.WithRTPStreamID(rid))
		if err != nil {
			c.t.Fatal(err)
		}
		tracks, rids = append(tracks, t), append(rids, rid)
	}
	c.send(&signalling.SignalRequest{AddTrack: add})
	c.await("for its track to be taken", func(m *signalling.SignalResponse) bool { return m.TrackPublished != nil })
	tr, err := c.pc.AddTransceiverFromTrack(tracks[0], webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, t := range tracks[1:] {
		if err := tr.Sender().AddEncoding(t); err != nil {
			c.t.Fatal(err)
		}
	}
	c.offer()
	for i, t := range tracks {
		key := make(chan struct{}, 1)
		key <- struct{}{}
		go func() {
			for {
				if _, _, err := tr.Sender().ReadSimulcastRTCP(rids[i]); err != nil {
					return
				}
				select { // whatever it says: a key frame more does no harm here
				case key <- struct{}{}:
				default:
				}
			}
		}()
		go c.sendLayer(tr, t, layerNumber[rids[i]], bits[rids[i]], key)
	}
}

var layerNumber = map[string]byte{"q": 0, "h": 1, "f": 2}

// sendLayer sends a layer until the test ends.
func (c *client) sendLayer(tr *webrtc.RTPTransceiver, t *webrtc.TrackLocalStaticRTP, layer byte, bits int, key chan struct{}) {
	tick := time.NewTicker(time.Second / framesPerSecond)
	defer tick.Stop()
	var seq uint16
	var number uint32
	perFrame := max(1, bits/8/framesPerSecond/packetSize)
	size := bits / 8 / framesPerSecond / perFrame
	lastKey := time.Time{}
	for n := 0; ; n++ {
		select {
		case <-c.t.Context().Done():
			return
		case <-tick.C:
		}
		isKey := false
		if time.Since(lastKey) > 300*time.Millisecond {
			select {
			case <-key:
				isKey, lastKey = true, time.Now()
			default:
			}
		}
		for i := range perFrame {
			seq++
			number++
			p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(n) * 90000 / framesPerSecond, Marker: i == perFrame-1}}
			c.tag(tr, t.RID(), &p.Header)
			first := byte(0x80)
			if i == 0 {
				first |= 0x10
			}
			kind := byte(1)
			if isKey {
				kind = 0
			}
			p.Payload = append([]byte{first, 0x80, 0x80 | byte(n>>8)&0x7f, byte(n), kind, layer}, binary.BigEndian.AppendUint32(nil, number)...)
			p.Payload = append(p.Payload, make([]byte, max(0, size-len(p.Payload)))...)
			_ = t.WriteRTP(p)
		}
	}
}

// tag says in a packet's header in which media section and layer it is.
func (c *client) tag(tr *webrtc.RTPTransceiver, rid string, h *rtp.Header) {
	for _, e := range tr.Sender().GetParameters().HeaderExtensions {
		switch e.URI {
		case "urn:ietf:params:rtp-hdrext:sdes:mid":
			_ = h.SetExtension(uint8(e.ID), []byte(tr.Mid()))
		case "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id":
			_ = h.SetExtension(uint8(e.ID), []byte(rid))
		}
	}
}

// frameNumber gives a packet's number.
func frameNumber(p *rtp.Packet) (uint32, bool) {
	if len(p.Payload) < 10 {
		return 0, false
	}
	return binary.BigEndian.Uint32(p.Payload[6:]), true
}

// viewer watches a track.
type viewer struct {
	mu      sync.Mutex // guards what follows
	layer   int        // of the newest frame
	frames  int
	last    time.Time
	longest time.Duration // between frames
	bell    chan struct{}
}

func (c *client) watch(t *webrtc.TrackRemote) *viewer {
	v := &viewer{layer: -1, bell: make(chan struct{}, 1)}
	go func() {
		for {
			p, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			if len(p.Payload) < 10 || !p.Marker {
				continue
			}
			v.mu.Lock()
			v.layer = int(p.Payload[5])
			v.frames++
			if !v.last.IsZero() {
				v.longest = max(v.longest, time.Since(v.last))
			}
			v.last = time.Now()
			v.mu.Unlock()
			select {
			case v.bell <- struct{}{}:
			default:
			}
		}
	}()
	return v
}

func (v *viewer) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames, v.longest = 0, 0
}

// pause is the longest time between two frames, or since the last, since reset.
func (v *viewer) pause() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return max(v.longest, time.Since(v.last))
}

func (v *viewer) await(t *testing.T, what string, within time.Duration, is func() bool) {
	t.Helper()
	timeout := time.After(within)
	for {
		v.mu.Lock()
		done := is()
		v.mu.Unlock()
		if done {
			return
		}
		select {
		case <-v.bell:
		case <-timeout:
			v.mu.Lock()
			defer v.mu.Unlock()
			t.Fatalf("waited in vain for %s: layer %d, %d frames", what, v.layer, v.frames)
		}
	}
}

// TestPause has a video that does not fit be paused for who allows that, and be told of, and go on as the bandwidth does; for who says nothing of it
// its lowest layer is sent.
func TestPause(t *testing.T) {
	w := newWorld(t)
	alice := w.joinLayers("room", "alice")
	alice.publishLayers("camera", map[string]int{"q": 120_000, "h": 450_000})
	allow := true
	careful := w.client(token(t, "room", "careful", everything), "careful", true)
	careful.connect(func(j *signalling.JoinRequest) { j.ConnectionSettings.SubscriberAllowPause = &allow })
	plain := w.client(token(t, "room", "plain", everything), "plain", true)
	plain.connect(nil)
	seen, all := careful.watch(careful.awaitTrack()), plain.watch(plain.awaitTrack())
	seen.await(t, "the larger layer", time.Minute, func() bool { return seen.layer == 1 })
	all.await(t, "the larger layer", time.Minute, func() bool { return all.layer == 1 })

	limit := func(bits int64) {
		for _, c := range []*client{careful, plain} {
			c.send(&signalling.SignalRequest{Simulate: &signalling.SimulateScenario{SubscriberBandwidth: &bits}})
		}
	}
	state := func(want signalling.StreamState) func(*signalling.SignalResponse) bool {
		return func(m *signalling.SignalResponse) bool {
			return m.StreamStateUpdate != nil && m.StreamStateUpdate.StreamStates[0].State == want
		}
	}
	limit(60_000)
	careful.await("to hear of the pause", state(signalling.StreamPaused))
	all.await(t, "the smaller layer", time.Minute, func() bool { return all.layer == 0 })
	all.reset()
	all.await(t, "more of it", time.Minute, func() bool { return all.frames > framesPerSecond })
	limit(0)
	careful.await("to hear that it goes on", state(signalling.StreamActive))
	seen.reset()
	seen.await(t, "the larger layer again", time.Minute, func() bool { return seen.layer == 1 && seen.frames > 0 })
}
