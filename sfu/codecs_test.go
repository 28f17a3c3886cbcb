package sfu

import (
	"encoding/binary"
	"maps"
	"strings"
	"testing"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

// publishIn announces a track, or another codec of one that there is, and sends it in a codec: each frame is one packet.
func (c *client) publishIn(mime string, a *signalling.AddTrackRequest) sending {
	c.t.Helper()
	c.send(&signalling.SignalRequest{AddTrack: a})
	m := c.await("for its track to be taken", func(m *signalling.SignalResponse) bool {
		return m.TrackPublished != nil && m.TrackPublished.CID == a.CID
	})
	id := a.CID
	if a.SID != "" { // the stream of another codec has an ID of its own
		id = a.SimulcastCodecs[0].CID
	}
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, id, "stream")
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		c.t.Fatal(err)
	}
	go sendFrames(c, t, func(n int) []byte { return frameIn(mime, n) })
	c.offer()
	return sending{sid: m.TrackPublished.Track.SID, track: t}
}

// frameIn makes the payload of a frame, of which every tenth is a key frame.
func frameIn(mime string, n int) []byte {
	key := n%10 == 0
	head := map[string]map[bool]byte{
		webrtc.MimeTypeAV1:  {true: 0x18, false: 0x10}, // an OBU that ends here; a new sequence
		webrtc.MimeTypeH264: {true: 0x65, false: 0x61}, // slices of an IDR picture, and of another
	}[mime]
	if head == nil {
		return frame(n, true)
	}
	return binary.BigEndian.AppendUint32([]byte{head[key]}, uint32(n))
}

// knows makes a client's media engine that knows Opus, and some codecs of video, by the parameters of their formats.
func knows(video map[string]string) func(bool) (*webrtc.MediaEngine, error) {
	return func(layers bool) (*webrtc.MediaEngine, error) {
		m := &webrtc.MediaEngine{}
		opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
		if err := m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: 111}, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
		next := webrtc.PayloadType(96)
		for mime, format := range video {
			c := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000, SDPFmtpLine: format, RTCPFeedback: videoFeedback}
			if err := m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c, PayloadType: next}, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, err
			}
			next++
		}
		return m, registerExtensions(m, layers)
	}
}

// joinKnowing brings somebody into a room who knows some codecs of video alone.
func (w *world) joinKnowing(identity string, v1 bool, video map[string]string) *client {
	w.t.Helper()
	c := w.client(token(w.t, "room", identity, everything), identity, v1)
	c.engine = knows(video)
	c.connect(nil)
	return c
}

// awaitLack waits to be told that a track cannot be had.
func (c *client) awaitLack(sid string) {
	c.t.Helper()
	c.await("to hear that it takes no codec of a track", func(m *signalling.SignalResponse) bool {
		r := m.SubscriptionResponse
		return r != nil && r.TrackSID == sid && r.Err == signalling.SubscriptionCodecUnsupported
	})
}

// lacks counts how often the client was told that a track cannot be had.
func (c *client) lacks(sid string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.got {
		if m.SubscriptionResponse != nil && m.SubscriptionResponse.TrackSID == sid {
			n++
		}
	}
	return n
}

// awaitTrackOf waits for packets of a track, of which the client has to hear before all others.
func (c *client) awaitTrackOf(sid string) *webrtc.TrackRemote {
	c.t.Helper()
	t := c.awaitTrack()
	if !strings.HasSuffix(t.StreamID(), "|"+sid) {
		c.t.Fatalf("%s gets %s, and not %s", c.identity, t.StreamID(), sid)
	}
	c.awaitPackets(t, 10)
	return t
}

// TestLacksCodec has somebody whose client does not know the codec of a track stay in the call, get the others, and be told, by either signalling.
func TestLacksCodec(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.join("room", "alice", everything)
			camera := alice.publishIn(webrtc.MimeTypeAV1, &signalling.AddTrackRequest{CID: "camera", Type: signalling.Video, Source: signalling.Camera})
			carol := w.client(token(t, "room", "carol", everything), "carol", v1)
			carol.connect(nil)
			carol.awaitTrackOf(camera.sid) // who knows it gets it

			bob := w.joinKnowing("bob", v1, map[string]string{webrtc.MimeTypeVP8: ""})
			bob.awaitLack(camera.sid)
			screen := alice.publishIn(webrtc.MimeTypeAV1, &signalling.AddTrackRequest{CID: "screen", Type: signalling.Video, Source: signalling.ScreenShare})
			bob.awaitLack(screen.sid)
			voice := alice.publish("voice", signalling.Microphone)
			bob.awaitTrackOf(voice.sid)
			bob.awaitTrackOf(alice.publish("another", signalling.Camera).sid)
			bob.pong(1)
			for _, sid := range []string{camera.sid, screen.sid} {
				if n := bob.lacks(sid); n != 1 {
					t.Errorf("bob was told %d times that it cannot have %s", n, sid)
				}
			}
			if carol.lacks(camera.sid)+carol.lacks(screen.sid) > 0 {
				t.Error("carol was told so, too")
			}
		})
	}
}

