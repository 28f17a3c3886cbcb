package sfu

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"
)

// hold keeps a participant's goroutine busy until it is let go.
func (w *world) hold(identity string) (p *Participant, letGo func()) {
	w.t.Helper()
	p = w.server.find("room", identity)
	if p == nil {
		w.t.Fatalf("%s is not there", identity)
	}
	held, free := make(chan struct{}), make(chan struct{})
	p.post(func() { close(held); <-free })
	<-held
	return p, func() { close(free) }
}

// waiting is how much waits for a participant's goroutine.
func (p *Participant) waiting() int {
	p.mail.mu.Lock()
	defer p.mail.mu.Unlock()
	return len(p.mail.posted)
}

// ringAgain rings the bell that a test has heard in the place of the participant's goroutine.
func (p *Participant) ringAgain() {
	select {
	case p.mail.bell <- struct{}{}:
	default:
	}
}

// answers waits until a participant's goroutine has done what was posted.
func (p *Participant) answers(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	if !p.post(func() { close(done) }) {
		t.Fatal("the participant has gone")
	}
	select {
	case <-done:
	case <-time.After(within):
		t.Fatal("the participant does nothing any more")
	}
}

func (c *client) pong(n int64) {
	c.t.Helper()
	c.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: n}})
	c.await("for a pong", func(m *signalling.SignalResponse) bool { return m.PongResp != nil && m.PongResp.LastPingTimestamp == n })
}

// TestSessionEndsBusy has signalling end while more has come than is done: the participant goes on.
func TestSessionEndsBusy(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	p, letGo := w.hold("alice")
	for range 500 {
		alice.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 1}})
	}
	for p.waiting() < 64 {
		<-p.mail.bell
	}
	p.ringAgain()
	bob.pong(1) // meanwhile the next message is read, and waits
	p.session.cut()
	alice.awaitEnd()
	letGo()
	p.answers(t)
}

// TestResumeOfGone has somebody come back at the moment in which they are put out.
func TestResumeOfGone(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	p, letGo := w.hold("alice")
	w.server.Remove("room", "alice")
	<-p.mail.bell
	back := w.client(alice.token, "alice", true)
	back.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: alice.sid})
	for range 2 { // what is posted now: a tick of the room, or that she is back
		<-p.mail.bell
	}
	p.ringAgain()
	letGo()
	if l := back.awaitLeave(); l.Action != signalling.Reconnect {
		t.Errorf("got %+v", l)
	}
	back.awaitEnd()
	alice.awaitLeave()
}

// TestJoinIsFirst has a room be busy before somebody who comes is told that they are in: clients take no other message first.
func TestJoinIsFirst(t *testing.T) {
	var w *world
	w = newWorld(t, func(c *Config) {
		c.Joined = func(who Presence, _ Permission) {
			p := w.server.find(who.Room, who.Identity)
			p.post(p.tick)
			p.room.changed(p)
		}
	})
	alice := w.join("room", "alice", everything)
	alice.mu.Lock()
	defer alice.mu.Unlock()
	if alice.got[0].Join == nil {
		t.Errorf("the first message is %+v", alice.got[0])
	}
}

// TestUnknownTrack has tracks be announced as other codecs of one that is not there.
func TestUnknownTrack(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.Tracks = 3 })
	alice := w.join("room", "alice", everything)
	for range 100 {
		alice.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{CID: "c", SID: "TR_none", Type: signalling.Video}})
		m := alice.await("for an answer", func(m *signalling.SignalResponse) bool { return m.TrackPublished != nil || m.RequestResponse != nil })
		if m.RequestResponse == nil || m.RequestResponse.Reason != signalling.RequestNotFound {
			t.Fatalf("got %+v", m)
		}
	}
}

// TestManyCodecs has more and more codecs be announced for a track.
func TestManyCodecs(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	camera := alice.publish("camera", signalling.Camera)
	alice.awaitUpdate("for its packets to come", "alice", func(p *signalling.ParticipantInfo) bool { return len(p.Tracks) == 1 })
	codecs := []signalling.SimulcastCodec{{Codec: "vp9", CID: "x"}, {Codec: "av1", CID: "y"}}
	for i, want := range []bool{true, true, false, false} {
		alice.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{
			CID: "camera", SID: camera.sid, Type: signalling.Video, Source: signalling.Camera, SimulcastCodecs: codecs,
		}})
		m := alice.await("for an answer", func(m *signalling.SignalResponse) bool { return m.TrackPublished != nil || m.RequestResponse != nil })
		if got := m.TrackPublished != nil; got != want {
			t.Errorf("%d: got %+v", i, m.RequestResponse)
		}
	}
}

