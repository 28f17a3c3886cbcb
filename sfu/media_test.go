package sfu

import (
	"encoding/binary"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// publisher sends a track of numbered frames, every 20 ms, until the test ends.
type sending struct {
	sid   string
	track *webrtc.TrackLocalStaticRTP
}

// publish announces a track and sends it: video is VP8 in which each frame is one packet, and a key frame now and then.
func (c *client) publish(cid string, source signalling.TrackSource) sending {
	c.t.Helper()
	s := c.announce(cid, source)
	video := s.track.Kind() == webrtc.RTPCodecTypeVideo
	go sendFrames(c, s.track, func(n int) []byte { return frame(n, video) })
	return s
}

// announce announces a track of which nothing is sent so far.
func (c *client) announce(cid string, source signalling.TrackSource) sending {
	c.t.Helper()
	kind, mime := signalling.Video, webrtc.MimeTypeVP8
	if source == signalling.Microphone || source == signalling.ScreenShareAudio {
		kind, mime = signalling.Audio, webrtc.MimeTypeOpus
	}
	c.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{CID: cid, Type: kind, Source: source, Width: 640, Height: 360}})
	m := c.await("for its track to be taken", func(m *signalling.SignalResponse) bool {
		return m.TrackPublished != nil && m.TrackPublished.CID == cid
	})
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, cid, "stream")
	if err != nil {
		c.t.Fatal(err)
	}
	sender, err := c.pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		for {
			if _, _, err := sender.Sender().ReadRTCP(); err != nil {
				return
			}
		}
	}()
	c.offer()
	return sending{sid: m.TrackPublished.Track.SID, track: t}
}

// sendFrames sends a frame every 20 ms, until the test ends.
func sendFrames(c *client, t *webrtc.TrackLocalStaticRTP, payload func(n int) []byte) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-c.t.Context().Done():
			return
		case <-tick.C:
		}
		p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n) * 1800, Marker: true}}
		p.Payload = payload(n)
		_ = t.WriteRTP(p)
	}
}

// frame makes the payload of a frame: VP8 with a picture ID of 15 bits, and its number.
func frame(n int, video bool) []byte {
	if !video {
		return binary.BigEndian.AppendUint32(nil, uint32(n))
	}
	first := byte(1)
	if n%10 == 0 {
		first = 0 // a key frame
	}
	b := []byte{0x90, 0x80, 0x80 | byte(n>>8)&0x7f, byte(n), first}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// awaitTrack waits until packets of a track come, and gives it.
func (c *client) awaitTrack() *webrtc.TrackRemote {
	c.t.Helper()
	select {
	case t := <-c.tracks:
		return t
	case <-time.After(within):
		c.t.Fatalf("%s waits for a track", c.identity)
	}
	return nil
}

// awaitKinds waits until packets of two tracks come, and gives both by what they are, "audio" or "video".
func (c *client) awaitKinds() map[string]*webrtc.TrackRemote {
	c.t.Helper()
	tracks := map[string]*webrtc.TrackRemote{}
	for range 2 {
		track := c.awaitTrack()
		c.awaitPackets(track, 5)
		tracks[track.Kind().String()] = track
	}
	return tracks
}

// awaitPackets reads packets of a track.
func (c *client) awaitPackets(t *webrtc.TrackRemote, n int) []*rtp.Packet {
	c.t.Helper()
	var got []*rtp.Packet
	for len(got) < n {
		_ = t.SetReadDeadline(time.Now().Add(within))
		p, _, err := t.ReadRTP()
		if err != nil {
			c.t.Fatalf("%s: packet %d: %v", c.identity, len(got), err)
		}
		got = append(got, p)
	}
	return got
}
