package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/registration"

	"github.com/rs/zerolog"
)

// Bounds of the HTTP server.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// writeTimeout is how long a request may take with its answer, from its header on. It ends those whose clients do not read, and
	// is beyond what /sync waits and what an application service is given to make a room.
	writeTimeout   = 10 * time.Minute
	maxHeaderBytes = 32 << 10
	// stopTimeout is how long requests that are under way may take when the server stops.
	stopTimeout = 10 * time.Second
)

// webServer serves the homeserver's handler on a listener.
type webServer struct {
	server   *http.Server
	listener net.Listener
	closing  func() // has requests that wait answered
}

// listen opens the listener, on which the handler is, so that an address that is taken is known before anything runs. closing has requests that
// wait answered, when the server stops.
func listen(cfg *Config, closing func(), handler http.Handler, log zerolog.Logger) (*webServer, error) {
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("another program listens on %s: stop it, or set another address in listen", cfg.Listen)
		}
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	return &webServer{
		server: &http.Server{
			Handler:           trustProxies(handler, cfg.TrustedProxyPrefixes()),
			ReadHeaderTimeout: headerTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          stdlog.New(log.With().Str("part", "http").Logger(), "", 0),
		},
		listener: listener,
		closing:  closing,
	}, nil
}

// run serves until ctx ends, then takes no new requests, has those that wait answered, and lets those under way finish.
func (w *webServer) run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- w.server.Serve(w.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	w.closing()
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := w.server.Shutdown(patience)
	if errors.Is(err, context.DeadlineExceeded) {
		err = w.server.Close()
	}
	<-failed // http.ErrServerClosed
	return err
}

// trustProxies drops X-Forwarded-For from all who are not trusted proxies.
func trustProxies(next http.Handler, trusted []netip.Prefix) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The header may be there twice, so that its first value does not tell whether there is another.
		if len(r.Header["X-Forwarded-For"]) > 0 && !fromProxy(r.RemoteAddr, trusted) {
			r.Header.Del("X-Forwarded-For")
		}
		next.ServeHTTP(w, r)
	})
}

func fromProxy(remote string, trusted []netip.Prefix) bool {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, p := range trusted {
		if p.Contains(addr.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// greet tells the person who started the server where it is and, until somebody has registered, how to become the first user.
func greet(ctx context.Context, cfg *Config, accounts *account.Service, services *registration.Set, calls *calls, stdout io.Writer) error {
	token, err := accounts.FirstToken(ctx)
	if err != nil {
		return fmt.Errorf("make the first registration token: %w", err)
	}
	fmt.Fprintf(stdout, "Causeway serves %s\n\n  Address for Matrix clients:  %s\n  Data directory:              %s\n",
		cfg.ServerName, cfg.BaseURL(), cfg.DataDir)
	if cfg.OAuth.Enabled {
		fmt.Fprintf(stdout, "  Account page for people:     %s%s\n", strings.TrimRight(cfg.BaseURL(), "/"), homeserver.PathAccount)
	}
	if cfg.Calls.Enabled {
		fmt.Fprintf(stdout, "  Group calls:                 %s\n", calls.where())
	}
	if calls != nil && calls.page != nil {
		fmt.Fprintf(stdout, "  Page for calls:              %s/\n", calls.base)
	}
	fmt.Fprintf(stdout, "  Bots and bridges:            %s\n", registered(services))
	if token != "" {
		fmt.Fprintf(stdout, "\nNobody has an account yet. The first to register with this token becomes the administrator;\nit works once.\n\n"+
			"  Registration token:  %s\n", token)
	}
	fmt.Fprintln(stdout)
	return nil
}
