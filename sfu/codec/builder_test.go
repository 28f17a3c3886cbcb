package codec

// row is a template, as the tables of the RTP Payload Format for AV1, section A.10.2, write it.
type row struct {
	spatial, temporal int
	fdiffs            []int
	chains            []int
	dti               string
}

// l1t3 is section A.10.2.1.
var l1t3 = []row{
	{0, 0, nil, []int{0}, "SSS"},
	{0, 0, []int{4}, []int{4}, "SSS"},
	{0, 1, []int{2}, []int{2}, "SD-"},
	{0, 2, []int{1}, []int{1}, "D--"},
	{0, 2, []int{1}, []int{3}, "D--"},
}

// l3t3 is section A.10.2.2, full SVC.
var l3t3 = []row{
	{0, 0, nil, []int{0, 0, 0}, "SSSSSSSSS"},
	{0, 0, []int{12}, []int{12, 11, 10}, "RRRRRRSSS"},
	{0, 1, []int{6}, []int{6, 5, 4}, "RR-RR-SD-"},
	{0, 2, []int{3}, []int{3, 2, 1}, "R--R--D--"},
	{0, 2, []int{3}, []int{9, 8, 7}, "R--R--D--"},
	{1, 0, []int{1}, []int{1, 1, 1}, "SSSSSS---"},
	{1, 0, []int{12, 1}, []int{1, 1, 1}, "RRRSSS---"},
	{1, 1, []int{6, 1}, []int{7, 6, 5}, "RR-SD----"},
	{1, 2, []int{3, 1}, []int{4, 3, 2}, "R--D-----"},
	{1, 2, []int{3, 1}, []int{10, 9, 8}, "R--D-----"},
	{2, 0, []int{1}, []int{2, 1, 1}, "SSS------"},
	{2, 0, []int{12, 1}, []int{2, 1, 1}, "SSS------"},
	{2, 1, []int{6, 1}, []int{8, 7, 6}, "SD-------"},
	{2, 2, []int{3, 1}, []int{5, 4, 3}, "D--------"},
	{2, 2, []int{3, 1}, []int{11, 10, 9}, "D--------"},
}

// l2t1key is K-SVC: the layers depend on each other in key frames only.
var l2t1key = []row{
	{0, 0, nil, []int{0, 0}, "SS"},
	{0, 0, []int{2}, []int{2, 1}, "-S"},
	{1, 0, []int{1}, []int{1, 1}, "S-"},
	{1, 0, []int{2}, []int{1, 2}, "S-"},
}

func (w *bitWriter) below(n, v uint32) {
	if n == 1 {
		return
	}
	width := 0
	for x := n; x != 0; x >>= 1 {
		width++
	}
	if m := uint32(1)<<width - n; v < m {
		w.write(v, width-1)
	} else {
		w.write(v+m, width)
	}
}

func (w *bitWriter) dti(dti string) {
	for _, c := range dti {
		w.write(map[rune]uint32{'-': 0, 'D': 1, 'S': 2, 'R': 3}[c], 2)
	}
}

// structure writes template_dependency_structure. protected are the chains of the decode targets.
func (w *bitWriter) structure(offset uint32, rows []row, protected []uint32) {
	w.write(offset, 6)
	w.write(uint32(len(rows[0].dti)-1), 5)
	for i := range rows {
		switch {
		case i == len(rows)-1:
			w.write(3, 2)
		case rows[i+1].spatial > rows[i].spatial:
			w.write(2, 2)
		case rows[i+1].temporal > rows[i].temporal:
			w.write(1, 2)
		default:
			w.write(0, 2)
		}
	}
	for _, r := range rows {
		w.dti(r.dti)
	}
	for _, r := range rows {
		for _, d := range r.fdiffs {
			w.write(1, 1)
			w.write(uint32(d-1), 4)
		}
		w.write(0, 1)
	}
	chains := uint32(len(rows[0].chains))
	w.below(uint32(len(rows[0].dti))+1, chains)
	if chains > 0 {
		for _, p := range protected {
			w.below(chains, p)
		}
		for _, r := range rows {
			for _, c := range r.chains {
				w.write(uint32(c), 4)
			}
		}
	}
	w.write(0, 1) // no resolutions
}

// packet is what a descriptor is written from.
type packet struct {
	start, end bool
	id         uint32 // of the template
	number     uint16
	structure  []row
	offset     uint32
	protected  []uint32
	targets    int
	mask       int // -1 for none
	dti        string
	fdiffs     []int
	chains     []int
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func (p packet) bytes() []byte {
	var w bitWriter
	w.write(bit(p.start), 1)
	w.write(bit(p.end), 1)
	w.write(p.id, 6)
	w.write(uint32(p.number), 16)
	if p.structure == nil && p.mask < 0 && p.dti == "" && p.fdiffs == nil && p.chains == nil {
		return w.b
	}
	for _, f := range []bool{p.structure != nil, p.mask >= 0, p.dti != "", p.fdiffs != nil, p.chains != nil} {
		w.write(bit(f), 1)
	}
	if p.structure != nil {
		w.structure(p.offset, p.structure, p.protected)
	}
	if p.mask >= 0 {
		w.write(uint32(p.mask), p.targets)
	}
	w.dti(p.dti)
	if p.fdiffs != nil {
		for _, d := range p.fdiffs {
			size := 1
			for d-1 >= 1<<(4*size) {
				size++
			}
			w.write(uint32(size), 2)
			w.write(uint32(d-1), 4*size)
		}
		w.write(0, 2)
	}
	for _, c := range p.chains {
		w.write(uint32(c), 8)
	}
	return w.b
}
