package sfu

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

// talk is the data channels of a client, which are open.
type talk struct {
	c        *client
	channels map[string]*webrtc.DataChannel
	got      chan *signalling.DataPacket
}

// talks joins with data channels, and waits until they are open.
func (w *world) talks(identity string, may Permission) *talk {
	w.t.Helper()
	c := w.client(token(w.t, "room", identity, may), identity, true)
	k := &talk{c: c, channels: map[string]*webrtc.DataChannel{}, got: make(chan *signalling.DataPacket, 1000)}
	opened := make(chan struct{}, 2)
	c.onChannel = func(d *webrtc.DataChannel) {
		k.channels[d.Label()] = d
		d.OnOpen(func() { opened <- struct{}{} })
		d.OnMessage(func(m webrtc.DataChannelMessage) {
			p := new(signalling.DataPacket)
			if err := signalling.Unmarshal(m.Data, p); err != nil {
				w.t.Error(err)
			}
			k.got <- p
		})
	}
	c.connect(nil)
	for range 2 {
		select {
		case <-opened:
		case <-time.After(within):
			w.t.Fatalf("the channels of %s do not open", identity)
		}
	}
	return k
}

func (k *talk) send(label string, p *signalling.DataPacket) {
	k.c.t.Helper()
	if err := k.channels[label].Send(signalling.Marshal(p)); err != nil {
		k.c.t.Fatal(err)
	}
}

func (k *talk) await() *signalling.DataPacket {
	k.c.t.Helper()
	select {
	case p := <-k.got:
		return p
	case <-time.After(within):
		k.c.t.Fatalf("%s waits for a packet", k.c.identity)
	}
	return nil
}

// TestData has packets go to everybody, or to those that they name, and from nobody but who has sent them.
func TestData(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.talks("alice", everything), w.talks("bob", everything), w.talks("carol", everything)
	silent := everything
	silent.Data = false
	mute := w.talks("mute", silent)

	say := func(text string) *signalling.UserPacket { return &signalling.UserPacket{Payload: []byte(text)} }
	alice.send(labelReliable, &signalling.DataPacket{
		ParticipantIdentity: "bob", ParticipantSID: "PA_forged", Sequence: 1,
		User: &signalling.UserPacket{ParticipantIdentity: "bob", ParticipantSID: "PA_forged", Payload: []byte("to all")},
	})
	for _, k := range []*talk{bob, carol, mute} {
		p := k.await()
		if string(p.User.Payload) != "to all" || p.ParticipantIdentity != "alice" || p.ParticipantSID != alice.c.sid ||
			p.User.ParticipantIdentity != "alice" || p.User.ParticipantSID != alice.c.sid || p.Kind != signalling.Reliable {
			t.Errorf("%s got %+v of %+v", k.c.identity, p, p.User)
		}
	}
	alice.send(labelReliable, &signalling.DataPacket{DestinationIdentities: []string{"carol"}, User: say("to carol"), Sequence: 2})
	alice.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte("by SID"), DestinationSIDs: []string{carol.c.sid}}, Sequence: 3})
	mute.send(labelReliable, &signalling.DataPacket{User: say("not allowed"), Sequence: 1})
	alice.send(labelReliable, &signalling.DataPacket{User: say("again"), Sequence: 3}) // it came before
	alice.send(labelReliable, &signalling.DataPacket{User: say("last"), Sequence: 4})
	for _, want := range []string{"to carol", "by SID", "last"} {
		if p := carol.await(); string(p.User.Payload) != want {
			t.Errorf("carol got %q, want %q", p.User.Payload, want)
		}
	}
	if p := bob.await(); string(p.User.Payload) != "last" {
		t.Errorf("bob got %q", p.User.Payload)
	}
	bob.send(labelLossy, &signalling.DataPacket{User: say("lossy")})
	if p := alice.await(); string(p.User.Payload) != "lossy" || p.Kind != signalling.Lossy || p.ParticipantIdentity != "bob" {
		t.Errorf("alice got %+v", p)
	}
}

// TestDataMissed has somebody whose signalling comes back get what it has missed.
func TestDataMissed(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.talks("alice", everything), w.talks("bob", everything)
	for n := uint32(1); n <= 3; n++ {
		alice.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte{byte(n)}}, Sequence: n})
		bob.await()
	}
	_ = bob.c.conn.CloseNow()
	bob.c.awaitEnd()
	bob.c.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.c.sid, SyncState: &signalling.SyncState{
		DataChannelReceiveStates: []signalling.DataChannelReceiveState{{PublisherSID: alice.c.sid, LastSeq: 1}},
	}})
	for n := byte(2); n <= 3; n++ {
		if p := bob.await(); p.User.Payload[0] != n || p.Sequence != uint32(n) {
			t.Errorf("got %+v, want %d", p, n)
		}
	}
	// What was said before somebody came is not for them, whatever they say that they have.
	carol := w.talks("carol", everything)
	carol.c.send(&signalling.SignalRequest{SyncState: &signalling.SyncState{
		DataChannelReceiveStates: []signalling.DataChannelReceiveState{{PublisherSID: alice.c.sid}},
	}})
	carol.c.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 1}})
	carol.c.await("for a pong", func(m *signalling.SignalResponse) bool { return m.PongResp != nil })
	alice.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte{4}}, Sequence: 4})
	if p := carol.await(); p.Sequence != 4 {
		t.Errorf("carol got number %d", p.Sequence)
	}
}