// TestLargeAnnouncements has tracks be announced at length, of which everybody would be told.
func TestLargeAnnouncements(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	long := strings.Repeat("x", 100<<10)
	for name, add := range map[string]*signalling.AddTrackRequest{
		"codec":    {CID: "c", SimulcastCodecs: []signalling.SimulcastCodec{{Codec: long}}},
		"cid":      {CID: "c", SimulcastCodecs: []signalling.SimulcastCodec{{CID: long}}},
		"layer":    {CID: "c", Layers: []signalling.VideoLayer{{RID: long}}},
		"features": {CID: "c", AudioFeatures: slices.Repeat([]int32{1 << 20}, 8000)},
	} {
		alice.send(&signalling.SignalRequest{AddTrack: add})
		m := alice.await("for an answer", func(m *signalling.SignalResponse) bool { return m.TrackPublished != nil || m.RequestResponse != nil })
		if m.RequestResponse == nil || m.RequestResponse.Reason != signalling.RequestLimitExceeded {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// TestAttributesGrow has somebody say ever more of themselves, each time a little.
func TestAttributesGrow(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	var last signalling.RequestReason
	for n := range uint32(20) {
		alice.send(&signalling.SignalRequest{UpdateMetadata: &signalling.UpdateParticipantMetadata{
			RequestID: n + 1, Attributes: map[string]string{fmt.Sprint(n): strings.Repeat("x", 10<<10)},
		}})
		last = alice.await("for an answer", func(m *signalling.SignalResponse) bool {
			return m.RequestResponse != nil && m.RequestResponse.RequestID == n+1
		}).RequestResponse.Reason
	}
	if size := sizeOf(w.server.find("room", "alice").info.Load().Attributes); last != signalling.RequestLimitExceeded || size > maxAttributes {
		t.Errorf("got %d, with %d bytes", last, size)
	}
}

// TestLargeMetadataAtJoin has somebody come in with more than they may say later.
func TestLargeMetadataAtJoin(t *testing.T) {
	w := newWorld(t)
	tok := token(t, "room", "alice", everything)
	for name, join := range map[string]*signalling.JoinRequest{
		"metadata":   {Metadata: strings.Repeat("x", maxMetadata+1)},
		"attributes": {ParticipantAttributes: map[string]string{"a": strings.Repeat("x", maxAttributes)}},
	} {
		status, text := w.status(joinPath(tok, signalling.Marshal(&signalling.WrappedJoinRequest{JoinRequest: signalling.Marshal(join)})))
		if status != 400 || !strings.Contains(text, "longer than") {
			t.Errorf("%s: got %d %q", name, status, text)
		}
	}
}

// TestOneNamedOften has a client name one track thousands of times: its publisher looks once.
func TestOneNamedOften(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	camera := alice.publish("camera", signalling.Camera)
	bob := w.join("room", "bob", everything)
	bob.awaitPackets(bob.awaitTrack(), 1)
	p, letGo := w.hold("alice")
	defer letGo()
	sids := make([]string, 8000)
	for i := range sids {
		sids[i] = camera.sid
	}
	for i := range uint32(3) {
		bob.send(&signalling.SignalRequest{TrackSetting: &signalling.UpdateTrackSettings{TrackSIDs: sids, Quality: signalling.VideoQuality(i)}})
		bob.send(&signalling.SignalRequest{TrackSetting: &signalling.UpdateTrackSettings{TrackSIDs: sids, Quality: -7}})
	}
	bob.pong(5)
	if n := p.waiting(); n > 200 {
		t.Errorf("%d things wait for the publisher", n)
	}
}

// TestNewsAreFew has somebody change all the time what others are told of them: others are told of it now and then, and of the last of it.
func TestNewsAreFew(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	p, letGo := w.hold("bob")
	for n := range 3000 {
		alice.send(&signalling.SignalRequest{UpdateMetadata: &signalling.UpdateParticipantMetadata{Metadata: fmt.Sprint(n)}})
	}
	alice.send(&signalling.SignalRequest{UpdateMetadata: &signalling.UpdateParticipantMetadata{Metadata: "last"}})
	alice.pong(9)
	if n := p.waiting(); n > 1000 {
		t.Errorf("%d things wait for who is told", n)
	}
	letGo()
	bob.awaitUpdate("for the last of it", "alice", func(i *signalling.ParticipantInfo) bool { return i.Metadata == "last" })
}

// TestWishes has a client name tracks without end, at length.
func TestWishes(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	p := w.server.find("room", "alice")
	for n := range 3 {
		u := &signalling.UpdateSubscription{Subscribe: true, TrackSIDs: []string{strings.Repeat("x", 100<<10)}}
		for i := range 4000 {
			u.TrackSIDs = append(u.TrackSIDs, fmt.Sprint(n, " ", i))
		}
		alice.send(&signalling.SignalRequest{Subscription: u})
	}
	alice.pong(1)
	var known int
	longest := 0
	p.post(func() {
		known = len(p.wishes)
		for sid := range p.wishes {
			longest = max(longest, len(sid))
		}
	})
	p.answers(t)
	if known > maxWishes || longest > maxSID {
		t.Errorf("%d are known, the longest of %d bytes", known, longest)
	}
	alice.send(&signalling.SignalRequest{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{"a new one"}}})
	alice.pong(2)
	p.post(func() {
		if want, ok := p.wishes["a new one"]; !ok || want {
			t.Error("what is new is not taken any more")
		}
	})
	p.answers(t)
}

// TestDescriptions has descriptions that are too much, or would have us send to addresses at which nobody has asked for it.
func TestDescriptions(t *testing.T) {
	w := newWorld(t)
	c := w.client("", "x", true)
	c.pc = c.newPC()
	c.sections(1, 0)
	good := c.mustDescribe()
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return good + b.String()
	}
	for name, test := range map[string]struct {
		sdp  string
		want signalling.DisconnectReason
	}{
		"ICE-lite":           {strings.Replace(good, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1), signalling.MediaFailure},
		"ICE-lite in a part": {good + "a=ice-lite\r\n", signalling.MediaFailure},
		"many sections":      {many(maxSections+1, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:s%d\r\na=recvonly\r\n"), signalling.MediaFailure},
		"many addresses":     {many(maxCandidates+1, "a=candidate:1 1 udp 1 192.0.2.1 %d typ host\r\n"), signalling.MediaFailure},
	} {
		mallory := w.join("room", "mallory", everything)
		mallory.send(&signalling.SignalRequest{Offer: &signalling.SessionDescription{Type: "offer", SDP: test.sdp, ID: 2}})
		mallory.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 77}})
		m := mallory.await("for an end", func(m *signalling.SignalResponse) bool {
			return m.Leave != nil || m.PongResp != nil && m.PongResp.LastPingTimestamp == 77
		})
		if m.Leave == nil || m.Leave.Reason != test.want {
			t.Errorf("%s: it was taken", name)
		}
	}
	mallory := w.join("room", "mallory", everything)
	for n := range maxCandidates + 100 {
		mallory.send(&signalling.SignalRequest{Trickle: &signalling.TrickleRequest{
			CandidateInit: fmt.Sprintf(`{"candidate":"candidate:1 1 udp 1 192.0.2.1 %d typ host","sdpMid":"0"}`, 1000+n),
		}})
	}
	mallory.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 78}})
	m := mallory.await("for an end", func(m *signalling.SignalResponse) bool {
		return m.Leave != nil || m.PongResp != nil && m.PongResp.LastPingTimestamp == 78
	})
	if m.Leave == nil || m.Leave.Reason != signalling.MediaFailure {
		t.Error("thousands of addresses were taken")
	}
}

