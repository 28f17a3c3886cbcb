package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// stageAtOnce is how many requests of the set-up run at once.
const stageAtOnce = 32

// stage is a server with the people and rooms that were made for the figures so far.
type stage struct {
	*site
	server  *server
	engine  string
	log     io.Writer
	people  []*user
	figures []Figure

	registered int // users, by strangers
}

// cast returns n users, the same for each chapter, and registers those that are missing.
func (s *stage) cast(ctx context.Context, n int) ([]*user, error) {
	if missing := n - len(s.people); missing > 0 {
		more, err := s.strangers(ctx, missing)
		if err != nil {
			return nil, err
		}
		s.people = append(s.people, more...)
	}
	return s.people[:n], nil
}

// strangers registers n users, who are in no room.
func (s *stage) strangers(ctx context.Context, n int) ([]*user, error) {
	all := make([]*user, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(setupAtOnce)
	for i := range all {
		s.registered++
		name := fmt.Sprintf("bench_%s_%d", s.run, s.registered)
		group.Go(func() (err error) {
			all[i], err = s.register(ctx, name, "")
			return err
		})
	}
	return all, group.Wait()
}

// halls makes n rooms of which owner is a member.
func (s *stage) halls(ctx context.Context, owner *user, n int) ([]string, error) {
	rooms := make([]string, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(stageAtOnce)
	for i := range rooms {
		group.Go(func() (err error) {
			rooms[i], err = s.createRoom(ctx, owner)
			return err
		})
	}
	return rooms, group.Wait()
}

// fill makes everyone a member of every room.
func (s *stage) fill(ctx context.Context, rooms []string, people []*user) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(stageAtOnce)
	for _, roomID := range rooms {
		for _, u := range people {
			group.Go(func() error { return s.join(ctx, u, roomID) })
		}
	}
	return group.Wait()
}

// say puts n messages into a room, by one sender.
func (s *stage) say(ctx context.Context, u *user, roomID, series string, n int, text func(int) string) error {
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(roomID) + "/send/m.room.message/"
	for i := range n {
		body := map[string]string{"msgtype": "m.text", "body": text(i)}
		if err := s.call(ctx, u.token, http.MethodPut, path+s.mark(series, i), body, nil); err != nil {
			return err
		}
	}
	return nil
}

// get makes a request and reads the whole answer, of which it returns the size and, when keep is not nil, the bytes.
func (s *stage) get(ctx context.Context, u *user, method, path string, in any, keep *bytes.Buffer) (int64, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.address(path), body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return 0, fmt.Errorf("%s %s: %w", method, path, newStatusError(res.StatusCode, text))
	}
	if keep != nil {
		keep.Reset()
		return io.Copy(keep, res.Body)
	}
	return io.Copy(io.Discard, res.Body)
}

// times makes one figure of n requests, one after the other.
func (s *stage) times(ctx context.Context, name string, n int, request func(i int) (int64, error)) error {
	return s.paced(ctx, name, n, 0, request)
}

// paced is times with a pause, which is not measured, after each request.
func (s *stage) paced(ctx context.Context, name string, n int, rest time.Duration, request func(i int) (int64, error)) error {
	f := Figure{Engine: s.engine, Name: name, N: n}
	result, err := measure(ctx, s.server.pid(), func(ctx context.Context) (Result, error) {
		samples := make([]time.Duration, 0, n)
		for i := range n {
			start := time.Now()
			size, err := request(i)
			if err != nil {
				return Result{}, err
			}
			samples = append(samples, time.Since(start))
			f.Bytes = size
			if err := pause(ctx, rest); err != nil {
				return Result{}, err
			}
		}
		f.Latencies = latencies(samples)
		return Result{}, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.Process = result.Process
	s.add(f)
	return nil
}

func (s *stage) add(f Figure) {
	fmt.Fprintf(s.log, "%s: %s: p50 %.2f ms, p99 %.2f ms\n", s.engine, f.Name, f.P50MS, f.P99MS)
	s.figures = append(s.figures, f)
}

// nextBatch finds the token in an answer to /sync.
func nextBatch(answer []byte) (string, error) {
	const key = `"next_batch":"`
	_, rest, found := strings.Cut(string(answer), key)
	token, _, closed := strings.Cut(rest, `"`)
	if !found || !closed {
		return "", fmt.Errorf("the answer to /sync has no next_batch")
	}
	return token, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
