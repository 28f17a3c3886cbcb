package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

const (
	// settle is how long a fresh server is left alone before it counts as idle.
	settle = 2 * time.Second
	// idleFor is how long the idle server is measured.
	idleFor = 5 * time.Second
)

// suite runs every workload against a causeway of its own, once for each
// engine of its database.
type suite struct {
	options
	binary   string
	postgres string // URL of a server, with a user who may create databases; "" for SQLite alone
	dir      string
	senders  int
	rate     float64
	size     int
}

func suiteCommand(out, log io.Writer) *cobra.Command {
	s := &suite{options: options{out: out, log: log}}
	cmd := &cobra.Command{
		Use:   "suite",
		Short: "Start a causeway on each engine, run every workload, and print the table of docs/benchmarks.md",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.binary, "binary", "./bin/causeway", "the causeway to measure")
	f.StringVar(&s.postgres, "postgres", "", "measure on PostgreSQL too: postgres:// URL of a user who may create databases")
	f.StringVar(&s.dir, "dir", os.TempDir(), "where temporary data directories are made; its disk is what is measured")
	f.DurationVar(&s.duration, "duration", 10*time.Second, "how long each load lasts")
	f.IntVar(&s.senders, "senders", 32, "how many users send at once")
	f.Float64Var(&s.rate, "rate", 100, "messages a second of the deliver load")
	f.IntVar(&s.size, "size", 64, "bytes of text in a message")
	f.BoolVar(&s.json, "json", false, "print JSON instead of a table")
	return cmd
}

// run measures engine after engine.
func (s *suite) run(ctx context.Context) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.dir = dir
	report := Report{Machine: describeMachine(s.binary, s.dir)}
	results, err := s.engine(ctx, "SQLite", "")
	if err != nil {
		return err
	}
	report.Results = results
	if s.postgres != "" {
		database, drop, err := s.createDatabase(ctx, report.Machine)
		if err != nil {
			return err
		}
		defer drop()
		results, err := s.engine(ctx, "PostgreSQL", database)
		if err != nil {
			return err
		}
		report.Results = append(report.Results, results...)
	}
	return report.write(s.out, s.json)
}

// engine starts a fresh server and puts each load on it.
func (s *suite) engine(ctx context.Context, name, database string) (results []Result, err error) {
	dir, err := os.MkdirTemp(s.dir, "causeway-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	server, err := startServer(ctx, s.binary, dir, database)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", name, err)
	}
	defer func() {
		if stopErr := server.stop(); err == nil {
			err = stopErr
		}
	}()
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	loads := []struct {
		users int
		load  load
	}{
		{0, &idleLoad{duration: idleFor}},
		{s.senders, &sendLoad{senders: s.senders, size: s.size, duration: s.duration}},
		{s.senders, &sendLoad{senders: s.senders, rooms: 1, size: s.size, duration: s.duration}},
		{2, &deliverLoad{rate: s.rate, size: s.size, duration: s.duration}},
		{0, &idleLoad{duration: idleFor}},
	}
	for _, l := range loads {
		result, err := s.one(ctx, server, l.users, l.load)
		if err != nil {
			return nil, fmt.Errorf("on %s: %w%s", name, err, server.lastWords())
		}
		result.Engine = name
		fmt.Fprintf(s.log, "%s: %s done\n", name, result.name())
		results = append(results, result)
	}
	return results, nil
}

// one puts a single load on a server, with users of its own.
func (s *suite) one(ctx context.Context, server *server, users int, l load) (Result, error) {
	o := s.options
	o.url = server.url
	target, err := o.site(max(users, 1))
	if err != nil {
		return Result{}, err
	}
	defer target.close()
	accounts, err := target.accounts(ctx, users, "", nil)
	if err != nil {
		return Result{}, err
	}
	if err := l.prepare(ctx, target, accounts); err != nil {
		return Result{}, err
	}
	return measure(ctx, server.pid(), l.run)
}

// createDatabase makes an empty database beside the one that --postgres names.
func (s *suite) createDatabase(ctx context.Context, machine *Machine) (database string, drop func(), err error) {
	u, err := url.Parse(s.postgres)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", nil, fmt.Errorf("--postgres is not a postgres:// URL")
	}
	conn, err := pgx.Connect(ctx, s.postgres)
	if err != nil {
		return "", nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	name := fmt.Sprintf("causeway_bench_%d_%d", os.Getpid(), time.Now().UnixMilli())
	// Encoding and collation of the template are the administrator's choice.
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if err != nil {
		_ = conn.Close(ctx)
		return "", nil, fmt.Errorf("create a database: %w", err)
	}
	_ = conn.QueryRow(ctx, "SHOW server_version").Scan(&machine.Postgres)
	u.Path = "/" + name
	drop = func() {
		ctx := context.WithoutCancel(ctx) // also after a signal
		if _, err := conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			fmt.Fprintf(s.log, "database %s is left behind: %v\n", name, err)
		}
		_ = conn.Close(ctx)
	}
	return u.String(), drop, nil
}

// configuration is the server's, as YAML: open to registration and without
// rate limits, since it is the server and not its limits that is measured.
func configuration(listen, database string) string {
	return strings.Join([]string{
		"server_name: bench.localhost",
		"listen: " + listen,
		"database: " + fmt.Sprintf("%q", database),
		"registration: {open: true}",
		"rate_limits: {enabled: false}",
		"log: {level: warn, format: json}",
		"",
	}, "\n")
}

func writeConfiguration(dir, listen, database string) (string, error) {
	path := filepath.Join(dir, "causeway.yaml")
	return path, os.WriteFile(path, []byte(configuration(listen, database)), 0o600)
}