// TestAnswerOfLite is TestDescriptions for the offers of v0, which clients answer.
func TestAnswerOfLite(t *testing.T) {
	w := newWorld(t)
	alice := w.client(token(t, "room", "alice", everything), "alice", false)
	alice.dial(&signalling.JoinRequest{})
	offer := alice.await("for an offer", func(m *signalling.SignalResponse) bool { return m.Offer != nil }).Offer
	pc := alice.newPC()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		t.Fatal(err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	alice.send(&signalling.SignalRequest{Answer: &signalling.SessionDescription{
		Type: "answer", ID: offer.ID, SDP: strings.Replace(answer.SDP, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1),
	}})
	alice.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 7}})
	m := alice.await("for an end", func(m *signalling.SignalResponse) bool {
		return m.Leave != nil || m.PongResp != nil && m.PongResp.LastPingTimestamp == 7
	})
	if m.Leave == nil || m.Leave.Reason != signalling.MediaFailure {
		t.Error("it was taken")
	}
}

// TestManyChannels opens data channels without end.
func TestManyChannels(t *testing.T) {
	w := newWorld(t)
	alice := w.talks("alice", everything)
	for i := range 3 * maxChannels {
		if _, err := alice.c.pc.CreateDataChannel(fmt.Sprint("channel ", i), nil); err != nil {
			if i < maxChannels/2 {
				t.Fatal(err)
			}
			break // she is out by now
		}
	}
	if l := alice.c.awaitLeave(); l.Reason != signalling.StateMismatch {
		t.Errorf("got %+v", l)
	}
}

// TestManyStreams has streams come without end, by packets that name them.
func TestManyStreams(t *testing.T) {
	for kind, most := range map[packetio.BufferPacketType]int{packetio.RTPBufferPacket: maxStreams, packetio.RTCPBufferPacket: maxFeedback} {
		over := 0
		made := buffers(new(transport), &unread{tooMany: func() { over++ }})
		for n := range 2 * most { // those that end make room
			b := made(kind, uint32(n))
			_ = b.Close()
			_ = b.Close()
		}
		for n := range most {
			made(kind, uint32(n))
		}
		if over != 0 {
			t.Errorf("%d are too many", most)
		}
		made(kind, uint32(most))
		if over != 1 {
			t.Errorf("%d are not too many", most+1)
		}
	}
}

