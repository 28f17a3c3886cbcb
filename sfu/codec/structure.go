package codec

// Bounds of what a dependency descriptor can say. RTP Payload Format for AV1, section A.8.2: an ID of a template has 6 bits, the number
// of decode targets 5.
const (
	maxTemplates = 64
	maxTargets   = 32
)

// Indication says what a frame is for a decode target. RTP Payload Format for AV1, table A.1.
type Indication uint8

// The indications.
const (
	NotPresent  Indication = iota // it is not a part of the target
	Discardable                   // it is, and no frame of the target depends on it
	Switch                        // it is, and if it can be decoded, so can all that come after it in the target
	Required                      // it is, and more is not known
)

// Structure is the frame dependency structure of a coded video sequence, which comes with its key frame. It is never changed.
type Structure struct {
	// Targets are the decode targets: the highest layers of each.
	Targets []Target
	// Chains is how many chains of frames there are.
	Chains int

	offset    uint8 // the ID of the first template
	templates []template
}

// Target is a decode target: a part of the stream that can be decoded by itself.
type Target struct {
	Spatial, Temporal uint8
	Chain             uint8 // which chain protects it, if there are any
}

// template is what many frames have in common.
type template struct {
	spatial, temporal uint8
	indications       uint64 // two bits for each target
	references        []uint16
	chains            []uint8
}

// Target gives the target with the highest layers up to some, or -1 when there is none.
func (s *Structure) Target(spatial, temporal int) int {
	best := -1
	for i, t := range s.Targets {
		if int(t.Spatial) > spatial || int(t.Temporal) > temporal {
			continue
		}
		if best < 0 || t.Spatial > s.Targets[best].Spatial || t.Spatial == s.Targets[best].Spatial && t.Temporal > s.Targets[best].Temporal {
			best = i
		}
	}
	return best
}

// Active gives the mask of the targets that are left for who gets no higher layers than some.
func (s *Structure) Active(spatial, temporal int) uint32 {
	var mask uint32
	for i, t := range s.Targets {
		if int(t.Spatial) <= spatial && int(t.Temporal) <= temporal {
			mask |= 1 << i
		}
	}
	return mask
}

// all is the mask of all targets.
func (s *Structure) all() uint32 { return uint32(1)<<len(s.Targets) - 1 }

// indication gives one of the indications that a number holds. A target may be none: what a stranger describes can have layers without one.
func indication(of uint64, target int) Indication {
	if target < 0 || target >= maxTargets {
		return NotPresent
	}
	return Indication(of >> (2 * target) & 3)
}

// readStructure reads template_dependency_structure, or gives nil when it makes no sense. Section A.8.2.
func readStructure(r *bitReader) *Structure {
	s := &Structure{offset: uint8(r.read(6))}
	s.Targets = make([]Target, r.read(5)+1)
	if !s.readLayers(r) {
		return nil
	}
	for i := range s.templates {
		for t := range s.Targets {
			s.templates[i].indications |= uint64(r.read(2)) << (2 * t)
		}
	}
	for i := range s.templates {
		for r.flag() {
			s.templates[i].references = append(s.templates[i].references, uint16(r.read(4))+1)
		}
	}
	s.readChains(r)
	s.findLayers()
	if r.flag() { // resolutions
		for range int(s.templates[len(s.templates)-1].spatial) + 1 {
			r.read(32)
		}
	}
	if r.spoilt {
		return nil
	}
	return s
}

func (s *Structure) readLayers(r *bitReader) bool {
	var spatial, temporal uint8
	for {
		if len(s.templates) == maxTemplates || spatial >= MaxSpatial || temporal >= MaxTemporal || r.spoilt {
			return false
		}
		s.templates = append(s.templates, template{spatial: spatial, temporal: temporal})
		switch r.read(2) {
		case 1:
			temporal++
		case 2:
			temporal = 0
			spatial++
		case 3:
			return !r.spoilt
		}
	}
}

func (s *Structure) readChains(r *bitReader) {
	s.Chains = int(r.below(uint32(len(s.Targets)) + 1))
	if s.Chains == 0 {
		return
	}
	for t := range s.Targets {
		s.Targets[t].Chain = uint8(r.below(uint32(s.Chains)))
	}
	for i := range s.templates {
		s.templates[i].chains = make([]uint8, s.Chains)
		for c := range s.Chains {
			s.templates[i].chains[c] = uint8(r.read(4))
		}
	}
}

// findLayers finds out which layers each target has. decode_target_layers of section A.8.2.
func (s *Structure) findLayers() {
	for t := range s.Targets {
		for _, template := range s.templates {
			if indication(template.indications, t) != NotPresent {
				s.Targets[t].Spatial = max(s.Targets[t].Spatial, template.spatial)
				s.Targets[t].Temporal = max(s.Targets[t].Temporal, template.temporal)
			}
		}
	}
}
