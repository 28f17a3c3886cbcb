package track

import "causeway/sfu/buffer"

// selection is which layers a subscriber is to get, and which it gets.
type selection struct {
	wantSpatial, wantTemporal int // -1 for none
	spatial, temporal         int // what it gets; -1 as long as there was no key frame

	// The frame of which packets are being decided on, so that all of its packets go the same way.
	deciding bool
	ts       uint32
	layer    uint8
	passed   bool
}

func newSelection() selection {
	return selection{wantSpatial: 0, wantTemporal: 3, spatial: -1, temporal: 0}
}

func (s *selection) want(spatial, temporal int) {
	s.wantSpatial, s.wantTemporal = spatial, temporal
	if spatial < 0 {
		s.lose()
	}
}

// lose waits for a key frame.
func (s *selection) lose() {
	s.spatial, s.temporal, s.deciding = -1, 0, false
}

// pass decides on a packet of a stream, and tells whether the stream changes with it.
func (s *selection) pass(stream int, scalable bool, p *buffer.Packet) (pass, change bool) {
	if s.wantSpatial < 0 {
		return false, false
	}
	if scalable {
		return s.passScalable(p)
	}
	if stream != s.spatial {
		if stream != s.wantSpatial || !p.Frame.Key || !p.Frame.Start {
			return false, false
		}
		change = true
		s.spatial, s.temporal, s.deciding = stream, s.wantTemporal, false
	}
	return s.decide(p, s.temporalPass), change
}

// decide asks once for each frame.
func (s *selection) decide(p *buffer.Packet, ask func(*buffer.Packet) bool) bool {
	if s.deciding && s.ts == p.TS && s.layer == p.Frame.Spatial {
		return s.passed
	}
	if s.deciding && int32(p.TS-s.ts) < 0 {
		return true // it comes late, of a frame that was decided on before
	}
	s.passed = ask(p)
	s.deciding, s.ts, s.layer = true, p.TS, p.Frame.Spatial
	return s.passed
}

func (s *selection) temporalPass(p *buffer.Packet) bool {
	t := int(p.Frame.Temporal)
	if s.temporal > s.wantTemporal {
		s.temporal = s.wantTemporal
	}
	if t > s.temporal {
		if t > s.wantTemporal || !p.Frame.Sync && !p.Frame.Key {
			return false
		}
		s.temporal = t
	}
	return true
}

func (s *selection) passScalable(p *buffer.Packet) (pass, change bool) {
	if s.spatial < 0 {
		if !p.Frame.Key || !p.Frame.Start || p.Frame.Spatial != 0 {
			return false, false
		}
		s.spatial, s.temporal, s.deciding = s.wantSpatial, s.wantTemporal, false
		change = true
	}
	return s.decide(p, s.scalablePass), change
}

func (s *selection) scalablePass(p *buffer.Packet) bool {
	spatial := int(p.Frame.Spatial)
	if spatial == 0 {
		// A picture begins: what is above is given up here, and had again where it can be.
		if s.spatial > s.wantSpatial {
			s.spatial = s.wantSpatial
		}
		if p.Frame.Key {
			s.spatial, s.temporal = s.wantSpatial, s.wantTemporal
		}
	}
	if spatial > s.spatial {
		if spatial > s.wantSpatial || !p.Frame.Up {
			return false
		}
		s.spatial = spatial
	}
	return s.temporalPass(p)
}
