package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"causeway/bridges"
)

// lockEvery is how often a child looks whether its predecessor has ended.
const lockEvery = 50 * time.Millisecond

// Serve is the life of a child after it has read its job from input: it opens the bridge, which is given the way to the
// homeserver, and runs it until ctx or the input ends. Only one child at a time is past the lock, whatever became of
// the parent of another.
func Serve(ctx context.Context, place Place, input io.Reader, log zerolog.Logger,
	open func(homeserver http.RoundTripper) (*bridges.Bridge, error)) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// It reads until the process ends: nobody can wait for it.
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel()
		// Where there is no parent any more, nobody else insists.
		time.Sleep(stopWait)
		os.Exit(1)
	}()
	lock, err := takeLock(ctx, place.lock())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	homeserver := transportTo(filepath.Join(place.Dir, homeserverName))
	defer homeserver.CloseIdleConnections()
	bridge, err := open(homeserver)
	if err != nil {
		return err
	}
	listener, err := listen(place.socket())
	if err != nil {
		return errors.Join(err, bridge.Close())
	}
	server := &http.Server{Handler: bridge.Handler(), ReadHeaderTimeout: headerTimeout, ErrorLog: stdlog.New(log, "", 0)}
	failed := make(chan error, 1)
	go func() {
		failed <- server.Serve(listener)
		cancel()
	}()
	err = bridge.Run(ctx)
	// The bridge has answered what it was asked: what waits now is refused.
	err = errors.Join(err, server.Close())
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve the bridge: %w", served))
	}
	return err
}

// takeLock waits until no other process has the lock. It goes with the process, however that ends.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the bridge's lock: %w", err)
	}
	retry := time.NewTicker(lockEvery)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		}
	}
}
