package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

const (
	// maxLine bounds a line of a child's output, in bytes; what is longer is cut.
	maxLine = 64 << 10
	// maxWords bounds what is kept of what a child said last, in bytes.
	maxWords = 500
)

// relay writes a child's output into the parent's log until it ends: records of its log with their levels and fields,
// everything else, such as the trace of a panic, as lines.
func relay(output io.Reader, log zerolog.Logger, said *lastWords) {
	lines := bufio.NewReaderSize(output, maxLine)
	for cut := false; ; {
		line, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		if !cut {
			relayLine(line, log, said)
		}
		cut = more
	}
}

func relayLine(line []byte, log zerolog.Logger, said *lastWords) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var fields map[string]any
	if decoder.Decode(&fields) == nil && fields[zerolog.LevelFieldName] != nil {
		name, _ := fields[zerolog.LevelFieldName].(string)
		message, _ := fields[zerolog.MessageFieldName].(string)
		level, err := zerolog.ParseLevel(name)
		if err != nil {
			level = zerolog.WarnLevel
		}
		for _, own := range []string{zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName, "part"} {
			delete(fields, own)
		}
		if level >= zerolog.ErrorLevel {
			cause, _ := fields[zerolog.ErrorFieldName].(string)
			said.record(strings.TrimSuffix(message+": "+cause, ": "))
		}
		log.WithLevel(level).Fields(fields).Msg(message)
		return
	}
	if text := strings.TrimSpace(string(line)); text != "" {
		said.line(text)
		log.Warn().Msg(text)
	}
}

// lastWords are what a child said before it ended.
type lastWords struct {
	mu       sync.Mutex // guards both
	text     string
	panicked bool
}

// record takes an error of the child's log.
func (w *lastWords) record(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.panicked {
		w.set(text)
	}
}

// line takes a line that is no record. The first of a panic says what happened, those below it only where.
func (w *lastWords) line(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.panicked {
		return
	}
	w.panicked = strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ")
	w.set(text)
}

func (w *lastWords) set(text string) {
	w.text = strings.ToValidUTF8(text[:min(len(text), maxWords)], "")
}

// String is what was said.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}
