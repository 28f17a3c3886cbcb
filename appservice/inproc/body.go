package inproc

import (
	"io"
	"net/http"
	"sync/atomic"
)

// body is the request's body on its way to the handler.
type body struct {
	reader io.ReadCloser
	length int64 // -1 when the sender did not tell
	read   int64
	closed atomic.Bool
}

func newBody(r *http.Request) *body {
	b := &body{reader: r.Body, length: r.ContentLength}
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		b.reader, b.length = http.NoBody, 0
	case b.length == 0:
		// For a client 0 is unknown, when there is a body.
		b.length = -1
	}
	return b
}

// Read reads no more than was announced, and takes less for an error.
func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.length >= 0 {
		if b.read >= b.length {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), b.length-b.read)]
	}
	n, err := b.reader.Read(p)
	b.read += int64(n)
	if err == io.EOF && b.read < b.length {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close closes the sender's body, once. It may be called while a Read waits.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.reader.Close()
}
