package inproc

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// response is the http.ResponseWriter of the handler.
type response struct {
	header http.Header
	sent   http.Header // header as it was at WriteHeader
	status int
	buffer bytes.Buffer
	head   bool
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational statuses are dropped.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if !w.bodyAllowed() {
		return 0, http.ErrBodyNotAllowed
	}
	return w.buffer.Write(p)
}

// Flush implements http.Flusher as far as that can be without streaming: it
// sends the header off.
func (w *response) Flush() { w.WriteHeader(http.StatusOK) }

func (w *response) bodyAllowed() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// result returns the response as a client would have read it from the wire.
func (w *response) result(r *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	body := w.buffer.Bytes()
	length := int64(len(body))
	if w.bodyAllowed() {
		w.sent.Set("Content-Length", strconv.FormatInt(length, 10))
		if _, ok := w.sent["Content-Type"]; !ok && length > 0 {
			w.sent.Set("Content-Type", http.DetectContentType(body))
		}
	}
	if w.head {
		body = nil
	}
	return &http.Response{
		Status:     strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: io.NopCloser(bytes.NewReader(body)),
		ContentLength: length, Request: r,
	}
}
