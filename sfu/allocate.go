package sfu

import (
	"sync/atomic"
	"time"

	"causeway/sfu/bandwidth"
	"causeway/sfu/codec"
	"causeway/sfu/signalling"
	"causeway/sfu/track"
)

// share is what belongs to a participant's part of the bandwidth.
type share struct {
	allocator bandwidth.Allocator
	limit     int // by a test of a client, in bits per second; 0 for none
	estimate  atomic.Int64
	// prober is a track by which probes are sent. Anyone may read it.
	prober  atomic.Pointer[track.Down]
	probing atomic.Bool // a goroutine sends a probe
}

// allocate chooses the layers of all tracks that the participant gets, so that they fit.
func (p *Participant) allocate() {
	if p.subscriber == nil {
		return
	}
	var tracks []bandwidth.Track
	var of []*subscription
	var prober *track.Down
	for _, s := range p.inOrder() {
		if s.down == nil {
			continue
		}
		t := s.wanted()
		t.Keep = !p.mayPause()
		if !t.Audio && t.Spatial >= 0 {
			prober = s.down
		}
		tracks, of = append(tracks, t), append(of, s)
	}
	p.share.prober.Store(prober)
	p.subscriber.out.pictures.Store(prober != nil)
	budget := p.subscriber.out.budget(bandwidth.Wanted(tracks))
	p.share.estimate.Store(int64(budget))
	if p.share.limit > 0 {
		budget = min(budget, p.share.limit)
	}
	var states []signalling.StreamStateInfo
	for i, c := range p.share.allocator.Allocate(micros(), budget, tracks) {
		s := of[i]
		if c.Paused != s.paused {
			s.paused = c.Paused
			state := signalling.StreamActive
			if c.Paused {
				state = signalling.StreamPaused
			}
			states = append(states, signalling.StreamStateInfo{ParticipantSID: s.pub.owner.sid, TrackSID: s.pub.sid, State: state})
		}
		s.selectLayers(c.Spatial, c.Temporal)
	}
	if len(states) > 0 {
		p.send(&signalling.SignalResponse{StreamStateUpdate: &signalling.StreamStateUpdate{StreamStates: states}})
	}
}

// mayPause is whether the client says that what does not fit may be paused. Unless it does, the lowest layer of everything is sent: computers that are
// busy are late as networks are, and a picture that stands still for that is worse than one that is late. LiveKit does the same.
func (p *Participant) mayPause() bool {
	return p.settings.SubscriberAllowPause != nil && *p.settings.SubscriberAllowPause
}

// wanted is the track as the allocator needs to know it.
func (s *subscription) wanted() bandwidth.Track {
	info := s.pub.info.Load()
	t := bandwidth.Track{
		ID: s.pub.sid, Audio: info.Type == signalling.Audio,
		Screen:  info.Source == signalling.ScreenShare || info.Source == signalling.ScreenShareAudio,
		Speaker: s.p.room.speakers.speaks(s.pub.owner.sid),
		Spatial: s.quality(), Temporal: codec.MaxTemporal - 1,
		Bits: s.down.Up().Bitrates(),
	}
	if fps := s.settings.FPS; fps > 0 && !t.Audio {
		t.Temporal = s.frequency(t.Spatial, fps)
	}
	if n := s.settings.Priority; n > 0 {
		t.Priority = maxPriority - int(min(n, maxPriority-1))
	}
	if t.Audio && t.Spatial >= 0 {
		t.Spatial = 0
	}
	return t
}

// maxPriority bounds what clients say of priorities, of which 1 is the highest.
const maxPriority = 1000

// selectLayers selects what is sent.
func (s *subscription) selectLayers(spatial, temporal int) {
	if spatial < 0 {
		spatial, temporal = -1, 0
	}
	if wantSpatial, wantTemporal, _ := s.down.Selected(); wantSpatial != spatial || wantTemporal != temporal {
		s.down.Select(spatial, temporal)
	}
}

// probe begins to find out whether more comes through, if it is time for that: for a moment more is sent, every probeTick as much as is due.
func (p *Participant) probe() {
	if !p.sendProbe() || p.share.probing.Swap(true) {
		return
	}
	p.server.sessions.Go(func() {
		defer p.share.probing.Store(false)
		tick := time.NewTicker(probeTick)
		defer tick.Stop()
		for {
			select {
			case <-p.dead:
				return
			case <-tick.C:
				if !p.sendProbe() {
					return
				}
			}
		}
	})
}

// sendProbe sends what is due of a probe, and is false when none is on its way. It may be called from anywhere.
func (p *Participant) sendProbe() (running bool) {
	defer p.contained()
	d := p.share.prober.Load()
	if d == nil {
		return false
	}
	bytes, running := p.out.Load().probe()
	if bytes > 0 {
		d.Probe(bytes)
	}
	return running
}

// probeTick is how often a part of a probe is sent.
const probeTick = 5 * time.Millisecond
