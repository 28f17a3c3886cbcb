package sfu

import (
	"testing"

	"causeway/sfu/signalling"
)

// TestSync has somebody resume, and say what they had: a track that they do without, one that is hidden, and tracks of their own, of which the server has
// one.
func TestSync(t *testing.T) {
	for name, atJoin := range map[string]bool{"in the join request": true, "afterwards": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
			camera, voice := alice.publish("camera", signalling.Camera), alice.publish("voice", signalling.Microphone)
			tracks := bob.awaitKinds()
			mine := bob.publish("mine", signalling.Camera)
			alice.awaitTrackOf(mine.sid)
			_ = bob.conn.CloseNow()
			bob.awaitEnd()
			state := &signalling.SyncState{
				Subscription:      &signalling.UpdateSubscription{TrackSIDs: []string{voice.sid}},
				TrackSIDsDisabled: []string{camera.sid, "TR_unknown"},
				PublishTracks: []signalling.TrackPublished{
					{CID: "mine", Track: &signalling.TrackInfo{SID: mine.sid}}, {CID: "lost", Track: &signalling.TrackInfo{SID: "TR_lost"}}, {CID: "none"},
				},
			}
			join := &signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.sid}
			if atJoin {
				join.SyncState = state
			}
			bob.dial(join)
			bob.await("to be back", func(m *signalling.SignalResponse) bool { return m.Reconnect != nil })
			if !atJoin {
				bob.send(&signalling.SignalRequest{SyncState: state})
			}
			m := bob.await("to hear of its lost track", func(m *signalling.SignalResponse) bool { return m.TrackUnpublished != nil })
			if m.TrackUnpublished.TrackSID != "TR_lost" {
				t.Errorf("%s was called lost", m.TrackUnpublished.TrackSID)
			}
			alice.await("to hear that nobody looks", func(m *signalling.SignalResponse) bool {
				u := m.SubscribedQualityUpdate
				return u != nil && u.TrackSID == camera.sid && !u.SubscribedQualities[0].Enabled
			})
			bob.awaitSilence(tracks["video"])
			bob.awaitSilence(tracks["audio"])
			bob.pong(1)
			bob.mu.Lock()
			defer bob.mu.Unlock()
			unpublished := 0
			for _, m := range bob.got {
				if m.TrackUnpublished != nil {
					unpublished++
				}
			}
			if unpublished != 1 {
				t.Errorf("%d tracks were called lost", unpublished)
			}
		})
	}
}

// TestRareRequests has what clients ask for now and then be answered, or refused so that they hear of it, and what needs no answer be taken.
func TestRareRequests(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	camera := alice.publish("camera", signalling.Camera)
	bob.awaitTrackOf(camera.sid)
	at := int64(7)
	alice.send(&signalling.SignalRequest{Ping: &at})
	alice.await("for a pong of old", func(m *signalling.SignalResponse) bool { return m.Pong != nil && *m.Pong > 0 })

	alice.send(&signalling.SignalRequest{UpdateAudioTrack: &signalling.UpdateLocalAudioTrack{TrackSID: camera.sid, Features: []int32{1}}})
	alice.send(&signalling.SignalRequest{UpdateVideoTrack: &signalling.UpdateLocalVideoTrack{TrackSID: "TR_unknown", Width: 1, Height: 1}})
	alice.send(&signalling.SignalRequest{UpdateVideoTrack: &signalling.UpdateLocalVideoTrack{TrackSID: camera.sid, Width: 360, Height: 640}})
	bob.awaitUpdate("for the picture to be turned", "alice", func(p *signalling.ParticipantInfo) bool {
		return len(p.Tracks) == 1 && p.Tracks[0].Width == 360 && p.Tracks[0].Height == 640
	})

	for i, m := range []*signalling.SignalRequest{
		{PublishDataTrack: &signalling.Unsupported{}}, {UnpublishDataTrack: &signalling.Unsupported{}},
		{StoreDataBlob: &signalling.Unsupported{RequestID: 22}}, {GetDataBlob: &signalling.Unsupported{RequestID: 23}},
	} {
		alice.send(m)
		r := alice.await("to be refused", func(m *signalling.SignalResponse) bool { return m.RequestResponse != nil }).RequestResponse
		if want := []uint32{0, 0, 22, 23}[i]; r.Reason != signalling.RequestUnsupportedType || r.RequestID != want || r.Message == "" {
			t.Errorf("request %d: got %+v", i, r)
		}
	}
	alice.pong(1)
}

// TestSimulate has clients ask to be put out, as tests of clients do: they are told to begin anew, and can.
func TestSimulate(t *testing.T) {
	yes := true
	for name, test := range map[string]struct {
		scenario signalling.SimulateScenario
		want     signalling.DisconnectReason
	}{
		"server leave":   {signalling.SimulateScenario{ServerLeave: &yes}, signalling.ServerShutdown},
		"node failure":   {signalling.SimulateScenario{NodeFailure: &yes}, signalling.StateMismatch},
		"full reconnect": {signalling.SimulateScenario{LeaveRequestFullReconnect: &yes}, signalling.StateMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
			alice.send(&signalling.SignalRequest{Simulate: &test.scenario})
			if l := alice.awaitLeave(); l.Reason != test.want || l.Action != signalling.Reconnect || !l.CanReconnect {
				t.Errorf("got %+v", l)
			}
			alice.awaitEnd()
			bob.awaitUpdate("for alice to go", "alice", func(p *signalling.ParticipantInfo) bool { return p.State == signalling.Disconnected })
			w.join("room", "alice", everything)
		})
	}
}