// TestMetadata has somebody say something of themselves, if they may.
func TestMetadata(t *testing.T) {
	w := newWorld(t)
	not := everything
	not.Metadata = false
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", not)
	ask := func(c *client, u *signalling.UpdateParticipantMetadata) signalling.RequestReason {
		c.send(&signalling.SignalRequest{UpdateMetadata: u})
		return c.await("for an answer", func(m *signalling.SignalResponse) bool {
			return m.RequestResponse != nil && m.RequestResponse.RequestID == u.RequestID
		}).RequestResponse.Reason
	}
	if r := ask(bob, &signalling.UpdateParticipantMetadata{Metadata: "x", RequestID: 1}); r != signalling.RequestNotAllowed {
		t.Errorf("bob: %d", r)
	}
	if r := ask(alice, &signalling.UpdateParticipantMetadata{Metadata: string(make([]byte, maxMetadata+1)), RequestID: 2}); r != signalling.RequestLimitExceeded {
		t.Errorf("too long: %d", r)
	}
	if r := ask(alice, &signalling.UpdateParticipantMetadata{Metadata: "m", Name: "A", Attributes: map[string]string{"a": "1", "b": "2"}, RequestID: 3}); r != signalling.RequestOK {
		t.Errorf("alice: %d", r)
	}
	if r := ask(alice, &signalling.UpdateParticipantMetadata{Attributes: map[string]string{"a": ""}, RequestID: 4}); r != signalling.RequestOK {
		t.Errorf("alice: %d", r)
	}
	bob.awaitUpdate("for alice's metadata", "alice", func(p *signalling.ParticipantInfo) bool {
		return p.Metadata == "m" && p.Name == "A" && len(p.Attributes) == 1 && p.Attributes["b"] == "2"
	})
}

// TestHidden has somebody watch of whom nobody is told.
func TestHidden(t *testing.T) {
	w := newWorld(t)
	watcher := everything
	watcher.Hidden, watcher.Publish = true, false
	alice := w.join("room", "alice", everything)
	ghost := w.join("room", "ghost", watcher)
	ghost.awaitUpdate("to be active", "ghost", func(p *signalling.ParticipantInfo) bool { return p.State == signalling.Active })
	bob := w.client(token(t, "room", "bob", everything), "bob", true)
	bob.connect(nil)
	alice.awaitUpdate("for bob", "bob", func(*signalling.ParticipantInfo) bool { return true })
	for _, c := range []*client{alice, bob} {
		c.mu.Lock()
		for _, m := range c.got {
			if m.Join != nil {
				for _, p := range m.Join.OtherParticipants {
					if p.Identity == "ghost" {
						t.Errorf("%s was told of the ghost at joining", c.identity)
					}
				}
			}
			if m.Update != nil {
				for _, p := range m.Update.Participants {
					if p.Identity == "ghost" {
						t.Errorf("%s was told of the ghost", c.identity)
					}
				}
			}
		}
		c.mu.Unlock()
	}
}

// TestEarlyData keeps what is said to somebody whose channel is not open yet, and not more than so much.
func TestEarlyData(t *testing.T) {
	var c channels
	if c.send(nil, signalling.Lossy, []byte{1}) {
		t.Error("a lossy packet is kept")
	}
	n := 0
	for c.send(nil, signalling.Reliable, make([]byte, 1000)) {
		n++
	}
	if n != maxEarly {
		t.Errorf("%d packets are kept, want %d", n, maxEarly)
	}
	var large channels
	for n = 0; large.send(nil, signalling.Reliable, make([]byte, 60<<10)); n++ {
	}
	if large.earlySize > maxEarlyBytes || n == 0 {
		t.Errorf("%d bytes are kept, want at most %d", large.earlySize, maxEarlyBytes)
	}
}

// TestDeafToData has somebody who does not read what comes over the channels be put out once too much waits, while the others get all of it.
func TestDeafToData(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.talks("alice", everything), w.talks("bob", everything)
	deaf := w.client(token(t, "room", "deaf", everything), "deaf", true)
	opened, end := make(chan struct{}, 2), make(chan struct{})
	defer close(end)
	deaf.onChannel = func(d *webrtc.DataChannel) {
		d.OnOpen(func() { opened <- struct{}{} })
		d.OnMessage(func(webrtc.DataChannelMessage) { <-end })
	}
	deaf.connect(nil)
	for range 2 {
		<-opened
	}
	// What a connection keeps before it is read, and what may wait for that: the publisher can say so much at once.
	const size, packets = 60 << 10, 64
	for n := range packets {
		alice.send(labelReliable, &signalling.DataPacket{Sequence: uint32(n + 1), User: &signalling.UserPacket{Payload: make([]byte, size)}})
		if p := bob.await(); p.Sequence != uint32(n+1) {
			t.Fatalf("bob got number %d, want %d", p.Sequence, n+1)
		}
	}
	if l := deaf.awaitLeave(); l.Reason != signalling.StateMismatch {
		t.Errorf("got %+v", l)
	}
}

