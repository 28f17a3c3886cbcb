package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// origin is where a value was written: a line of the file, or a variable of
// the environment.
type origin struct {
	line     int    // from 1; 0 when not known
	variable string // "" for the file
}

// problem is one thing that is wrong with the configuration.
type problem struct {
	file string
	origin
	key  string // dotted; "" when it concerns the whole file
	text string
}

// String reads `causeway.yaml:12: listen: "abc" is not host:port`, or begins
// with the variable's name when the value came from the environment.
func (p problem) String() string {
	place := p.file
	switch {
	case p.variable != "":
		place = p.variable
	case p.line > 0:
		place = fmt.Sprintf("%s:%d", p.file, p.line)
	}
	if p.key == "" {
		return place + ": " + p.text
	}
	return place + ": " + p.key + ": " + p.text
}

// problems is what was found so far, and where each key was written.
type problems struct {
	file    string
	list    []problem
	origins map[string]origin // by dotted key
}

// report notes a problem with the value at key, at the place where the key
// or, when it was never written, its nearest parent was written.
func (p *problems) report(key, format string, args ...any) {
	p.add(p.originOf(key), key, format, args...)
}

func (p *problems) add(at origin, key, format string, args ...any) {
	p.list = append(p.list, problem{file: p.file, origin: at, key: key, text: fmt.Sprintf(format, args...)})
}

func (p *problems) originOf(key string) origin {
	for key != "" {
		if at, ok := p.origins[key]; ok {
			return at
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return origin{}
}

// fromEnv says whether the value at key came from the environment.
func (p *problems) fromEnv(key string) bool { return p.originOf(key).variable != "" }

// err is a configError of all problems in the order of the file, or nil.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.variable, b.variable), cmp.Compare(a.line, b.line), cmp.Compare(a.key, b.key))
	})
	return configError(p.list)
}

// configError is everything that is wrong with the configuration.
type configError []problem

// Error is the problems, one a line.
func (e configError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
