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
)

const (
	// maxAnswer bounds what is read of one answer, in bytes.
	maxAnswer = 16 << 20
	// maxWaits bounds how often one request of the set-up waits for a rate limit.
	maxWaits = 20
	// maxWait bounds one such wait.
	maxWait = 30 * time.Second
)

// site is a homeserver and the kept-alive connections to it.
type site struct {
	base   *url.URL
	client *http.Client
	run    string // tells this run's names from those of others
}

// user is an account with an access token.
type user struct {
	id, token string
}

// newSite prepares a pool with a connection for each user that acts at once.
func newSite(base *url.URL) *site {
	return &site{
		base: base,
		run:  fmt.Sprintf("%x", time.Now().UnixMilli()),
		client: &http.Client{
			Transport: &http.Transport{
				MaxIdleConns:        2 * maxSenders,
				MaxIdleConnsPerHost: 2 * maxSenders,
				IdleConnTimeout:     5 * time.Minute,
				DisableCompression:  true, // inflating would cost what it is to measure
				WriteBufferSize:     2048,
				ReadBufferSize:      2048,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// close drops the idle connections, so that the server may stop.
func (s *site) close() { s.client.CloseIdleConnections() }

// address is the URL of a path, which may carry a query.
func (s *site) address(path string) string { return s.base.Scheme + "://" + s.base.Host + path }

// statusError is an answer that is not 2xx.
type statusError struct {
	status       int
	Code         string `json:"errcode"`
	Text         string `json:"error"`
	RetryAfterMS int64  `json:"retry_after_ms"`
	body         []byte
}

// Error names the status and, for a Matrix error, its code and text.
func (e *statusError) Error() string {
	return strings.TrimRight(fmt.Sprintf("%d %s %s", e.status, e.Code, e.Text), " ")
}

func newStatusError(status int, body []byte) *statusError {
	e := &statusError{}
	_ = json.Unmarshal(body, e) // a proxy's error page has no fields
	e.status, e.body = status, bytes.Clone(body)
	return e
}

// call makes one request of the set-up, where cost does not matter: in and out
// are JSON values, out may be nil. A rate limit is waited out.
func (s *site) call(ctx context.Context, token, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	for waits := 0; ; waits++ {
		answer, err := s.once(ctx, token, method, path, body)
		if e, ok := err.(*statusError); ok && e.status == http.StatusTooManyRequests && waits < maxWaits {
			wait := min(max(time.Duration(e.RetryAfterMS)*time.Millisecond, 100*time.Millisecond), maxWait)
			if err := pause(ctx, wait); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
		}
		return nil
	}
}

func (s *site) once(ctx context.Context, token, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.address(path), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, newStatusError(res.StatusCode, answer)
	}
	return answer, nil
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
