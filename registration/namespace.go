package registration

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Namespace is a set of ids, as a regular expression.
//
// The specification calls the expressions POSIX and does not say how they are
// anchored. They are read in Go's syntax (RE2), which contains POSIX's, and match
// from the start of an id but need not reach its end, as they do in Synapse:
// "@irc_" holds what "@irc_.*" holds. Files in the wild rely on either. A "$"
// makes an expression match to the end.
type Namespace struct {
	Regex     string `yaml:"regex" json:"regex"`
	Exclusive bool   `yaml:"exclusive" json:"exclusive"`

	matcher *matcher // nil until compiled
}

// matcher is a compiled expression.
type matcher struct {
	// prefix is what everything that matches begins with; to compare it is much
	// cheaper than to run re, and nearly every id fails there.
	prefix string
	re     *regexp.Regexp // nil matches nothing
	tree   *syntax.Regexp // of the expression as it was written
}

func (m *matcher) matches(s string) bool {
	return m.re != nil && strings.HasPrefix(s, m.prefix) && m.re.MatchString(s)
}

// matchesAny tells whether one of the namespaces, or of the exclusive ones among
// them, holds s.
func matchesAny(namespaces []Namespace, s string, exclusive bool) bool {
	for i := range namespaces {
		n := &namespaces[i]
		if exclusive && !n.Exclusive {
			continue
		}
		m := n.matcher
		if m == nil {
			// The registration was put together by hand and is in no Set yet. It is not
			// kept, as others may be reading the registration.
			m, _ = compile(n.Regex)
		}
		if m.matches(s) {
			return true
		}
	}
	return false
}

func compileAll(namespaces []Namespace) []Namespace {
	compiled := make([]Namespace, len(namespaces))
	for i, n := range namespaces {
		n.matcher, _ = compile(n.Regex)
		compiled[i] = n
	}
	return compiled
}

// compile returns the matcher of an expression; with an error, one that matches
// nothing.
func compile(expression string) (*matcher, error) {
	tree, err := parseExpression(expression)
	if err != nil {
		return &matcher{}, err
	}
	re, err := regexp.Compile(anchored(tree))
	if err != nil {
		return &matcher{}, explain(err)
	}
	return &matcher{prefix: literalPrefix(tree), re: re, tree: tree}, nil
}

func parseExpression(expression string) (*syntax.Regexp, error) {
	if len(expression) > maxRegexBytes {
		return nil, fmt.Errorf("is longer than %d bytes", maxRegexBytes)
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, explain(err)
	}
	return tree, nil
}

// anchored returns an expression that matches from the start. It is made of the
// tree, as the text might end in a \Q that quotes what we put behind it.
func anchored(tree *syntax.Regexp) string { return `\A(?:` + tree.String() + `)` }

// literalPrefix returns the text that all matches of tree begin with, as far as
// it is plain to see.
func literalPrefix(tree *syntax.Regexp) string {
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	for _, part := range parts {
		switch part.Op {
		case syntax.OpBeginText:
			continue
		case syntax.OpLiteral:
			if part.Flags&syntax.FoldCase == 0 {
				return string(part.Rune)
			}
		}
		break
	}
	return ""
}

// explain says what is wrong with an expression, and where Go's syntax lacks
// what other engines have, what to do instead.
func explain(err error) error {
	var parse *syntax.Error
	if !errors.As(err, &parse) {
		return fmt.Errorf("does not compile: %w", err)
	}
	lacks := func(what string) error {
		return fmt.Errorf("uses %s (%s), which RE2 expressions do not have; write what may match, if need be as several namespaces", what, parse.Expr)
	}
	for _, missing := range []struct{ start, what string }{
		{"(?=", "a lookahead"}, {"(?!", "a negative lookahead"},
		{"(?<=", "a lookbehind"}, {"(?<!", "a negative lookbehind"},
		{"(?>", "an atomic group"}, {"(?#", "a comment"}, {"(?(", "a condition"}, {"(?P=", "a back reference"},
	} {
		if strings.HasPrefix(parse.Expr, missing.start) {
			return lacks(missing.what)
		}
	}
	switch {
	case parse.Code == syntax.ErrInvalidEscape && len(parse.Expr) == 2 && parse.Expr[1] >= '1' && parse.Expr[1] <= '9':
		return lacks("a back reference")
	case parse.Code == syntax.ErrInvalidEscape && parse.Expr == `\Z`:
		return errors.New(`uses \Z, which is \z in RE2 expressions`)
	case parse.Code == syntax.ErrInvalidRepeatOp && strings.HasSuffix(parse.Expr, "+"):
		return fmt.Errorf("repeats a repetition (%s); RE2 expressions have no possessive quantifiers", parse.Expr)
	}
	return fmt.Errorf("does not compile: %s: %s", parse.Code, parse.Expr)
}