// packetOfSize makes a packet that is so many bytes long.
func packetOfSize(t *testing.T, size int) *signalling.DataPacket {
	t.Helper()
	p := &signalling.DataPacket{User: &signalling.UserPacket{Payload: bytes.Repeat([]byte{7}, size)}}
	p.User.Payload = p.User.Payload[:2*size-len(signalling.Marshal(p))]
	if n := len(signalling.Marshal(p)); n != size {
		t.Fatalf("got %d bytes, want %d", n, size)
	}
	return p
}

// TestDataSize has clients be told how long a packet may be. One that is as long comes whole, a longer one is refused by the sender's own end, and who
// sends it all the same is put out.
func TestDataSize(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.talks("alice", everything), w.talks("bob", everything)
	if answers, _ := alice.c.described(); !strings.Contains(answers[0], "\r\na=max-message-size:64000\r\n") {
		t.Errorf("the answer says nothing of how long messages may be:\n%s", answers[0])
	}
	long := packetOfSize(t, maxDataPacket)
	alice.send(labelReliable, long)
	if got := bob.await(); !bytes.Equal(got.User.Payload, long.User.Payload) {
		t.Errorf("bob got %d bytes, want %d", len(got.User.Payload), len(long.User.Payload))
	}
	longer := signalling.Marshal(packetOfSize(t, maxDataPacket+1))
	if err := alice.channels[labelReliable].Send(longer); err == nil {
		t.Error("a packet that is too long could be sent")
	}

	mallory := w.client(token(t, "room", "mallory", everything), "mallory", true)
	opened := make(chan *webrtc.DataChannel, 2)
	mallory.onChannel = func(d *webrtc.DataChannel) { d.OnOpen(func() { opened <- d }) }
	mallory.onAnswer = func(sdp string) string {
		return strings.Replace(sdp, "a=max-message-size:64000", "a=max-message-size:1000000", 1)
	}
	mallory.connect(nil)
	if err := (<-opened).Send(longer); err != nil {
		t.Fatal(err)
	}
	if l := mallory.awaitLeave(); l.Reason != signalling.StateMismatch {
		t.Errorf("got %+v", l)
	}
	alice.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte("goes on")}})
	if got := bob.await(); string(got.User.Payload) != "goes on" {
		t.Errorf("bob got %d bytes", len(got.User.Payload))
	}
}

// TestDataIsSlowed counts how many packets, and how many bytes, one participant may send at once, and then in a second.
func TestDataIsSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 60_000
		for what, c := range map[string]struct{ size, once, second int }{
			"packets": {100, dataPacketsBurst, dataPackets},
			"bytes":   {size, dataBytesBurst / size, dataBytes / size},
		} {
			var some channels
			dead := make(chan struct{})
			takes := func(packets int) time.Duration {
				begun := time.Now()
				for range packets {
					if !some.slow(dead, c.size) {
						t.Errorf("%s: one is not sent", what)
					}
				}
				return time.Since(begun)
			}
			if took := takes(c.once); took != 0 {
				t.Errorf("%s: %d take %v, want no time", what, c.once, took)
			}
			for range 3 {
				if took := takes(c.second); took < 900*time.Millisecond || took > 1100*time.Millisecond {
					t.Errorf("%s: %d more take %v, want a second", what, c.second, took)
				}
			}
			takes(c.second / 10)
			var others channels
			begun := time.Now()
			if !others.slow(dead, c.size) || time.Since(begun) != 0 {
				t.Errorf("%s: another participant waits for %v", what, time.Since(begun))
			}
			if close(dead); some.slow(dead, c.size) {
				t.Errorf("%s: who has gone while it waits sends one", what)
			}
		}
	})
}

// TestMuchData has somebody say more in a second than they may: all of it comes, in order, and not sooner than it may; what others say meanwhile does not wait.
func TestMuchData(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.talks("alice", everything), w.talks("bob", everything), w.talks("carol", everything)
	const packets = 2 * dataPacketsBurst
	begun := time.Now()
	for n := range packets {
		alice.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte("much")}, Sequence: uint32(n + 1)})
	}
	var last uint32
	overtaken := false
	for last < packets || !overtaken {
		p := bob.await()
		if p.ParticipantIdentity == "carol" {
			if overtaken = true; last == packets {
				t.Error("carol has waited for alice")
			}
			continue
		}
		if p.Sequence != last+1 {
			t.Fatalf("after %d came %d", last, p.Sequence)
		}
		if last = p.Sequence; last == dataPacketsBurst {
			carol.send(labelReliable, &signalling.DataPacket{User: &signalling.UserPacket{Payload: []byte("one")}, Sequence: 1})
		}
	}
	if took, least := time.Since(begun), time.Second*(packets-dataPacketsBurst)/dataPackets; took < least*9/10 {
		t.Errorf("%d packets came within %v, want %v at least", packets, took, least)
	}
}
