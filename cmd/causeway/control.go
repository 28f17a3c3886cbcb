package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
	"maunium.net/go/mautrix/id"
)

// controlName is the Unix socket in the data directory by which commands reach the server that runs there. Whoever can write to it
// is the operator. What is spoken is of no use to others, and may change with every version.
const controlName = "control.sock"

// maxControlBytes bounds an order on the control socket, and maxControlAnswer what is answered.
const (
	maxControlBytes  = 64 << 10
	maxControlAnswer = 64 << 20
)

// The kinds of orders.
const (
	orderPurgeRoom      = "purge room"
	orderPurgeHistory   = "purge history"
	orderPurgeForgotten = "purge forgotten"
	orderPurgeRedacted  = "purge redacted"
	orderCompact        = "compact"
)

// order is what a command has done, by the server or by itself.
type order struct {
	Kind     string     `json:"kind"`
	RoomID   id.RoomID  `json:"room_id,omitempty"`
	EventID  id.EventID `json:"event_id,omitempty"`  // of a purge of history: the first event that stays
	BeforeTS int64      `json:"before_ts,omitempty"` // or the time, in milliseconds
	Force    bool       `json:"force,omitempty"`     // of a purge of a room: users here are made to leave
}

// errStopFirst is the answer of a server that is told to do what can only be done without it.
var errStopFirst = errors.New("the server is running: stop it first")

// carryOut does what an order says.
func carryOut(ctx context.Context, m *homeserver.Maintenance, o order) (homeserver.Outcome, error) {
	var (
		out homeserver.Outcome
		err error
	)
	switch o.Kind {
	case orderPurgeRoom:
		out, err = m.PurgeRoom(ctx, o.RoomID, o.Force)
	case orderPurgeHistory:
		out, err = m.PurgeHistory(ctx, o.RoomID, homeserver.Before{EventID: o.EventID, TS: o.BeforeTS})
	case orderPurgeForgotten:
		out, err = m.PurgeForgotten(ctx)
	case orderPurgeRedacted:
		out, err = m.PurgeRedacted(ctx)
	case orderCompact:
		out, err = m.Compact(ctx)
	default:
		err = fmt.Errorf("there is no order %q", o.Kind)
	}
	var occupied *homeserver.Occupied
	switch {
	case errors.As(err, &occupied):
		err = fmt.Errorf("%w; with --force they are made to leave", occupied)
	case errors.Is(err, store.ErrNotFound) && o.EventID != "":
		err = fmt.Errorf("there is no room %s here, or no event %s in its timeline", o.RoomID, o.EventID)
	case errors.Is(err, store.ErrNotFound):
		err = fmt.Errorf("this server knows no room %s", o.RoomID)
	}
	return out, err
}

// result is the answer to an order.
type result struct {
	Outcome homeserver.Outcome `json:"outcome"`
	Held    string             `json:"held,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// orders are those who carry out what commands say.
type orders struct {
	maintenance *homeserver.Maintenance
	accounts    *account.Service
	services    *appServices
	bridges     bridgeSet
}

// controlServer takes the orders of commands.
type controlServer struct {
	listener net.Listener
	server   *http.Server
}

// listenControl opens the control socket in a data directory that is this process's alone: one that is there already is what a
// process left behind that ended without stopping. Where the path is longer than that of a socket can be, there is none: the server
// serves all the same, and commands have to wait until it is stopped.
func listenControl(dir string, to orders, log zerolog.Logger) (*controlServer, error) {
	log = log.With().Str("part", "control").Logger()
	path := filepath.Join(dir, controlName)
	if len(path) > maxSocketPath {
		log.Warn().Str("path", path).Msg("There is no control socket, because its path would be too long: commands that purge need the server stopped")
		return nil, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove an old control socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the control socket: %w", err), listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) { takeOrder(w, r, to.maintenance) })
	mux.HandleFunc("POST /accounts", func(w http.ResponseWriter, r *http.Request) { takeAccountOrder(w, r, to.accounts) })
	mux.HandleFunc("POST /registrations", func(w http.ResponseWriter, r *http.Request) { to.services.tell(r.Context(), w) })
	mux.HandleFunc("POST /unbridge", func(w http.ResponseWriter, r *http.Request) { takeBridgeOrder(w, r, to.bridges) })
	return &controlServer{listener: listener, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: stdlog.New(log, "", 0),
	}}, nil
}

// maxSocketPath is how long the path of a Unix socket can be, in bytes.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// close closes a socket that nobody serves.
func (c *controlServer) close() error {
	if c == nil {
		return nil
	}
	return c.listener.Close()
}

func takeOrder(w http.ResponseWriter, r *http.Request, m *homeserver.Maintenance) {
	var (
		o   order
		out homeserver.Outcome
	)
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes)).Decode(&o)
	switch {
	case err != nil:
		err = fmt.Errorf("read an order: %w", err)
	case o.Kind == orderCompact:
		err = errStopFirst
	default:
		out, err = carryOut(r.Context(), m, o)
	}
	answer := result{Outcome: out}
	if out.Held != nil {
		answer.Held, answer.Outcome.Held = out.Held.Error(), nil
	}
	if err != nil {
		answer.Error = err.Error()
	}
	_ = json.NewEncoder(w).Encode(answer) // the command has gone, and cannot be told
}

// run takes orders until ctx ends, which also interrupts those under way.
func (c *controlServer) run(ctx context.Context) error {
	if c == nil {
		return nil
	}
	c.server.BaseContext = func(net.Listener) context.Context { return ctx }
	failed := make(chan error, 1)
	go func() { failed <- c.server.Serve(c.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the control socket: %w", err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := c.server.Shutdown(patience) // it removes the socket
	if errors.Is(err, context.DeadlineExceeded) {
		err = c.server.Close()
	}
	<-failed // http.ErrServerClosed
	return err
}

// errNoServer means that no server listens on the control socket.
var errNoServer = errors.New("no server listens on the control socket")

// sendOrder has the server that runs in a data directory carry out an order. errNoServer when there is none.
func sendOrder(ctx context.Context, dir string, o order) (homeserver.Outcome, error) {
	var answer result
	if err := tellServer(ctx, dir, "/order", o, &answer); err != nil {
		return homeserver.Outcome{}, err
	}
	if answer.Held != "" {
		answer.Outcome.Held = errors.New(answer.Held)
	}
	if answer.Error != "" {
		return answer.Outcome, errors.New(answer.Error)
	}
	return answer.Outcome, nil
}

// tellServer sends something to the server that runs in a data directory, and decodes its answer. errNoServer when there is none.
func tellServer(ctx context.Context, dir, to string, what, answer any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, controlName)
	dialer := net.Dialer{Timeout: controlDial}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control"+to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		if len(path) > maxSocketPath || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			return errNoServer
		}
		return fmt.Errorf("talk to the server at %s: %w", path, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxControlAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("the server at %s stopped before it was done, or is of another version: %w", path, err)
	}
	return nil
}

// controlDial is how long a server has to take a connection.
const controlDial = 5 * time.Second
