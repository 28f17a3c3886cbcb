package httpapi

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// defaultAnswerTimeout is the time that a client has to take a part of an
	// answer. Who takes nothing for so long is cut off: an answer that nobody reads
	// would hold its memory until the server's own timeout.
	defaultAnswerTimeout = 30 * time.Second
	// slowestReader is the rate, in bytes per second, at which a client must read
	// an answer on average, past that time.
	slowestReader = 16 << 10
	// writePart and copyPart are the parts of an answer and of a file, in bytes.
	writePart = 64 << 10
	copyPart  = 256 << 10
)

// responseWriter notes what was answered. Until a route has taken the request
// over, it swallows what ServeMux says about unknown paths in plain text.
type responseWriter struct {
	http.ResponseWriter
	exchange *exchange
	routed   bool
	status   int // 0 before the first byte
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	if w.routed {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if !w.routed {
		return len(p), nil
	}
	end := time.Now().Add(w.patience() + time.Duration(len(p))*time.Second/slowestReader)
	written := 0
	for {
		part := p[written:min(len(p), written+writePart)]
		w.expect(end)
		n, err := w.ResponseWriter.Write(part)
		if written += n; err != nil || written >= len(p) {
			return written, err
		}
	}
}

// ReadFrom keeps sendfile(2) within reach of downloads from disk.
func (w *responseWriter) ReadFrom(src io.Reader) (n int64, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for err == nil {
		var part int64
		w.expect(time.Now().Add(w.patience()))
		part, err = io.CopyN(w.ResponseWriter, src, copyPart)
		n += part
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// patience is how long a client may take nothing.
func (w *responseWriter) patience() time.Duration {
	return w.exchange.request.mux.options.AnswerTimeout
}

// expect has the client take something soon, and all before end.
func (w *responseWriter) expect(end time.Time) {
	if soon := time.Now().Add(w.patience()); soon.Before(end) {
		end = soon
	}
	// Not every connection has deadlines: a bridge in this process has none, nor
	// has a test.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(end)
}

// Unwrap serves http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
