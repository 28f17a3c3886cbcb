package process

import (
	stdlog "log"
	"net"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"

	"causeway/appservice/inproc"
)

// Homeserver is the parent's socket, at which the children's requests to the homeserver come in.
type Homeserver struct {
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
}

// ServeHomeserver opens the socket in a folder and answers requests with the handler until Close.
func ServeHomeserver(dir string, handler http.Handler, log zerolog.Logger) (*Homeserver, error) {
	listener, err := listen(filepath.Join(dir, homeserverName))
	if err != nil {
		return nil, err
	}
	h := &Homeserver{listener: listener, server: &http.Server{
		Handler: fromWithin(handler), ReadHeaderTimeout: headerTimeout, ErrorLog: stdlog.New(log, "", 0),
	}}
	h.serving.Go(func() { _ = h.server.Serve(listener) }) // http.ErrServerClosed
	return h, nil
}

// Close ends all requests and removes the socket. A nil Homeserver has none.
func (h *Homeserver) Close() error {
	if h == nil {
		return nil
	}
	err := h.server.Close()
	h.serving.Wait()
	return err
}

// fromWithin has requests come from where those of bridges in this process come from.
func fromWithin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = inproc.RemoteAddr
		next.ServeHTTP(w, r)
	})
}
