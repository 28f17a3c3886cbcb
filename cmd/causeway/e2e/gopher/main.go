//go:build goolm

// Command gopher is one user of mautrix-go, with its encryption in pure Go, for the scenarios of the end-to-end tests, which build it and
// tell it what to do. It knows nothing of the product, and decides nothing by itself.
//
// Each line of standard input is a request, {"id": 1, "op": "login", "args": {…}}, and each line of standard output the answer to one,
// {"id": 1, "result": {…}} or {"id": 1, "error": "…"}, or how far a verification has come: {"verification": {…}}. Standard error has the
// log. The program ends with its standard input.
//
// The tag is what mautrix-go takes for its own implementation of Olm instead of a C library.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// maxRequest bounds a line of standard input, in bytes.
const maxRequest = 1 << 20

type request struct {
	ID   int             `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

// line is what is printed.
type line struct {
	ID           int           `json:"id,omitempty"`
	Result       any           `json:"result,omitempty"`
	Error        string        `json:"error,omitempty"`
	Verification *verification `json:"verification,omitempty"`
}

var printing sync.Mutex // guards standard output

func write(l line) {
	raw, err := json.Marshal(l)
	if err != nil {
		raw, _ = json.Marshal(line{ID: l.ID, Error: err.Error()})
	}
	printing.Lock()
	defer printing.Unlock()
	_, _ = os.Stdout.Write(append(raw, '\n'))
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g := new(gopher)
	var running sync.WaitGroup
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxRequest)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, "gopher:", err)
			os.Exit(1)
		}
		running.Go(func() {
			result, err := g.do(ctx, r)
			switch {
			case err != nil:
				write(line{ID: r.ID, Error: err.Error()})
			case result == nil:
				write(line{ID: r.ID, Result: struct{}{}})
			default:
				write(line{ID: r.ID, Result: result})
			}
		})
	}
	cancel()
	running.Wait()
}

// operation returns an operation whose arguments are decoded from a request.
func operation[Args any](f func(g *gopher, ctx context.Context, in Args) (any, error)) func(*gopher, context.Context, json.RawMessage) (any, error) {
	return func(g *gopher, ctx context.Context, raw json.RawMessage) (any, error) {
		var in Args
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, err
		}
		return f(g, ctx, in)
	}
}

var operations = map[string]func(*gopher, context.Context, json.RawMessage) (any, error){
	"login":      operation((*gopher).login),
	"puppet":     operation((*gopher).puppet),
	"logout":     operation((*gopher).logout),
	"createRoom": operation((*gopher).createRoom),
	"join":       operation((*gopher).join),
	"members":    operation((*gopher).members),
	"say":        operation((*gopher).say),
	"read":       operation((*gopher).read),
	"devices":    operation((*gopher).devices),
	"signKeys":   operation((*gopher).signKeys),
	"recover":    operation((*gopher).recover),
	"trust":      operation((*gopher).trust),
	"verify":     operation((*gopher).verify),
	"accept":     operation((*gopher).accept),
	"start":      operation((*gopher).start),
	"confirm":    operation((*gopher).confirm),
}

func (g *gopher) do(ctx context.Context, r request) (any, error) {
	f, ok := operations[r.Op]
	if !ok {
		return nil, fmt.Errorf("there is no operation %q", r.Op)
	}
	return f(g, ctx, r.Args)
}
