package search

import "strings"

// The shape of the ranking: a word that is said again counts less each time, and counts less in a long text.
const (
	rankSlope   = 1.2
	rankLength  = 0.75
	usualLength = 20 // words
)

// rank tells how well a text matches the query, between 0 and 2: half of it is for the words, the other for their standing together in
// the order of the query. ok is false when a word is not in the text. Rare words count no more than common ones, for each hit has all.
func (q *search) rank(text string) (rank float64, ok bool) {
	counts := make([]float64, len(q.wanted))
	length, last, steps := 0, -1, 0
	words(text, func(w word) bool {
		length++
		at := -1
		for i, want := range q.wanted {
			if n := want.in(w); n > 0 {
				counts[i] += float64(n)
				if at < 0 || i == last+1 {
					at = i
				}
			}
		}
		if at > 0 && at == last+1 {
			steps++
		}
		last = at
		if at < 0 {
			last = -2
		}
		return true
	})
	norm := rankSlope * (1 - rankLength + rankLength*float64(length)/usualLength)
	for _, n := range counts {
		if n == 0 {
			return 0, false
		}
		rank += n / (n + norm)
	}
	rank /= float64(len(counts))
	if pairs := len(q.wanted) - 1; pairs > 0 {
		rank += min(1, float64(steps)/float64(pairs))
	}
	return rank, true
}

// in tells how often a word that is wanted is in one of a text.
func (w word) in(have word) int {
	switch {
	case w.run && have.run:
		return strings.Count(have.folded, w.folded)
	case !w.run && !have.run && w.folded == have.folded:
		return 1
	}
	return 0
}

// maxHighlights bounds the words that a client is told to highlight.
const maxHighlights = 50

// highlights returns the words of the query, and of the hits those that are the same by other letters.
func (q *search) highlights(hits []hit) []string {
	seen := make(map[string]bool)
	all := []string{}
	add := func(raw string) {
		if raw = strings.ToLower(raw); !seen[raw] && len(all) < maxHighlights {
			seen[raw] = true
			all = append(all, raw)
		}
	}
	for _, w := range q.wanted {
		add(w.raw)
	}
	for _, h := range hits {
		_, text := textOf(h.event.PDU)
		words(text, func(w word) bool {
			for _, want := range q.wanted {
				if !w.run && want.in(w) > 0 {
					add(w.raw)
				}
			}
			return true
		})
	}
	return all
}