// TestReliableLog has a publisher send large packets: what is kept of them is bounded.
func TestReliableLog(t *testing.T) {
	var c channels
	for n := range uint32(1000) {
		c.keep(&signalling.DataPacket{Sequence: n + 1, User: &signalling.UserPacket{Payload: make([]byte, 60<<10)}}, 60<<10)
	}
	size := 0
	for _, p := range c.since(0, time.Time{}) {
		size += len(p.User.Payload)
	}
	if size > maxReliableBytes || size < maxReliableBytes/2 {
		t.Errorf("%d bytes are kept", size)
	}
	if last := c.since(999, time.Time{}); len(last) != 1 {
		t.Errorf("the last one is not")
	}
}

// TestForgedSpeaker has somebody tell others who speaks.
func TestForgedSpeaker(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.talks("alice", everything), w.talks("bob", everything)
	alice.send(labelReliable, &signalling.DataPacket{Rest: []byte{0x1a, 0x00}, Sequence: 1})
	alice.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte("hello")}, Sequence: 2})
	if p := bob.await(); p.TellsSpeakers() || p.User == nil {
		t.Errorf("got %+v", p)
	}
}

// TestMissedDeparture has somebody go while another's signalling is away.
func TestMissedDeparture(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	alice.awaitUpdate("for bob", "bob", func(*signalling.ParticipantInfo) bool { return true })
	_ = bob.conn.CloseNow()
	bob.awaitEnd()
	w.server.find("room", "bob").answers(t)
	alice.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}})
	alice.awaitEnd()
	bob.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.sid})
	bob.awaitUpdate("for alice to be gone", "alice", func(i *signalling.ParticipantInfo) bool {
		return i.SID == alice.sid && i.State == signalling.Disconnected
	})
}

// TestPanics has what goes wrong in one participant, wherever it runs, end that one and no other.
func TestPanics(t *testing.T) {
	w := newWorld(t)
	bob := w.join("room", "bob", everything)
	for name, fail := range map[string]func(p *Participant){
		"its goroutine": func(p *Participant) { p.post(func() { panic("test") }) },
		"another one":   func(p *Participant) { go p.contain(func() { panic("test") }) },
		"its end": func(p *Participant) {
			p.post(func() { p.publisher.pc = nil }) // which is to be closed
			p.Leave(signalling.ParticipantRemoved)
		},
	} {
		alice := w.join("room", "alice", everything)
		fail(w.server.find("room", "alice"))
		alice.awaitLeave()
		bob.awaitUpdate("for alice to go: "+name, "alice", func(i *signalling.ParticipantInfo) bool {
			return i.SID == alice.sid && i.State == signalling.Disconnected
		})
	}
	bob.pong(1)
}

// TestSyncNamesMany has a client that resumes name publishers without end.
func TestSyncNamesMany(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.talks("alice", everything), w.talks("bob", everything)
	for n := range uint32(100) {
		alice.send(labelReliable, &signalling.DataPacket{Sequence: n + 1, User: &signalling.UserPacket{Payload: bytes.Repeat([]byte{1}, 5000)}})
		bob.await()
	}
	states := make([]signalling.DataChannelReceiveState, 8000)
	for i := range states {
		states[i].PublisherSID = alice.c.sid
	}
	bob.c.send(&signalling.SignalRequest{SyncState: &signalling.SyncState{DataChannelReceiveStates: states}})
	bob.c.pong(1)
	for range 100 {
		bob.await()
	}
	alice.send(labelReliable, &signalling.DataPacket{Sequence: 101, User: &signalling.UserPacket{}})
	if p := bob.await(); p.Sequence != 101 {
		t.Errorf("got %d again", p.Sequence)
	}
}

// TestComesTooOften has somebody come in again and again: they are refused, and another one is not.
func TestComesTooOften(t *testing.T) {
	w := newWorld(t)
	for range attemptsBurst {
		w.client(token(t, "room", "alice", everything), "alice", true).dial(&signalling.JoinRequest{})
	}
	c := w.client(token(t, "room", "alice", everything), "alice", true)
	_, r, err := websocket.Dial(t.Context(), c.address(&signalling.JoinRequest{}), nil)
	if err == nil || r == nil || r.StatusCode != 429 {
		t.Errorf("got %v, %v, want 429", r, err)
	}
	w.join("room", "bob", everything)
	var a attempts
	for n := range 3 * maxAttempts {
		if !a.take("room", fmt.Sprint(n)) {
			t.Fatal("the first attempt is too often")
		}
	}
	if len(a.of) > maxAttempts {
		t.Errorf("%d are remembered", len(a.of))
	}
}
