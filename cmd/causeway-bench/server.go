package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// startWithin is how long a server may take until it answers.
	startWithin = 30 * time.Second
	// stopWithin is how long a server may take to end after SIGTERM.
	stopWithin = 20 * time.Second
	// lastWordsSize is how much of its log is shown when something fails, in bytes.
	lastWordsSize = 2000
)

// server is a causeway that this command started.
type server struct {
	url   string
	cmd   *exec.Cmd
	log   *os.File
	ended chan error // gets what the process ended with
}

// startServer runs the binary in dir on a free port and waits until it answers.
func startServer(ctx context.Context, binary, dir, database string) (*server, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config, err := writeConfiguration(dir, listen, database)
	if err != nil {
		return nil, err
	}
	binary, err = filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return nil, err
	}
	// Not CommandContext: a signal to us must not end the server before the
	// load that is running has ended.
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CAUSEWAY_") })
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), log.Close())
	}
	s := &server{url: "http://" + listen, cmd: cmd, log: log, ended: make(chan error, 1)}
	go func() { s.ended <- cmd.Wait() }()
	if err := s.awaitReady(ctx); err != nil {
		_ = s.stop() // its own error, if any, says less
		return nil, fmt.Errorf("%w%s", err, s.lastWords())
	}
	return s, nil
}

// freeAddress finds a loopback port that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// awaitReady asks for the versions until they come.
func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/_matrix/client/versions", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("the server ended at once: %v", cmp.Or(err, errors.New("it was told to serve")))
		default:
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the server did not answer: %w", err)
		}
	}
}

// stop asks the server to end and waits for that; one that does not is killed.
func (s *server) stop() error {
	defer s.log.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err != nil {
			return fmt.Errorf("the server ended with an error: %w", err)
		}
		return nil
	case <-time.After(stopWithin):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server had not ended %s after SIGTERM and was killed", stopWithin)
	}
}

// lastWords is the end of the server's log, to go with an error.
func (s *server) lastWords() string {
	log, err := os.ReadFile(s.log.Name())
	if err != nil || len(bytes.TrimSpace(log)) == 0 {
		return ""
	}
	return "\nthe server's last words:\n" + string(log[max(len(log)-lastWordsSize, 0):])
}