// TestLacksProfile has the connection find that a client does not take what it seems to take by all of its offers: it knows the codec by another profile.
func TestLacksProfile(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	camera := alice.publishIn(webrtc.MimeTypeAV1, &signalling.AddTrackRequest{CID: "camera", Type: signalling.Video, Source: signalling.Camera})
	alice.awaitUpdate("for its packets to come", "alice", func(p *signalling.ParticipantInfo) bool { return len(p.Tracks) == 1 })
	bob := w.client(token(t, "room", "bob", everything), "bob", true)
	bob.engine = knows(map[string]string{webrtc.MimeTypeVP8: ""})
	bob.onOffer = func(text string) string {
		text = strings.ReplaceAll(text, "UDP/TLS/RTP/SAVPF 96", "UDP/TLS/RTP/SAVPF 96 45")
		return strings.ReplaceAll(text, "a=rtpmap:96 VP8/90000\r\n", "a=rtpmap:96 VP8/90000\r\na=rtpmap:45 AV1/90000\r\na=fmtp:45 profile=1\r\n")
	}
	bob.connect(nil)
	bob.awaitLack(camera.sid)
	bob.awaitTrackOf(alice.publish("another", signalling.Camera).sid)
	bob.pong(1)
	if n := bob.lacks(camera.sid); n != 1 {
		t.Errorf("bob was told %d times", n)
	}
}

// TestLacksAllCodecs has somebody take no codec of video that we know: they stay in the call, and hear the others.
func TestLacksAllCodecs(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	camera, voice := alice.publish("camera", signalling.Camera), alice.publish("voice", signalling.Microphone)
	alice.awaitUpdate("for its packets to come", "alice", func(p *signalling.ParticipantInfo) bool { return len(p.Tracks) == 2 })
	bob := w.joinKnowing("bob", true, map[string]string{webrtc.MimeTypeH265: ""})
	bob.awaitLack(camera.sid)
	bob.awaitTrackOf(voice.sid)
	bob.pong(1)
}

// wantedOf gives how many layers of each codec an update says are wanted, or nil for another message.
func wantedOf(m *signalling.SignalResponse, sid string) map[string]int {
	u := m.SubscribedQualityUpdate
	if u == nil || u.TrackSID != sid {
		return nil
	}
	wanted := map[string]int{}
	for _, c := range u.SubscribedCodecs {
		wanted[c.Codec] = 0
		for _, q := range c.Qualities {
			if q.Enabled {
				wanted[c.Codec]++
			}
		}
	}
	return wanted
}

// TestBackupCodec has the publisher be asked for the codec that somebody takes who does not take the first, and each get what they take, by either
// signalling.
func TestBackupCodec(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.join("room", "alice", everything)
			camera := alice.publishIn(webrtc.MimeTypeAV1, &signalling.AddTrackRequest{
				CID: "camera", Type: signalling.Video, Source: signalling.Camera,
				SimulcastCodecs: []signalling.SimulcastCodec{{Codec: "av1", CID: "camera"}, {Codec: "vp8"}},
			})
			bob := w.joinKnowing("bob", v1, map[string]string{webrtc.MimeTypeVP8: ""})
			alice.await("to be asked for the other codec alone", func(m *signalling.SignalResponse) bool {
				wanted := wantedOf(m, camera.sid)
				return wanted["vp8"] == 3 && wanted["av1"] == 0
			})
			carol := w.client(token(t, "room", "carol", everything), "carol", v1)
			carol.connect(nil)
			alice.await("to be asked for both", func(m *signalling.SignalResponse) bool {
				wanted := wantedOf(m, camera.sid)
				return wanted["vp8"] == 3 && wanted["av1"] == 3
			})
			alice.publishIn(webrtc.MimeTypeVP8, &signalling.AddTrackRequest{
				CID: "camera", SID: camera.sid, Type: signalling.Video, Source: signalling.Camera,
				SimulcastCodecs: []signalling.SimulcastCodec{{Codec: "vp8", CID: "backup"}},
			})
			for c, want := range map[*client]string{bob: webrtc.MimeTypeVP8, carol: webrtc.MimeTypeAV1} {
				if got := c.awaitTrackOf(camera.sid).Codec().MimeType; got != want {
					t.Errorf("%s gets %s, and not %s", c.identity, got, want)
				}
				if c.lacks(camera.sid) > 0 {
					t.Errorf("%s was told that it cannot have the track", c.identity)
				}
			}
			carol.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}})
			alice.await("to hear that the first codec is of no use", func(m *signalling.SignalResponse) bool {
				wanted := wantedOf(m, camera.sid)
				return wanted["vp8"] == 3 && wanted["av1"] == 0
			})
		})
	}
}

