package sfu

import (
	"testing"
	"time"

	"causeway/sfu/codec"
	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

// set has the client say how it wants a track.
func (c *client) set(sid string, s signalling.UpdateTrackSettings) {
	s.TrackSIDs = []string{sid}
	c.send(&signalling.SignalRequest{TrackSetting: &s})
}

// awaitLayers waits until the client hears that so many layers of its track are wanted, in old clients' words and in those of today.
func (c *client) awaitLayers(why string, s sending, codec string, n int) {
	c.t.Helper()
	m := c.await("to hear of layers: "+why, func(m *signalling.SignalResponse) bool {
		wanted := wantedOf(m, s.sid)
		return wanted != nil && wanted[codec] == n
	})
	for i, q := range m.SubscribedQualityUpdate.SubscribedQualities {
		if q.Enabled != (i < n) || q.Quality != signalling.VideoQuality(i) {
			c.t.Errorf("%s: %d layers are wanted, and old clients hear %+v", why, n, m.SubscribedQualityUpdate.SubscribedQualities)
		}
	}
}

// TestLayersWanted has the publisher hear of the highest layer that anybody wants, as they say what they want, and come and go.
func TestLayersWanted(t *testing.T) {
	for codec, mime := range map[string]string{"vp8": webrtc.MimeTypeVP8, "h264": webrtc.MimeTypeH264} {
		t.Run(codec, func(t *testing.T) {
			w := newWorld(t)
			alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
			camera := alice.publishIn(mime, &signalling.AddTrackRequest{
				CID: "camera", Type: signalling.Video, Source: signalling.Camera, Width: 1280, Height: 720,
				Layers: []signalling.VideoLayer{
					{Quality: signalling.Low, Width: 320, Height: 180}, {Quality: signalling.Medium, Width: 640, Height: 360},
					{Quality: signalling.High, Width: 1280, Height: 720},
				},
				SimulcastCodecs: []signalling.SimulcastCodec{{Codec: codec, CID: "camera"}},
			})
			alice.awaitLayers("bob has said nothing", camera, codec, 3)
			bob.set(camera.sid, signalling.UpdateTrackSettings{Width: 320, Height: 180})
			alice.awaitLayers("bob shows it as large as the lowest", camera, codec, 1)
			bob.set(camera.sid, signalling.UpdateTrackSettings{Width: 321, Height: 180})
			alice.awaitLayers("bob shows it a little larger", camera, codec, 2)
			bob.set(camera.sid, signalling.UpdateTrackSettings{Width: 3840, Height: 2160})
			alice.awaitLayers("bob shows it larger than it is", camera, codec, 3)
			bob.set(camera.sid, signalling.UpdateTrackSettings{Quality: signalling.Low})
			alice.awaitLayers("bob wants the lowest", camera, codec, 1)

			carol, dave := w.join("room", "carol", everything), w.join("room", "dave", everything)
			alice.awaitLayers("carol has come", camera, codec, 3)
			for _, c := range []*client{carol, dave} { // settings are of tracks that one gets
				c.awaitPackets(c.awaitTrack(), 1)
			}
			dave.set(camera.sid, signalling.UpdateTrackSettings{Quality: signalling.Medium})
			dave.pong(1)
			carol.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}})
			alice.awaitLayers("carol, who wanted the highest, has gone", camera, codec, 2)
			dave.set(camera.sid, signalling.UpdateTrackSettings{Quality: signalling.Off})
			alice.awaitLayers("dave wants none", camera, codec, 1)
			bob.set(camera.sid, signalling.UpdateTrackSettings{Disabled: true, Quality: signalling.High})
			alice.awaitLayers("bob hides it, and nobody is left", camera, codec, 0)
			bob.set(camera.sid, signalling.UpdateTrackSettings{Width: 640, Height: 360})
			alice.awaitLayers("bob shows it again", camera, codec, 2)
			bob.send(&signalling.SignalRequest{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{camera.sid}}})
			alice.awaitLayers("bob does without it", camera, codec, 0)
			bob.send(&signalling.SignalRequest{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{camera.sid}, Subscribe: true}})
			alice.awaitLayers("bob wants it again", camera, codec, 3)
		})
	}
}

