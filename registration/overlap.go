package registration

import (
	"encoding/binary"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Limits on the search for an id that two expressions have in common. What is
// past them is not decided.
const (
	maxOverlapStates = 20_000
	maxOverlapSteps  = 10_000_000 // instructions looked at
	maxAlphabet      = 4096
	// maxAllSteps bounds the instructions of all comparisons that files need
	// together: a second or two.
	maxAllSteps = 100_000_000
)

// grammars say what ids of each kind look like, loosely: servers have ids that
// today's grammar forbids (Appendices, Historical User IDs).
var grammars = map[string]automaton{
	"users":   mustAutomaton(`@[\x21-\x39\x3b-\x7e]+:[a-zA-Z0-9.:\[\]-]+$`),
	"aliases": mustAutomaton(`#[^:\x00\n]+:[a-zA-Z0-9.:\[\]-]+$`),
	"rooms":   mustAutomaton(`![^\x00\n]+$`),
}

// automaton is an expression, which matches from the start of a text.
type automaton struct {
	tree *syntax.Regexp
	// open automata need not reach the text's end.
	open bool
}

func mustAutomaton(expression string) automaton {
	tree, err := parseExpression(expression)
	if err != nil {
		panic(err)
	}
	return automaton{tree: tree, open: true}
}

// automatonOf returns a namespace that is known to compile.
func automatonOf(n Namespace) automaton {
	if n.matcher != nil {
		return automaton{tree: n.matcher.tree, open: true}
	}
	return mustAutomaton(n.Regex)
}

// senderAutomaton holds the users of this localpart on any server.
func senderAutomaton(localpart string) automaton {
	return mustAutomaton(regexp.QuoteMeta(senderPrefix(localpart)))
}

// verdict is the outcome of [overlap]. Without decided, nothing was found out.
type verdict struct {
	decided, found bool
	example        string // that all automata match, one of the shortest
}

// overlap finds out whether there is a text that all automata match. It walks
// their product: breadth first over the sets of program positions that the
// automata can be at together, one class of runes at a time.
func overlap(automata ...automaton) verdict {
	steps := maxOverlapSteps
	return overlapWithin(&steps, automata...)
}

// overlapWithin is overlap with a bound on the instructions that are looked at,
// of which it takes away those that it looked at.
func overlapWithin(left *int, automata ...automaton) verdict {
	if disjointPrefixes(automata) {
		return verdict{decided: true}
	}
	search := &search{seen: make(map[string]struct{}), most: min(*left, maxOverlapSteps)}
	defer func() { *left = max(0, *left-search.steps) }()
	for _, a := range automata {
		program, err := syntax.Compile(a.tree.Simplify())
		if err != nil {
			return verdict{}
		}
		search.machines = append(search.machines, &machine{program: program, open: a.open})
	}
	search.alphabet = alphabetOf(search.machines)
	if len(search.alphabet) > maxAlphabet {
		return verdict{}
	}
	return search.run()
}

// disjointPrefixes tells whether two automata want texts to begin differently.
// This settles nearly all pairs there are.
func disjointPrefixes(automata []automaton) bool {
	longest := ""
	for _, a := range automata {
		prefix := literalPrefix(a.tree)
		if !strings.HasPrefix(prefix, longest) && !strings.HasPrefix(longest, prefix) {
			return true
		}
		if len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return false
}

// positions is the set of instructions that a machine can be at, sorted, before
// those that consume nothing are followed. nil is the machine that has matched
// already, whatever follows.
type positions []uint32

// search is the walk through the product.
type search struct {
	machines []*machine
	alphabet []rune
	nodes    []node
	seen     map[string]struct{}
	steps    int
	most     int // steps
}

// node is a state of the product and how it was reached.
type node struct {
	at     []positions // by machine
	last   rune        // that led here, -1 at the start
	parent int
}

func (s *search) run() verdict {
	start := node{last: -1, parent: -1}
	for _, m := range s.machines {
		start.at = append(start.at, positions{uint32(m.program.Start)})
	}
	s.add(start)
	for i := 0; i < len(s.nodes); i++ {
		if len(s.nodes) > maxOverlapStates || s.steps > s.most {
			return verdict{}
		}
		if s.accepts(i) {
			return verdict{decided: true, found: true, example: s.text(i)}
		}
		s.expand(i)
	}
	return verdict{decided: true}
}

// accepts tells whether the text that leads to node i may end there.
func (s *search) accepts(i int) bool {
	flags := syntax.EmptyOpContext(s.nodes[i].last, -1)
	for m, machine := range s.machines {
		if at := s.nodes[i].at[m]; at != nil {
			if _, matched := machine.follow(at, flags); !matched {
				return false
			}
		}
	}
	return true
}

// expand adds the nodes that one more rune leads to from node i.
func (s *search) expand(i int) {
	type context struct {
		consuming [][]uint32
		matched   []bool
	}
	// What can be followed depends on the next rune only by what it makes of
	// the border between the two.
	contexts := make(map[syntax.EmptyOp]*context)
	for _, r := range s.alphabet {
		flags := syntax.EmptyOpContext(s.nodes[i].last, r)
		c := contexts[flags]
		if c == nil {
			c = &context{}
			for m, machine := range s.machines {
				consuming, matched := machine.follow(s.nodes[i].at[m], flags)
				s.steps += len(machine.program.Inst)
				c.consuming, c.matched = append(c.consuming, consuming), append(c.matched, matched)
			}
			contexts[flags] = c
		}
		next := node{last: r, parent: i, at: make([]positions, len(s.machines))}
		s.steps++
		alive := true
		for m, machine := range s.machines {
			if s.nodes[i].at[m] == nil || c.matched[m] && machine.open {
				continue // next.at[m] stays nil: it has matched
			}
			s.steps += len(c.consuming[m])
			if next.at[m] = machine.step(c.consuming[m], r); next.at[m] == nil {
				alive = false
				break
			}
		}
		if alive {
			s.add(next)
		}
	}
}

// add appends a node unless one that behaves in the same way is there.
func (s *search) add(n node) {
	var key []byte
	// Of the last rune, only what it can mean to \b, ^ and $ matters.
	key = append(key, byte(syntax.EmptyOpContext(n.last, 'a')), byte(syntax.EmptyOpContext(n.last, -1)))
	for _, at := range n.at {
		for _, position := range at {
			key = binary.AppendUvarint(key, uint64(position)+1)
		}
		key = append(key, 0)
	}
	if _, ok := s.seen[string(key)]; !ok {
		s.seen[string(key)] = struct{}{}
		s.nodes = append(s.nodes, n)
	}
}

// text returns the runes that led to node i.
func (s *search) text(i int) string {
	var reversed []rune
	for ; s.nodes[i].parent >= 0; i = s.nodes[i].parent {
		reversed = append(reversed, s.nodes[i].last)
	}
	slices.Reverse(reversed)
	return string(reversed)
}
