package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// reads measures what clients read, on a causeway of its own for each engine: /sync, sliding sync, paging back and search.
type reads struct {
	suite
	rooms, members int // of the crowd
	parked         int // clients that wait
	windows        int // rooms of the account that asks for sliding sync
	messages       int // to page back through
	searched       int // messages to search
	only           string
	postgresOnly   bool
}

// Figure is one row of the table of reads.
type Figure struct {
	Engine string `json:"engine"`
	Name   string `json:"name"`
	N      int    `json:"n"` // how often it was measured
	Latencies
	Bytes   int64    `json:"bytes,omitempty"` // of one answer
	Note    string   `json:"note,omitempty"`
	Process *Process `json:"process,omitempty"`
}

// chapter is some figures that need the same rooms.
type chapter struct {
	name string
	run  func(s *stage, ctx context.Context, r *reads) error
}

var chapters = []chapter{
	{"crowd", (*stage).crowdOf}, {"parked", (*stage).parkedOf}, {"sliding", (*stage).slidingOf},
	{"paging", (*stage).pagingOf}, {"search", (*stage).searchOf}, {"logins", (*stage).loginsOf},
}

func readsCommand(out, log io.Writer) *cobra.Command {
	r := &reads{suite: suite{options: options{out: out, log: log, duration: time.Second}}}
	cmd := &cobra.Command{
		Use:   "reads",
		Short: "Start a causeway on each engine and measure what clients read: /sync, sliding sync, paging, search",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&r.binary, "binary", "./bin/causeway", "the causeway to measure")
	f.StringVar(&r.postgres, "postgres", "", "measure on PostgreSQL too: postgres:// URL of a user who may create databases")
	f.StringVar(&r.dir, "dir", os.TempDir(), "where temporary data directories are made; its disk is what is measured")
	f.IntVar(&r.rooms, "rooms", 500, "rooms of the account whose /sync is measured")
	f.IntVar(&r.members, "members", 300, "members of each of them")
	f.IntVar(&r.parked, "parked", 1000, "clients that wait in /sync, all in one room")
	f.IntVar(&r.windows, "windows", 1000, "rooms of the account whose sliding sync is measured")
	f.IntVar(&r.messages, "messages", 100_000, "messages to page back through")
	f.IntVar(&r.searched, "searched", 1_000_000, "messages to search")
	f.StringVar(&r.only, "only", "", "only these, of crowd, parked, sliding, paging, search, logins, with commas")
	f.BoolVar(&r.postgresOnly, "postgres-only", false, "leave SQLite out")
	f.BoolVar(&r.json, "json", false, "print JSON instead of a table")
	return cmd
}

func (r *reads) run(ctx context.Context) error {
	if r.postgresOnly && r.postgres == "" {
		return errors.New("--postgres-only needs --postgres, the URL of a PostgreSQL to measure on")
	}
	machine := describeMachine(r.binary, r.dir)
	var figures []Figure
	if !r.postgresOnly {
		var err error
		if figures, err = r.engine(ctx, "SQLite", ""); err != nil {
			return err
		}
	}
	if r.postgres != "" {
		database, drop, err := r.createDatabase(ctx, machine)
		if err != nil {
			return err
		}
		defer drop()
		more, err := r.engine(ctx, "PostgreSQL", database)
		if err != nil {
			return err
		}
		figures = append(figures, more...)
	}
	return writeFigures(r.out, machine, figures, r.json)
}

// engine starts a fresh server and goes through the chapters.
func (r *reads) engine(ctx context.Context, name, database string) (figures []Figure, err error) {
	dir, err := os.MkdirTemp(r.dir, "causeway-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	server, err := startServer(ctx, r.binary, dir, database)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", name, err)
	}
	defer func() {
		if stopErr := server.stop(); err == nil {
			err = stopErr
		}
	}()
	o := r.options
	o.url = server.url
	target, err := o.site(1)
	if err != nil {
		return nil, err
	}
	defer target.close()
	s := &stage{site: target, server: server, engine: name, log: r.log}
	for _, c := range chapters {
		if r.only != "" && !strings.Contains(","+r.only+",", ","+c.name+",") {
			continue
		}
		start := time.Now()
		if err := c.run(s, ctx, r); err != nil {
			return nil, fmt.Errorf("%s on %s: %w%s", c.name, name, err, server.lastWords())
		}
		fmt.Fprintf(r.log, "%s: %s done in %s\n", name, c.name, time.Since(start).Round(time.Second))
	}
	return s.figures, nil
}

func writeFigures(w io.Writer, machine *Machine, figures []Figure, asJSON bool) error {
	if asJSON {
		return writeJSON(w, map[string]any{"machine": machine, "figures": figures})
	}
	var b strings.Builder
	machine.write(&b)
	b.WriteString("| engine | what | n | p50 ms | p95 ms | p99 ms | max ms | answer kB | CPU s | RSS before MB | RSS peak MB | |\n")
	b.WriteString("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n")
	for _, f := range figures {
		cells := []string{f.Engine, f.Name, strconv.Itoa(f.N)}
		for _, ms := range []float64{f.P50MS, f.P95MS, f.P99MS, f.MaxMS} {
			cells = append(cells, fmt.Sprintf("%.2f", ms))
		}
		cells = append(cells, fmt.Sprintf("%.1f", float64(f.Bytes)/1e3))
		if p := f.Process; p != nil {
			cells = append(cells, fmt.Sprintf("%.2f", p.CPUSeconds), megabytes(p.RSSBefore), megabytes(p.RSSPeak))
		} else {
			cells = append(cells, "–", "–", "–")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(append(cells, f.Note), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