// TestTakes reads descriptions for what the client takes.
func TestTakes(t *testing.T) {
	const head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	video := func(port, payload, attributes string) string {
		return "m=video " + port + " UDP/TLS/RTP/SAVPF " + payload + "\r\n" + attributes
	}
	const vp8, av1, rtx = "a=rtpmap:96 VP8/90000\r\n", "a=rtpmap:45 AV1/90000\r\na=fmtp:45 profile=0\r\n", "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
	for name, test := range map[string]struct {
		text string
		want string // "?" where it is not known
	}{
		"both":                       {video("9", "96 97 45", "a=recvonly\r\n"+vp8+rtx+av1), "video/VP8 video/AV1"},
		"one":                        {video("9", "96 97", "a=recvonly\r\n"+vp8+rtx), "video/VP8"},
		"a codec that is not listed": {video("9", "96", "a=recvonly\r\n"+vp8+av1), "video/VP8"},
		"a codec that we do not":     {video("9", "96 50", "a=recvonly\r\n"+vp8+"a=rtpmap:50 H265/90000\r\n"), "video/VP8"},
		"in two sections":            {video("9", "96", "a=recvonly\r\n"+vp8) + video("9", "96 45", "a=sendrecv\r\n"+vp8+av1), "video/VP8 video/AV1"},
		"it sends alone":             {video("9", "96", "a=sendonly\r\n"+vp8), "?"},
		"no section":                 {"", "?"},
		"a section that has ended":   {video("0", "96", "a=recvonly\r\n"+vp8), "?"},
		"one that shares a port":     {video("0", "96", "a=bundle-only\r\na=recvonly\r\n"+vp8), "video/VP8"},
		"one that it refuses":        {video("0", "96", "a=recvonly\r\n"+vp8), "?"},
		"one of two that it refuses": {video("9", "45", "a=recvonly\r\n"+av1) + video("0", "96", vp8), "video/AV1"},
	} {
		taken := takes{}
		taken.learn(parsed(t, head+test.text))
		codecs, known := taken[webrtc.RTPCodecTypeVideo]
		var names []string
		for _, c := range codecs {
			names = append(names, c.MimeType)
		}
		got := strings.Join(names, " ")
		if !known {
			got = "?"
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// TestRefusedIn reads which sections of an offer its answer refuses.
func TestRefusedIn(t *testing.T) {
	const head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	section := func(port, attributes string) string {
		return "m=video " + port + " UDP/TLS/RTP/SAVPF 96\r\n" + attributes
	}
	offer := head + section("9", "a=mid:0\r\n") + section("9", "a=mid:1\r\n") + section("0", "a=mid:2\r\na=bundle-only\r\n")
	for name, test := range map[string]struct {
		answer string
		want   map[string]bool
	}{
		"none":            {head + section("9", "") + section("9", "") + section("9", ""), map[string]bool{}},
		"the second":      {head + section("9", "") + section("0", "") + section("9", ""), map[string]bool{"1": true}},
		"one that shares": {head + section("9", "") + section("9", "") + section("0", "a=bundle-only\r\n"), map[string]bool{}},
		"too few":         {head + section("0", ""), map[string]bool{"0": true}},
		"too many":        {head + strings.Repeat(section("0", ""), 5), map[string]bool{"0": true, "1": true, "2": true}},
	} {
		if got := refusedIn(parsed(t, offer), parsed(t, test.answer)); !maps.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
