package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits on bodies, in bytes, for [Endpoint.MaxBody].
const (
	// DefaultMaxBody serves every body that carries one event (which the room
	// engine limits to 64 KiB, in canonical form) or settings of one user.
	DefaultMaxBody = 256 << 10
	// LargeMaxBody serves those that carry keys or events by the hundred.
	LargeMaxBody = 8 << 20
)

// defaultBodyTimeout is the time that a client has to send a body, or each part
// of one that is streamed.
const defaultBodyTimeout = 30 * time.Second

// maxKeptBuffer is the largest buffer, in bytes, that goes back to a pool.
const maxKeptBuffer = 64 << 10

// Empty is the In of a handler that wants no body, and the Out of one that has
// nothing to say and answers {}.
type Empty struct{}

var bodyBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Decode reads the body into v as [JSON] does it for In: v is a pointer to any
// value, to json.RawMessage or to [Empty]. The errors are 400 M_NOT_JSON,
// 400 M_BAD_JSON and 413 M_TOO_LARGE.
func (r *Request) Decode(v any) error {
	switch v := v.(type) {
	case *Empty:
		return r.discardBody()
	case *json.RawMessage:
		body, err := r.ReadBody()
		if err != nil {
			return err
		}
		*v = json.RawMessage("{}")
		if len(body) > 0 || !r.endpoint.bodyOptional {
			*v = body
			return checkObject(body, true)
		}
		return nil
	}
	if r.bodyRead {
		return r.unmarshal(r.body, v)
	}
	buffer := bodyBuffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= maxKeptBuffer {
			buffer.Reset()
			bodyBuffers.Put(buffer)
		}
	}()
	if err := r.readInto(buffer); err != nil {
		return err
	}
	return r.unmarshal(buffer.Bytes(), v)
}

// ReadBody returns the whole body, which may be empty and need not be JSON. It
// may be called again, and before [Request.Decode]. The error is 413 M_TOO_LARGE
// past the endpoint's limit.
func (r *Request) ReadBody() ([]byte, error) {
	if r.bodyRead {
		return r.body, nil
	}
	body, err := r.readBody()
	if err != nil {
		return nil, err
	}
	r.body, r.bodyRead = body, true
	return body, nil
}

// readBody returns the body in a slice of its own, of the right size when the
// client has announced it.
func (r *Request) readBody() ([]byte, error) {
	if r.ContentLength > 0 && r.ContentLength <= r.maxBody() {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, readError(err)
		}
		r.bodyArrived()
		return body, nil
	}
	var buffer bytes.Buffer
	err := r.readInto(&buffer)
	return buffer.Bytes(), err
}

func (r *Request) unmarshal(body []byte, v any) error {
	if len(body) == 0 && r.endpoint.bodyOptional {
		return nil
	}
	if err := checkObject(body, false); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return decodeError(err)
	}
	return nil
}

// maxBody is the limit of this endpoint in bytes.
func (r *Request) maxBody() int64 {
	if r.endpoint.maxBody > 0 {
		return r.endpoint.maxBody
	}
	return r.mux.options.MaxBody
}

// readInto reads the body, within the endpoint's limits on size and time.
func (r *Request) readInto(buffer *bytes.Buffer) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	limit := r.maxBody()
	if r.ContentLength > limit {
		return TooLarge("The body is larger than %d bytes", limit)
	}
	if r.ContentLength > 0 {
		// bytes.Buffer wants room to spare before it sees the end.
		buffer.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return readError(err)
	}
	if n > limit {
		return TooLarge("The body is larger than %d bytes", limit)
	}
	r.bodyArrived()
	return nil
}

// readError is what a client sees, if it still listens, when its body did not
// arrive whole.
func readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Error(http.StatusRequestTimeout, "M_UNKNOWN", "The body took too long to arrive")
	}
	return NotJSON("The body ended early")
}

// awaitBody gives the client until BodyTimeout from now to send the rest of its
// body. It holds, once [Mux.ServeHTTP] has set it, also for what no handler
// reads: net/http reads on behind a handler, to use the connection again.
// Transports that know no deadlines are not asked again.
func (r *Request) awaitBody() {
	r.setReadDeadline(time.Now().Add(r.mux.options.BodyTimeout))
}

func (r *Request) setReadDeadline(at time.Time) {
	if !r.noDeadlines {
		r.noDeadlines = http.NewResponseController(r.w).SetReadDeadline(at) != nil
	}
}

// bodyArrived lifts what awaitBody set, as from now on a read ends only when the
// client hangs up.
func (r *Request) bodyArrived() {
	r.setReadDeadline(time.Time{})
}

// discardBody reads the body to its end. Until that is reached, net/http does
// not notice that a client hangs up.
func (r *Request) discardBody() error {
	if r.bodyRead || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	limit := r.maxBody()
	if r.ContentLength > limit {
		return TooLarge("The body is larger than %d bytes", limit)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, limit+1))
	if err != nil {
		return readError(err)
	}
	if n > limit {
		return TooLarge("The body is larger than %d bytes", limit)
	}
	r.bodyArrived()
	return nil
}

// streamBody puts the endpoint's limit on r.Body for a handler that reads it.
func (r *Request) streamBody() {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &limitedBody{http.MaxBytesReader(r.w, r.Body, r.maxBody()), r}
	}
}

// limitedBody is a body of any length, of which only each part must arrive in
// time.
type limitedBody struct {
	io.ReadCloser
	request *Request
}

func (b *limitedBody) Read(p []byte) (int, error) {
	b.request.awaitBody()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.request.bodyArrived()
		return n, err
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return n, TooLarge("The body is larger than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return n, readError(err)
	}
	return n, nil
}
