package sfu

import (
	"testing"

	"causeway/sfu/signalling"
)

// TestSubscribeRight takes from somebody the right to see others, and gives it back.
func TestSubscribeRight(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice, carol := w.join("room", "alice", everything), w.join("room", "carol", everything)
			alice.publish("camera", signalling.Camera)
			ofCarol := carol.awaitTrack()
			bob := w.client(token(t, "room", "bob", everything), "bob", v1)
			bob.connect(nil)
			for range 2 {
				track := bob.awaitTrack()
				bob.awaitPackets(track, 5)
				may := everything
				may.Subscribe = false
				w.server.SetPermission("room", "bob", may)
				bob.awaitUpdate("to hear of it", "bob", func(p *signalling.ParticipantInfo) bool { return !p.Permission.CanSubscribe })
				bob.awaitSilence(track)
				carol.awaitPackets(ofCarol, 20)
				w.server.SetPermission("room", "bob", everything)
				bob.awaitUpdate("to hear of it", "bob", func(p *signalling.ParticipantInfo) bool { return p.Permission.CanSubscribe })
			}
			bob.awaitPackets(bob.awaitTrack(), 5)
		})
	}
}

// TestPublishRight takes from somebody the right to publish, and gives it back: they publish again in the same session.
func TestPublishRight(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	for _, cid := range []string{"first", "second"} {
		camera := alice.publish(cid, signalling.Camera)
		track := bob.awaitTrackOf(camera.sid)
		may := everything
		may.Publish = false
		w.server.SetPermission("room", "alice", may)
		alice.await("for its track to end", func(m *signalling.SignalResponse) bool {
			return m.TrackUnpublished != nil && m.TrackUnpublished.TrackSID == camera.sid
		})
		bob.awaitSilence(track)
		alice.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{CID: "no", Type: signalling.Video, Source: signalling.Camera}})
		alice.await("to be refused", func(m *signalling.SignalResponse) bool {
			return m.RequestResponse != nil && m.RequestResponse.Reason == signalling.RequestNotAllowed
		})
		w.server.SetPermission("room", "alice", everything)
		alice.awaitUpdate("to hear of it", "alice", func(p *signalling.ParticipantInfo) bool { return p.Permission.CanPublish })
	}
	bob.awaitTrackOf(alice.publish("third", signalling.Camera).sid)
}

// TestRemovedIsSilent puts somebody out who sees and is seen: no packet comes to them any more, and none of theirs.
func TestRemovedIsSilent(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.join("room", "alice", everything), w.join("room", "bob", everything), w.join("room", "carol", everything)
	ofBob := bob.publish("camera", signalling.Camera)
	toAlice, toCarol := alice.awaitTrackOf(ofBob.sid), carol.awaitTrackOf(ofBob.sid)
	ofAlice := alice.publish("camera", signalling.Camera)
	toBob := bob.awaitTrackOf(ofAlice.sid)
	w.server.Remove("room", "alice")
	alice.awaitEnd()
	bob.awaitUpdate("for alice to go", "alice", func(p *signalling.ParticipantInfo) bool { return p.State == signalling.Disconnected })
	alice.awaitSilence(toAlice)
	bob.awaitSilence(toBob)
	carol.awaitPackets(toCarol, 20)
	if got := w.server.Present("room"); len(got) != 2 {
		t.Errorf("in the room are %v", got)
	}
}

// TestWantsAgain has somebody do without a track and want it again before either is negotiated, again and again, by either signalling.
func TestWantsAgain(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.join("room", "alice", everything)
			camera := alice.publish("camera", signalling.Camera)
			bob := w.client(token(t, "room", "bob", everything), "bob", v1)
			bob.connect(nil)
			for range 3 {
				bob.awaitTrackOf(camera.sid)
				for _, want := range []bool{false, true} {
					bob.send(&signalling.SignalRequest{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{camera.sid}, Subscribe: want}})
				}
			}
			bob.awaitTrackOf(camera.sid)
		})
	}
}
