package sfu

import (
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

// awaitSilence reads a track until it has ended, or its sender has nothing to send: no packet for a while in which dozens
// would come.
func (c *client) awaitSilence(t *webrtc.TrackRemote) {
	c.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		_ = t.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := t.ReadRTP(); err != nil {
			return
		}
	}
	c.t.Fatalf("%s still gets packets", c.identity)
}

// TestAllow has somebody say who may have its tracks, and change that.
func TestAllow(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.join("room", "alice", everything), w.join("room", "bob", everything), w.join("room", "carol", everything)
	camera := alice.publish("camera", signalling.Camera)
	ofBob, ofCarol := bob.awaitTrack(), carol.awaitTrack()
	bob.awaitPackets(ofBob, 3)
	carol.awaitPackets(ofCarol, 3)

	alice.send(&signalling.SignalRequest{SubscriptionPermission: &signalling.SubscriptionPermission{
		TrackPermissions: []signalling.TrackPermission{{ParticipantIdentity: "carol", TrackSIDs: []string{camera.sid}}},
	}})
	m := bob.await("to hear of it", func(m *signalling.SignalResponse) bool { return m.SubscriptionPermissionUpdate != nil })
	if u := m.SubscriptionPermissionUpdate; u.Allowed || u.TrackSID != camera.sid || u.ParticipantSID != alice.sid {
		t.Errorf("got %+v", u)
	}
	bob.awaitSilence(ofBob)
	carol.awaitPackets(ofCarol, 20)

	alice.send(&signalling.SignalRequest{SubscriptionPermission: &signalling.SubscriptionPermission{AllParticipants: true}})
	m = bob.await("to hear of it", func(m *signalling.SignalResponse) bool { return m.SubscriptionPermissionUpdate != nil })
	if !m.SubscriptionPermissionUpdate.Allowed {
		t.Error("it is not allowed again")
	}
	bob.awaitPackets(bob.awaitTrack(), 5)
}

// TestUnsubscribe has somebody do without a track, and want it again, by either signalling.
func TestUnsubscribe(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.join("room", "alice", everything)
			camera := alice.publish("camera", signalling.Camera)
			bob := w.client(token(t, "room", "bob", everything), "bob", v1)
			bob.connect(nil)
			for range 3 {
				track := bob.awaitTrack()
				bob.awaitPackets(track, 5)
				bob.send(&signalling.SignalRequest{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{camera.sid}}})
				bob.awaitSilence(track)
				bob.send(&signalling.SignalRequest{Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{camera.sid}, Subscribe: true}})
			}
			bob.awaitPackets(bob.awaitTrack(), 5)
		})
	}
}
