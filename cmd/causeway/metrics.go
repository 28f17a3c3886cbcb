package main

import (
	"bytes"
	"context"
	"crypto/subtle"
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

	"github.com/rs/zerolog"
)

// metricsPath is where the metrics are, as other things of ours are below /_causeway.
const metricsPath = "/_causeway/metrics"

// Types of the text in which metrics are told. Those who want the newer one say so.
const (
	prometheusText  = "text/plain; version=0.0.4; charset=utf-8"
	openMetricsText = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

// minMetricsToken is what the token has at least, in bytes.
const minMetricsToken = 16

// metricsTimeout bounds a request for the metrics with its answer.
const metricsTimeout = 10 * time.Second

// MetricsConfig says where collectors fetch the metrics of the server: nowhere, or on a listener that serves nothing else, so that
// no proxy for clients shows them to the world.
type MetricsConfig struct {
	Listen string `yaml:"listen"`
	Token  string `yaml:"token"`
}

func (c MetricsConfig) check(bad report) {
	if c.Token != "" && len(c.Token) < minMetricsToken {
		bad("metrics.token", "must have %d characters at least", minMetricsToken)
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad("metrics.token", "must have no spaces, and no letters outside of ASCII")
	}
	if c.Listen == "" {
		return
	}
	checkListenAt("metrics.listen", c.Listen, bad)
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && c.Token == "" && !isLoopback(host) {
		bad("metrics.listen", "%q can be reached from elsewhere: set metrics.token, or listen on 127.0.0.1", c.Listen)
	}
}

// isLoopback reports whether a host is this machine, for nobody else.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// metricsServer serves the metrics. A nil one serves none.
type metricsServer struct {
	server   *http.Server
	listener net.Listener
}

// listenMetrics opens the listener, nil for none.
func listenMetrics(cfg MetricsConfig, status func(context.Context) servicesStatus, log zerolog.Logger, more ...func(io.Writer) error) (*metricsServer, error) {
	if cfg.Listen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("another program listens on %s: stop it, or set another address in metrics.listen", cfg.Listen)
	case err != nil:
		return nil, fmt.Errorf("listen on %s for metrics: %w", cfg.Listen, err)
	}
	return &metricsServer{listener: listener, server: &http.Server{
		Handler: metricsHandler(cfg.Token, status, more...), ReadHeaderTimeout: headerTimeout, ReadTimeout: metricsTimeout,
		WriteTimeout: metricsTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: stdlog.New(log.With().Str("part", "metrics").Logger(), "", 0),
	}}, nil
}

// metricsHandler answers GET metricsPath: with the metrics of application services, and with more of other parts. With a token, only who
// knows it gets anything.
func metricsHandler(token string, status func(context.Context) servicesStatus, more ...func(io.Writer) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metricsPath, func(w http.ResponseWriter, r *http.Request) {
		accept := strings.Join(r.Header.Values("Accept"), ",")
		isOpen := strings.Contains(accept, "application/openmetrics-text")
		var text bytes.Buffer
		err := printMetrics(&text, status(r.Context()), time.Now())
		for _, print := range more {
			err = errors.Join(err, print(&text))
		}
		if err != nil {
			http.Error(w, "The metrics could not be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", prometheusText)
		if isOpen {
			w.Header().Set("Content-Type", openMetricsText)
			text.WriteString("# EOF\n")
		}
		_, _ = w.Write(text.Bytes())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); {
		case token == "" && !isLoopback(hostOf(r)):
			// A page in a browser on this machine can have a name of its own lead here, and would then read the answer.
			http.Error(w, "Ask for metrics by the address of this machine, or set metrics.token", http.StatusForbidden)
		case token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1:
			w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
			http.Error(w, "This takes the token of metrics.token", http.StatusUnauthorized)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// hostOf is the host that a request was sent to, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]")
}

// run serves until ctx ends. Who asks for metrics at that moment asks again.
func (m *metricsServer) run(ctx context.Context) error {
	if m == nil {
		return nil
	}
	failed := make(chan error, 1)
	go func() { failed <- m.server.Serve(m.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	err := m.server.Close()
	<-failed // http.ErrServerClosed
	return err
}

// close is for one that is never run.
func (m *metricsServer) close() error {
	if m == nil {
		return nil
	}
	return m.listener.Close()
}
