package codec

// maxReferences is of how many frames that a frame depends on the numbers are kept. With more it is only known that there are more.
const maxReferences = 8

// Descriptor is what the dependency descriptor of a packet says of its frame: the header extension of the RTP Payload Format for AV1, appendix
// A, which clients send with other codecs, too.
type Descriptor struct {
	// Structure is that of the coded video sequence; nil when there is no descriptor, or none that can be understood.
	Structure *Structure
	// Number is that of the frame. Each layer of a picture is a frame.
	Number uint16
	// Attached is whether the structure comes with this packet, which only that of a key frame has.
	Attached bool
	// Active is the mask of the targets that are produced.
	Active uint32

	start, end        bool
	spatial, temporal uint8
	indications       uint64
	references        [maxReferences]uint16 // how many frames ago
	referenced        uint8                 // how many there are; more than maxReferences where that is too many

	maskAt  uint16 // in bits: where the mask is, or would be
	hasMask bool
}

// Indication gives what the frame is for a target.
func (d *Descriptor) Indication(target int) Indication { return indication(d.indications, target) }

// Decodable is whether all frames that this one depends on are there.
func (d *Descriptor) Decodable(there func(number uint16) bool) bool {
	if d.referenced > maxReferences {
		return false
	}
	for _, ago := range d.references[:d.referenced] {
		if !there(d.Number - ago) {
			return false
		}
	}
	return true
}

// Begins is whether a receiver that has had other frames, but not those of a target, can have the target from this frame on. Section A.7.
func (d *Descriptor) Begins(target int, there func(number uint16) bool) bool {
	return d.Indication(target) == Switch && d.Decodable(there)
}

// descriptorHead is how long the part of a descriptor is that is always there.
const descriptorHead = 3

// parse reads a descriptor. structure gives the structure that holds for a frame's number, or nil. It tells whether it makes sense; the head is
// read in any case, if it is there.
func (d *Descriptor) parse(b []byte, structure func(number uint16) *Structure) bool {
	if len(b) < descriptorHead {
		return false
	}
	r := bitReader{b: b}
	d.start, d.end = r.flag(), r.flag()
	id := uint8(r.read(6))
	d.Number = uint16(r.read(16))
	var dtis, fdiffs, chains bool
	var s *Structure
	if len(b) > descriptorHead {
		d.Attached, d.hasMask = r.flag(), r.flag()
		dtis, fdiffs, chains = r.flag(), r.flag(), r.flag()
	}
	if d.Attached {
		s = readStructure(&r)
	} else {
		s = structure(d.Number)
	}
	if s == nil {
		return false
	}
	d.maskAt = uint16(r.at)
	if d.Attached {
		d.Active = s.all()
	}
	if d.hasMask {
		d.Active = r.read(len(s.Targets)) & s.all()
	}
	if !d.define(&r, s, id, dtis, fdiffs, chains) {
		return false
	}
	d.Structure = s
	return true
}

// define reads frame_dependency_definition. Section A.8.2.
func (d *Descriptor) define(r *bitReader, s *Structure, id uint8, dtis, fdiffs, chains bool) bool {
	i := int(id-s.offset) & (maxTemplates - 1)
	if i >= len(s.templates) {
		return false // the packet with the structure that it means has not come
	}
	t := &s.templates[i]
	d.spatial, d.temporal, d.indications = t.spatial, t.temporal, t.indications
	if dtis {
		d.indications = 0
		for target := range s.Targets {
			d.indications |= uint64(r.read(2)) << (2 * target)
		}
	}
	if fdiffs {
		for size := int(r.read(2)); size != 0; size = int(r.read(2)) {
			d.refer(uint16(r.read(4*size)) + 1)
		}
	} else {
		for _, ago := range t.references {
			d.refer(ago)
		}
	}
	if chains {
		for range s.Chains {
			r.read(8)
		}
	}
	return !r.spoilt
}

func (d *Descriptor) refer(ago uint16) {
	if d.referenced < maxReferences {
		d.references[d.referenced] = ago
	}
	if d.referenced <= maxReferences {
		d.referenced++
	}
}

// discardable is whether no frame of any target depends on this one.
func (d *Descriptor) discardable() bool {
	present := false
	for t := range d.Structure.Targets {
		switch d.Indication(t) {
		case Switch, Required:
			return false
		case Discardable:
			present = true
		}
	}
	return present
}

// AppendActive appends a descriptor to dst that is that of the packet but for the mask of active targets. It is what a receiver has to be told
// that does not get all layers. Section A.4. The descriptor must be the one that this was read from.
func (d *Descriptor) AppendActive(dst, descriptor []byte, active uint32) []byte {
	if d.Structure == nil || len(descriptor) < descriptorHead {
		return append(dst, descriptor...)
	}
	targets := len(d.Structure.Targets)
	at := len(dst)
	dst = append(dst, descriptor[:descriptorHead]...)
	w := bitWriter{b: dst}
	if len(descriptor) == descriptorHead {
		w.write(0b01000, 5) // nothing but the mask
		w.write(active, targets)
		return w.b
	}
	// The flags, of which the second says that there is a mask; then what is before it, and what is after.
	r := bitReader{b: descriptor, at: descriptorHead * 8}
	w.write(r.read(5)|0b01000, 5)
	w.copy(descriptor, r.at, int(d.maskAt))
	w.write(active, targets)
	rest := int(d.maskAt)
	if d.hasMask {
		rest += targets
	}
	w.copy(descriptor, rest, len(descriptor)*8)
	if len(w.b)-at > maxDescriptor {
		return append(dst[:at], descriptor...)
	}
	return w.b
}

// maxDescriptor is how long a header extension can be. RFC 8285, section 4.3.
const maxDescriptor = 255
