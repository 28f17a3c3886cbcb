package bridgetest

import (
	"io"
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