// TestHiddenTrack has nothing be sent of a track that is hidden, and it come again when it is shown.
func TestHiddenTrack(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	camera, voice := alice.publish("camera", signalling.Camera), alice.publish("voice", signalling.Microphone)
	tracks := bob.awaitKinds()
	for kind, sid := range map[string]string{"video": camera.sid, "audio": voice.sid} {
		bob.set(sid, signalling.UpdateTrackSettings{Disabled: true})
		bob.awaitSilence(tracks[kind])
		bob.set(sid, signalling.UpdateTrackSettings{Width: 640, Height: 360})
		bob.awaitPackets(tracks[kind], 20)
	}
}

// TestPriority has the allocator be told what a client says of its tracks' priorities, of which 1 is the highest and 0 is for none.
func TestPriority(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	camera := alice.publish("camera", signalling.Camera)
	bob.awaitPackets(bob.awaitTrack(), 5)
	last := 1 << 30
	for _, priority := range []uint32{1, 2, 999, 1000, 1 << 31, 0} {
		bob.set(camera.sid, signalling.UpdateTrackSettings{Quality: signalling.High, Priority: priority})
		bob.pong(int64(priority) + 1)
		p, got := w.server.find("room", "bob"), -1
		done := make(chan struct{})
		p.post(func() { defer close(done); got = p.subscriptions[camera.sid].wanted().Priority })
		<-done
		if got > last || got == last && priority < 1000 && priority > 0 || (got == 0) != (priority == 0) {
			t.Errorf("%d is %d, after %d", priority, got, last)
		}
		last = got
	}
}

// TestFrameRate has a subscriber ask for less than half of the frames of a picture that comes in two temporal layers, and then for all of them.
func TestFrameRate(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	camera := alice.announce("camera", signalling.Camera)
	go sendFrames(alice, camera.track, func(n int) []byte { return inLayer(n, byte(n%2)) }) // 50 in a second, 25 of which are of the lower layer
	seen := bob.awaitTrack()
	// awaitRun waits until so many packets in a row are as they should be.
	awaitRun := func(why string, is func(layers [2]int) bool) {
		t.Helper()
		for end := time.Now().Add(within); time.Now().Before(end); {
			var layers [2]int
			for _, p := range bob.awaitPackets(seen, 20) {
				if len(p.Payload) > 0 { // else it stands for one that came too late
					layers[p.Payload[4]>>6]++
				}
			}
			if is(layers) {
				return
			}
		}
		t.Fatal(why)
	}
	both := func(layers [2]int) bool { return layers[0] >= 8 && layers[1] >= 8 }
	awaitRun("all frames come at first", both)
	bob.set(camera.sid, signalling.UpdateTrackSettings{Quality: signalling.High, FPS: 15}) // a busy machine sends fewer than 50
	awaitRun("half of the frames come where they are enough", func(layers [2]int) bool { return layers[1] == 0 })
	bob.set(camera.sid, signalling.UpdateTrackSettings{Quality: signalling.High, FPS: 50})
	awaitRun("all frames come where they are wanted", both)
}

// TestEnough does not go from one layer to the other where the camera is not exact.
func TestEnough(t *testing.T) {
	for name, tc := range map[string]struct {
		rates        [codec.MaxTemporal]int
		fps          uint32
		chosen, want int
	}{
		"exactly":                       {[4]int{15, 30, 30, 30}, 15, 3, 0},
		"a little less":                 {[4]int{13, 25, 25, 25}, 15, 3, 0},
		"too few":                       {[4]int{12, 25, 25, 25}, 15, 3, 1},
		"too few, and so far it was":    {[4]int{12, 25, 25, 25}, 15, 0, 0},
		"far too few":                   {[4]int{10, 25, 25, 25}, 15, 0, 1},
		"more than come":                {[4]int{7, 15, 15, 15}, 60, 0, 3},
		"fewer than the lowest has":     {[4]int{7, 15, 30, 30}, 1, 3, 0},
		"three layers, of which two":    {[4]int{7, 15, 30, 30}, 15, 3, 1},
		"the highest that there can be": {[4]int{4, 8, 15, 30}, 30, 0, 3},
	} {
		if got := enough(tc.rates, tc.fps, tc.chosen); got != tc.want {
			t.Errorf("%s: got %d; want %d", name, got, tc.want)
		}
	}
}

// inLayer makes the payload of a frame in VP8, with its temporal layer (RFC 7741, section 4.2): each can be decoded when those of the lowest have been.
func inLayer(n int, temporal byte) []byte {
	first := byte(1)
	if n%50 == 0 {
		first = 0 // a key frame
	}
	return []byte{0x90, 0xa0, 0x80 | byte(n>>8)&0x7f, byte(n), temporal<<6 | 0x20, first, 0, 0, 0}
}
