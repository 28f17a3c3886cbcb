// Package process runs a bridge in a child process, so that one that crashes, leaks or hangs takes nothing else with it.
//
// It holds both ends: Child is the parent's, which starts the process and starts it again, and Serve the child's.
// They talk HTTP over two Unix sockets in a folder that is the operator's alone, one served by each. The child's
// standard input brings its job and then stays open: its end tells the child to stop, and that the parent has ended,
// however that was. cmd/causeway calls both. It knows neither the homeserver nor the configuration.
package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Place is where a bridge's child process and its parent meet.
type Place struct {
	// Dir holds the sockets. Nobody else may enter it.
	Dir string
	// Name is the bridge's ID.
	Name string
}

// homeserverName is the socket of the parent in Place.Dir, for all bridges.
const homeserverName = "homeserver.sock"

func (p Place) socket() string { return filepath.Join(p.Dir, p.Name+".sock") }
func (p Place) lock() string   { return filepath.Join(p.Dir, p.Name+".lock") }

const (
	dialTimeout   = 5 * time.Second
	headerTimeout = 10 * time.Second
	// maxIdleConns is how many requests at a time find a connection that is open already.
	maxIdleConns = 16
	// maxSocketPath is how long the path of a Unix socket can be, in bytes.
	maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1
)

// listen opens a socket for its owner alone. One that is there already is what an ended process left behind.
func listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path %s is too long for a socket (at most %d bytes): choose a shorter data_dir, "+
			"or let the bridge run in the process", path, maxSocketPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove an old socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), listener.Close())
	}
	return listener, nil
}

// transportTo carries requests to whoever serves a socket.
func transportTo(path string) *http.Transport {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: maxIdleConns,
	}
}
