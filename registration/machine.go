package registration

import (
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// machine runs one program.
type machine struct {
	program *syntax.Prog
	open    bool
	visited []bool // by instruction, of the follow that runs
}

// follow returns the instructions that consume a rune and can be reached from
// at without one, where flags hold, and whether the match can be.
func (m *machine) follow(at positions, flags syntax.EmptyOp) (consuming []uint32, matched bool) {
	m.visited = make([]bool, len(m.program.Inst))
	pending := slices.Clone([]uint32(at))
	for len(pending) > 0 {
		pc := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if m.visited[pc] {
			continue
		}
		m.visited[pc] = true
		switch inst := &m.program.Inst[pc]; inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			pending = append(pending, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			pending = append(pending, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^flags == 0 {
				pending = append(pending, inst.Out)
			}
		case syntax.InstMatch:
			matched = true
		case syntax.InstFail:
		default:
			consuming = append(consuming, pc)
		}
	}
	return consuming, matched
}

// step returns where the machine is after r, or nil when it is nowhere.
func (m *machine) step(consuming []uint32, r rune) positions {
	var next positions
	for _, pc := range consuming {
		if inst := &m.program.Inst[pc]; inst.MatchRune(r) {
			next = append(next, inst.Out)
		}
	}
	slices.Sort(next)
	return slices.Compact(next)
}

// alphabetOf returns a rune of each class that no machine tells apart, those
// first that look well in an example.
func alphabetOf(machines []*machine) []rune {
	borders := map[rune]struct{}{0: {}}
	split := func(low, high rune) {
		borders[low] = struct{}{}
		borders[high+1] = struct{}{}
	}
	// What \b, ^ and $ tell apart.
	split('\n', '\n')
	split('0', '9')
	split('A', 'Z')
	split('_', '_')
	split('a', 'z')
	for _, m := range machines {
		for _, inst := range m.program.Inst {
			splitInst(&inst, split)
		}
	}
	var alphabet []rune
	for r := range borders {
		if r <= unicode.MaxRune && utf8.ValidRune(r) {
			alphabet = append(alphabet, r)
		}
	}
	slices.SortFunc(alphabet, func(a, b rune) int {
		if d := ugliness(a) - ugliness(b); d != 0 {
			return d
		}
		return int(a - b)
	})
	return alphabet
}

// splitInst reports the ranges of runes that an instruction matches.
func splitInst(inst *syntax.Inst, split func(low, high rune)) {
	switch inst.Op {
	case syntax.InstRuneAnyNotNL:
		split('\n', '\n')
	case syntax.InstRune, syntax.InstRune1:
		if len(inst.Rune) == 1 {
			r := inst.Rune[0]
			split(r, r)
			if syntax.Flags(inst.Arg)&syntax.FoldCase != 0 {
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					split(f, f)
				}
			}
			return
		}
		for i := 0; i+1 < len(inst.Rune); i += 2 {
			split(inst.Rune[i], inst.Rune[i+1])
		}
	}
}

// ugliness orders runes for examples.
func ugliness(r rune) int {
	switch {
	case r >= 'a' && r <= 'z':
		return 0
	case r >= '0' && r <= '9':
		return 1
	case r > ' ' && r <= '~':
		return 2
	case unicode.IsGraphic(r):
		return 3
	}
	return 4
}
