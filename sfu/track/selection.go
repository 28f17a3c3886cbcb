package track

import (
	"causeway/sfu/buffer"
	"causeway/sfu/codec"
)

// selection is which layers a subscriber is to get, and which it gets.
type selection struct {
	wantSpatial, wantTemporal int // -1 for none
	spatial, temporal         int // what it gets; -1 as long as there was no key frame

	// The frames that were decided on last, so that all packets of each go the same way, those that are late, too.
	decisions [recentDecisions]decision
	n         int
}

const recentDecisions = 32

// decision is what was decided on a frame.
type decision struct {
	made   bool
	passed bool
	stream int8
	layer  uint8
	ts     uint32
}

// verdict is what is done with a packet.
type verdict int8

const (
	elsewhere verdict = iota // it is of a stream that the subscriber does not get
	dropped                  // it is left out
	passed                   // it is handed on
	begins                   // it is, and is the first of its stream
)

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
func (s *selection) lose() { s.spatial, s.temporal = -1, 0 }

// pass decides on a packet of a stream.
func (s *selection) pass(stream int, scalable bool, p *buffer.Packet) verdict {
	begin := s.spatial < 0
	if !scalable {
		begin = stream != s.spatial
	}
	if begin {
		first := p.Frame.Key && p.Frame.Start && p.Frame.Spatial == 0
		if s.wantSpatial < 0 || !first || !scalable && stream != s.wantSpatial {
			return s.before(stream, p)
		}
		if s.spatial, s.temporal = stream, s.wantTemporal; scalable {
			s.spatial = s.wantSpatial
		}
		s.forget(stream, p)
		s.remember(stream, p, true)
		return begins
	}
	ask := s.temporalPass
	if scalable {
		ask = s.scalablePass
	}
	if s.decide(stream, p, ask) {
		return passed
	}
	return dropped
}

// before decides on a packet that comes while the subscriber gets another stream, or none: it may be late, of a frame of which it got others.
func (s *selection) before(stream int, p *buffer.Packet) verdict {
	if d := s.decided(stream, p); d != nil && d.passed {
		return passed
	}
	return elsewhere
}

func (s *selection) decided(stream int, p *buffer.Packet) *decision {
	for i := range s.decisions {
		if d := &s.decisions[i]; d.made && d.ts == p.TS && d.layer == p.Frame.Spatial && int(d.stream) == stream {
			return d
		}
	}
	return nil
}

func (s *selection) remember(stream int, p *buffer.Packet, passed bool) {
	s.decisions[s.n%recentDecisions] = decision{made: true, passed: passed, stream: int8(stream), layer: p.Frame.Spatial, ts: p.TS}
	s.n++
}

// forget takes back what was decided on the frames from p on: a stream begins there, maybe once more.
func (s *selection) forget(stream int, p *buffer.Packet) {
	for i := range s.decisions {
		if d := &s.decisions[i]; int(d.stream) == stream && int32(d.ts-p.TS) >= 0 {
			*d = decision{}
		}
	}
}

// decide asks once for each frame. A frame that is late as a whole changes nothing.
func (s *selection) decide(stream int, p *buffer.Packet, ask func(*buffer.Packet) bool) bool {
	if d := s.decided(stream, p); d != nil {
		return d.passed
	}
	passes, known := s.picture(stream, p)
	if last := s.decisions[(s.n+recentDecisions-1)%recentDecisions]; known {
	} else if last.made && int(last.stream) == stream && int32(p.TS-last.ts) < 0 {
		passes = int(p.Frame.Spatial) <= s.spatial && int(p.Frame.Temporal) <= s.temporal || s.spatial < 0
	} else {
		passes = ask(p)
	}
	s.remember(stream, p, passes)
	return passes
}

// picture tells what follows for a frame from what was decided on the others of its picture: below one that was handed on it is needed, and
// above one that was left out it is of no use.
func (s *selection) picture(stream int, p *buffer.Packet) (passes, known bool) {
	for i := range s.decisions {
		d := &s.decisions[i]
		if !d.made || d.ts != p.TS || int(d.stream) != stream {
			continue
		}
		if d.layer > p.Frame.Spatial && d.passed {
			return true, true
		}
		known = known || d.layer < p.Frame.Spatial && !d.passed
	}
	return false, known
}

func (s *selection) temporalPass(p *buffer.Packet) bool {
	t := int(p.Frame.Temporal)
	if s.temporal > s.wantTemporal || p.Frame.Key {
		s.temporal = s.wantTemporal
	}
	if t > s.temporal {
		// One layer after the other: where a frame of a layer does not need those before it, one of the layer below may.
		if t > s.wantTemporal || t > s.temporal+1 || !p.Frame.Sync {
			return false
		}
		s.temporal = t
	}
	return true
}

// leftOut gives the lowest layer of a picture that was left out, because it came before that which says that it is a key picture.
func (s *selection) leftOut(p *buffer.Packet) int {
	lowest := codec.MaxSpatial
	for i := range s.decisions {
		if d := &s.decisions[i]; d.made && !d.passed && d.ts == p.TS && d.layer > 0 {
			lowest = min(lowest, int(d.layer))
		}
	}
	return lowest
}

func (s *selection) scalablePass(p *buffer.Packet) bool {
	spatial := int(p.Frame.Spatial)
	if spatial == 0 {
		// A picture begins: what is above is given up here, and had again where it can be.
		if s.spatial > s.wantSpatial {
			s.spatial = s.wantSpatial
		}
		if p.Frame.Key {
			s.spatial, s.temporal = min(s.wantSpatial, s.leftOut(p)-1), s.wantTemporal
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
