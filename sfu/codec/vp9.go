package codec

// The bits of the first byte of VP9's payload descriptor. RFC 9628, section 4.2.
const (
	vp9PictureID = 0x80 // I
	vp9Inter     = 0x40 // P
	vp9Layers    = 0x20 // L
	vp9Flexible  = 0x10 // F
	vp9Begins    = 0x08 // B
	vp9Ends      = 0x04 // E
	vp9Structure = 0x02 // V
)

// maxVP9References is how many pictures one can depend on.
const maxVP9References = 3

// vp9Descriptor is VP9's payload descriptor.
type vp9Descriptor struct {
	flags             byte
	hasID, long       bool
	id                uint16
	spatial, temporal uint8
	upPoint, onLower  bool
	references        [maxVP9References]uint8 // P_DIFF: how many pictures ago
	referenced        uint8
	group             []vp9Picture // of the scalability structure, if it describes one
}

// vp9Picture is a picture of the group of pictures that repeats itself.
type vp9Picture struct {
	temporal   uint8
	upPoint    bool
	references [maxVP9References]uint8
	referenced uint8
}

// ParseVP9 reads a payload of VP9: its descriptor says everything, and is never encrypted.
func ParseVP9(p []byte, _ bool, f *Frame) bool {
	var d vp9Descriptor
	if !d.parse(p) {
		return false
	}
	d.tell(f)
	return true
}

// tell fills in what the descriptor says by itself.
func (d *vp9Descriptor) tell(f *Frame) {
	inter := d.flags&vp9Inter != 0
	f.Start, f.End = d.flags&vp9Begins != 0, d.flags&vp9Ends != 0
	f.Spatial, f.Temporal = d.spatial, d.temporal
	// Without prediction from other pictures, a frame can be decoded if that of the layer below can, if it depends on it at all.
	f.Key = !inter && !d.onLower
	f.Up = !inter
	f.Sync = d.temporal == 0 || d.upPoint
}

// parse reads a descriptor, and tells whether it makes sense.
func (d *vp9Descriptor) parse(p []byte) bool {
	r := byteReader{b: p}
	d.flags = r.next()
	if d.flags&vp9PictureID != 0 {
		d.hasID = true
		id := r.next()
		if d.id = uint16(id & 0x7f); id&0x80 != 0 {
			d.long, d.id = true, d.id<<8|uint16(r.next())
		}
	}
	if d.flags&vp9Layers != 0 {
		l := r.next()
		d.temporal, d.upPoint, d.spatial, d.onLower = l>>5, l&0x10 != 0, l>>1&0x07, l&0x01 != 0
		if d.flags&vp9Flexible == 0 {
			r.next() // TL0PICIDX
		}
		if d.spatial >= MaxSpatial || d.temporal >= MaxTemporal || d.spatial == 0 && d.onLower {
			return false
		}
	}
	if d.flags&vp9Flexible != 0 && d.flags&vp9Inter != 0 {
		for more := true; more; {
			if d.referenced == maxVP9References {
				return false
			}
			b := r.next()
			d.references[d.referenced], more = b>>1, b&0x01 != 0
			d.referenced++
		}
	}
	if d.flags&vp9Structure != 0 {
		d.parseStructure(&r)
	}
	// A packet has something of the frame besides.
	return !r.spoilt && len(r.b) > r.at
}

// parseStructure reads the scalability structure. RFC 9628, section 4.2.1.
func (d *vp9Descriptor) parseStructure(r *byteReader) {
	b := r.next()
	layers, sizes, group := int(b>>5)+1, b&0x10 != 0, b&0x08 != 0
	if sizes {
		r.skip(4 * layers)
	}
	if !group {
		return
	}
	n := int(r.next())
	if len(r.b)-r.at < n {
		r.spoilt = true
	}
	if n == 0 || r.spoilt {
		return
	}
	d.group = make([]vp9Picture, n)
	for i := range d.group {
		b := r.next()
		pic := &d.group[i]
		pic.temporal, pic.upPoint, pic.referenced = b>>5, b&0x10 != 0, b>>2&0x03
		for j := range pic.referenced {
			pic.references[j] = r.next()
		}
	}
}

// byteReader reads bytes. After the end it gives zeros, and is spoilt.
type byteReader struct {
	b      []byte
	at     int
	spoilt bool
}

func (r *byteReader) next() byte {
	if r.at >= len(r.b) {
		r.spoilt = true
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *byteReader) skip(n int) {
	if r.at += n; r.at > len(r.b) {
		r.at, r.spoilt = len(r.b), true
	}
}

// vp9State is what is known of the pictures of a stream.
type vp9State struct {
	group    []vp9Picture
	groupAt  uint16 // the ID of its first picture
	pictures [64]vp9Recent
	base     vp9Recent // the last of the lowest temporal layer
}

type vp9Recent struct {
	known    bool
	id       uint16
	temporal uint8
	upPoint  bool
}

// readVP9 reads a payload, and finds out what its picture depends on, so far as the stream tells it: in the descriptor in flexible mode, by
// the group of pictures else.
func (s *Stream) readVP9(p []byte, _ bool, f *Frame) bool {
	var d vp9Descriptor
	if !d.parse(p) {
		return false
	}
	d.tell(f)
	if !d.hasID {
		return true
	}
	v, bits := &s.vp9, 15
	if !d.long {
		bits = 7
	}
	mask := uint16(1)<<bits - 1
	if d.group != nil && f.Spatial == 0 {
		v.group, v.groupAt = d.group, d.id
	}
	this := vp9Recent{known: true, id: d.id, temporal: d.temporal, upPoint: d.upPoint}
	f.Sync = d.temporal == 0 || v.begins(&d, mask)
	if d.spatial == 0 && f.Start {
		v.pictures[d.id%uint16(len(v.pictures))] = this
		if d.temporal == 0 {
			v.base = this
		}
	}
	return true
}

// begins is whether a receiver of the lowest temporal layer alone can have a picture of a higher one, and all that follow in its layer. The bit for
// that (U) speaks of what comes after the picture that has it: "subsequent higher temporal layer pictures will not depend on any picture before
// the current picture with temporal layer ID value greater than T". Senders also set it in pictures that are the first of their layer. So one can
// begin with a picture that has the bit, or after one of the lowest layer that has, if all that the picture itself depends on was of the lowest.
func (v *vp9State) begins(d *vp9Descriptor, mask uint16) bool {
	references, ok := v.references(d, mask)
	after := v.base.known && v.base.upPoint
	if !ok {
		return d.upPoint || after && d.id == (v.base.id+1)&mask
	}
	for _, ago := range references {
		id := (d.id - uint16(ago)) & mask
		other := v.pictures[id%uint16(len(v.pictures))]
		if !other.known || other.id != id || other.temporal > 0 {
			return false
		}
		after = after && id == v.base.id
	}
	return d.upPoint || after
}

// references gives how many pictures ago those are that a picture depends on, and whether that is known.
func (v *vp9State) references(d *vp9Descriptor, mask uint16) ([]uint8, bool) {
	switch {
	case d.flags&vp9Inter == 0:
		return nil, true
	case d.flags&vp9Flexible != 0:
		return d.references[:d.referenced], true
	case len(v.group) == 0:
		return nil, false
	}
	pic := &v.group[int((d.id-v.groupAt)&mask)%len(v.group)]
	if pic.temporal != d.temporal {
		return nil, false // the group is another than we know
	}
	return pic.references[:pic.referenced], true
}
