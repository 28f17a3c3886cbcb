package sfu

import (
	"net"
	"strings"
	"testing"

	"causeway/sfu/signalling"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4/packetio"
	"github.com/rs/zerolog"
)

// failures is a log that fails a test when something has panicked: what goes wrong in a participant is caught, and logged.
type failures struct{ t testing.TB }

// Write implements io.Writer.
func (f *failures) Write(p []byte) (int, error) {
	if text := string(p); strings.Contains(text, `"panic"`) {
		f.t.Errorf("%s", text)
	}
	return len(p), nil
}

// FuzzRequests has a participant say anything that is a message, several in a row.
func FuzzRequests(f *testing.F) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Fatal(err)
	}
	log := &failures{f}
	s, err := New(Config{
		Keys: map[string]string{testKey: testSecret}, UDP: ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: udp}), Loopback: true,
		Addresses: func(ip net.IP) bool { return ip.IsLoopback() }, Log: zerolog.New(log),
	})
	if err != nil {
		f.Fatal(err)
	}
	const offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 " +
		"0F:74:31:25:CB:A2:13:EC:28:6F:6D:2C:61:FF:5D:C2:BC:B9:DB:3D:98:14:8D:1A:BB:EA:33:0C:A4:60:A8:8E\r\na=group:BUNDLE 0\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdabcdabcdabcdabcdabcd\r\n" +
		"a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=sendrecv\r\na=msid:stream cid\r\n"
	ping, secret := int64(1), int64(300_000)
	for _, m := range []*signalling.SignalRequest{
		{Offer: &signalling.SessionDescription{Type: "offer", SDP: offer, ID: 1}},
		{Answer: &signalling.SessionDescription{Type: "answer", SDP: offer, ID: 1}},
		{Trickle: &signalling.TrickleRequest{CandidateInit: `{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0"}`}},
		{AddTrack: &signalling.AddTrackRequest{CID: "cid", Source: signalling.Microphone, Muted: true}},
		{AddTrack: &signalling.AddTrackRequest{CID: "v", Type: signalling.Video, SimulcastCodecs: []signalling.SimulcastCodec{{Codec: "vp8", CID: "v"}}}},
		{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{"a"}, Subscribe: true}},
		{TrackSetting: &signalling.UpdateTrackSettings{TrackSIDs: []string{"a"}, Quality: -1, Width: 1}},
		{SubscriptionPermission: &signalling.SubscriptionPermission{TrackPermissions: []signalling.TrackPermission{{ParticipantSID: "x"}}}},
		{SyncState: &signalling.SyncState{
			PublishTracks: []signalling.TrackPublished{{}}, DataChannelReceiveStates: []signalling.DataChannelReceiveState{{PublisherSID: "x"}},
		}},
		{UpdateMetadata: &signalling.UpdateParticipantMetadata{Metadata: "m", Attributes: map[string]string{"a": ""}, RequestID: 1}},
		{UpdateVideoTrack: &signalling.UpdateLocalVideoTrack{TrackSID: "x"}}, {Simulate: &signalling.SimulateScenario{SubscriberBandwidth: &secret}},
		{Ping: &ping}, {Mute: &signalling.MuteTrackRequest{SID: "x"}}, {Leave: &signalling.LeaveRequest{}},
	} {
		f.Add(true, signalling.Marshal(m), []byte{})
		f.Add(false, signalling.Marshal(m), signalling.Marshal(&signalling.SignalRequest{Ping: &ping}))
	}
	f.Fuzz(func(t *testing.T, v1 bool, one, two []byte) {
		log.t = t
		p := s.newParticipant(Grant{Room: "room", Identity: "alice", Permission: everything}, &signalling.JoinRequest{}, v1)
		if _, err := s.enter("room", p); err != nil {
			t.Fatal(err)
		}
		p.post(func() { p.begin(&signalling.JoinRequest{}) })
		for _, b := range [][]byte{one, two, one} {
			m := new(signalling.SignalRequest)
			if signalling.Unmarshal(b, m) == nil {
				p.post(func() { p.handle(nil, m) })
			}
		}
		p.post(p.tick)
		p.post(p.tellQuality)
		p.Leave(signalling.ParticipantRemoved)
		p.run()
		if n := len(s.all()); n != 0 {
			t.Fatalf("%d rooms are left", n)
		}
	})
}

// FuzzJoin reads what a client says at first.
func FuzzJoin(f *testing.F) {
	f.Add("")
	f.Add("CAESAA==")
	f.Add("EgQqAhoA")
	f.Fuzz(func(_ *testing.T, text string) {
		if join, err := unpack(text); (join == nil) == (err == nil) {
			panic("neither a message nor an error, or both")
		}
	})
}

// FuzzDescription reads descriptions before they are taken.
func FuzzDescription(f *testing.F) {
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=msid:a b\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := &peer{named: map[string]bool{}}
		d, err := c.inspect(text)
		if err != nil {
			return
		}
		if len(c.named) > maxCandidates || len(sections(d)) > maxSections {
			t.Fatalf("%d addresses and %d sections were taken", len(c.named), len(sections(d)))
		}
		taken := takes{}
		taken.learn(d)
		for kind, codecs := range taken {
			if len(codecs) > maxTaken {
				t.Fatalf("%d codecs of %s were taken", len(codecs), kind)
			}
		}
		refusedIn(d, d)
	})
}

// FuzzFeedback has feedback come that is anything.
func FuzzFeedback(f *testing.F) {
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0, 1, 1, 0x20, 1, 4, 0})
	f.Add([]byte{0x81, 201, 0, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		out := new(transport)
		out.Next(1000, true)
		tap := buffers(out, &unread{tooMany: func() { t.Fatal("one is too many") }})(packetio.RTCPBufferPacket, 1)
		for range 2 {
			if n, err := tap.Write(b); err == nil && n != len(b) {
				t.Fatalf("%d of %d bytes are taken", n, len(b))
			}
		}
		if e := out.budget(1 << 20); e < estimates.Least || e > estimates.Most {
			t.Fatalf("%d bits per second", e)
		}
	})
}
