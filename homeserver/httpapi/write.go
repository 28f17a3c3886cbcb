package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"maunium.net/go/mautrix"
)

// Appender is an answer that writes its own JSON: AppendJSON appends one valid
// JSON value to dst and returns the result.
type Appender interface {
	AppendJSON(dst []byte) []byte
}

// Response is an answer with a status or headers of its own. A Status of 0 is
// 200; a Body is marshalled as [JSON] does it, and nil is {}.
type Response struct {
	Status int
	Header http.Header
	Body   any
}

// encoder is a buffer with an encoder that writes to it. Answers of the
// Appender kind use scratch instead.
type encoder struct {
	buffer  bytes.Buffer
	json    *json.Encoder
	scratch []byte
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.buffer)
	e.json.SetEscapeHTML(false)
	return e
}}

func (e *encoder) release() {
	if e.buffer.Cap() <= maxKeptBuffer && cap(e.scratch) <= maxKeptBuffer {
		e.buffer.Reset()
		encoders.Put(e)
	}
}

// marshal returns v as JSON, valid until e is released.
func (e *encoder) marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return emptyObject, nil
	case Empty:
		return emptyObject, nil
	case json.RawMessage:
		if len(v) == 0 {
			return emptyObject, nil
		}
		return v, nil
	case Appender:
		e.scratch = v.AppendJSON(e.scratch[:0])
		return e.scratch, nil
	}
	if err := e.json.Encode(v); err != nil {
		// An encoder remembers the error of its writer, of which a buffer has
		// none, but what it had written before must not be seen by the next.
		e.buffer.Reset()
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	return bytes.TrimSuffix(e.buffer.Bytes(), []byte("\n")), nil
}

var emptyObject = []byte("{}")

// Values of headers that are the same for every answer, to be shared.
var (
	contentTypeJSON  = []string{"application/json"}
	corsOrigin       = []string{"*"}
	corsAllowHeaders = []string{"X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match"}
)

// contentLengthFrom is the size from which on we name the length ourselves;
// net/http finds that of smaller answers, and with fewer allocations.
const contentLengthFrom = 2 << 10

// write answers with v.
func write(w http.ResponseWriter, status int, v any) error {
	switch response := v.(type) {
	case Response:
		return writeResponse(w, response)
	case *Response:
		return writeResponse(w, *response)
	}
	e := encoders.Get().(*encoder)
	defer e.release()
	body, err := e.marshal(v)
	if err != nil {
		return err
	}
	header := w.Header()
	header["Content-Type"] = contentTypeJSON
	if len(body) >= contentLengthFrom {
		header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	// The only error there can be is that the client is gone.
	_, _ = w.Write(body)
	return nil
}

func writeResponse(w http.ResponseWriter, response Response) error {
	maps.Copy(w.Header(), response.Header)
	return write(w, cmp.Or(response.Status, http.StatusOK), response.Body)
}

// matrixError is a mautrix.RespError in the form it is shown: the code and
// sentence first, then the extra fields. Without a code only the extra fields
// are shown. Internal errors are not.
type matrixError struct{ mautrix.RespError }

// AppendJSON implements [Appender].
func (m matrixError) AppendJSON(dst []byte) []byte {
	code, message := "errcode", "error"
	if m.OAuth {
		// RFC 6749, section 5.2.
		code, message = "error", "error_description"
	}
	dst = append(dst, '{')
	if m.ErrCode != "" {
		dst = appendField(dst, code, m.ErrCode)
		dst = appendField(dst, message, m.Err)
	}
	for _, key := range slices.Sorted(maps.Keys(m.ExtraData)) {
		if key != code && key != message {
			dst = appendField(dst, key, m.ExtraData[key])
		}
	}
	if m.CanRetry {
		dst = appendField(dst, "com.beeper.can_retry", true)
	}
	return append(dst, '}')
}

// appendField appends a member of an object, with a comma where one is needed.
// A value that cannot be marshalled is left out.
func appendField(dst []byte, key string, value any) []byte {
	e := encoders.Get().(*encoder)
	defer e.release()
	if e.json.Encode(map[string]any{key: value}) != nil {
		e.buffer.Reset()
		return dst
	}
	member := bytes.TrimSuffix(e.buffer.Bytes()[1:], []byte("}\n"))
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(dst, member...)
}
