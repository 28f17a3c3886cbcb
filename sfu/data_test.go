package sfu

import (
	"testing"
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
