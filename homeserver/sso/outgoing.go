package sso

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// Bounds of what is asked of a provider.
const (
	requestTimeout = 10 * time.Second
	maxAnswerBytes = 1 << 20
	maxIdle        = 2 * time.Second // of connections
)

// defaultTransport keeps connections for one sign-in, and not for the next: a code is sent once alone, and would be lost on one that the provider
// is just about to close.
func defaultTransport() http.RoundTripper {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	own := shared.Clone()
	own.IdleConnTimeout = maxIdle
	return own
}

// newClient returns the client that asks providers. It follows no redirects: what a provider says is at the address that it has named.
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Timeout:   requestTimeout,
		Transport: bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// bounded reads no more of an answer than there is any need for.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &boundedBody{ReadCloser: answer.Body, left: maxAnswerBytes}
	return answer, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
