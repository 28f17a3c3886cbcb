package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
)

// putter sends messages of one user into one room. It keeps its request, its
// headers and its buffers from one message to the next, so it serves one
// goroutine at a time.
type putter struct {
	site   *site
	req    *http.Request
	prefix string // of the path, up to the transaction id
	body   requestBody
	text   []byte
	answer bytes.Buffer
	filler []byte
}

// requestBody is a request's body that tells when the transport has done with
// it, which may be after the answer came (http.RoundTripper).
type requestBody struct {
	bytes.Reader
	closed chan struct{}
}

// Close is called by the transport.
func (b *requestBody) Close() error {
	select {
	case b.closed <- struct{}{}:
	default:
	}
	return nil
}

// newPutter prepares messages whose text is padded to size bytes.
func (s *site) newPutter(ctx context.Context, u *user, roomID string, size int) (*putter, error) {
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(roomID) + "/send/m.room.message/"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.address(path), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+u.token)
	// A nil value is not sent, but lets the transport try again when the server
	// closed an idle connection: a transaction id makes the PUT idempotent.
	req.Header["Idempotency-Key"] = nil
	p := &putter{site: s, req: req, prefix: path, filler: bytes.Repeat([]byte{'.'}, size)}
	p.body.closed = make(chan struct{}, 1)
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.text)), nil }
	return p, nil
}

// put sends one message. Its transaction id and its text begin with mark,
// which needs no escaping; the text goes on to the size. An answer that is
// not 2xx is a statusError.
func (p *putter) put(mark string) error {
	p.compose(mark)
	select {
	case <-p.body.closed:
	default:
	}
	// Opaque keeps the escaped room id as it is and saves the escaping.
	p.req.URL.Opaque = p.prefix + mark
	p.req.Body = &p.body
	p.req.ContentLength = int64(len(p.text))
	res, err := p.site.client.Do(p.req)
	<-p.body.closed
	if err != nil {
		return err
	}
	defer res.Body.Close()
	p.answer.Reset()
	if _, err = p.answer.ReadFrom(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return newStatusError(res.StatusCode, p.answer.Bytes())
	}
	return nil
}

// compose writes the message's content.
func (p *putter) compose(mark string) {
	p.text = append(p.text[:0], `{"msgtype":"m.text","body":"`...)
	p.text = append(p.text, mark...)
	if rest := len(p.filler) - len(mark); rest > 0 {
		p.text = append(p.text, ' ')
		p.text = append(p.text, p.filler[1:rest]...)
	}
	p.text = append(p.text, `"}`...)
	p.body.Reset(p.text)
}
