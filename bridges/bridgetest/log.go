package bridgetest

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
)

// LogTo returns a writer into the log of a test that falls silent when the test ends. bridgev2 has goroutines
// that outlive its Stop for a moment.
func LogTo(t testing.TB) io.Writer {
	w := &testLog{t: t}
	t.Cleanup(w.end)
	return w
}

type testLog struct {
	mu sync.Mutex // guards t
	t  testing.TB // nil after the end
}

func (w *testLog) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Log(string(line[:len(line)-1]))
	}
	return len(line), nil
}

func (w *testLog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}

// Recorder is a log that is looked into at the end of a test.
type Recorder struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (r *Recorder) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

// Contains reports whether a text was logged.
func (r *Recorder) Contains(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.text.String(), text)
}
