package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for one thing that it expects. It is long,
// since it is only used up by a failure.
const patience = 60 * time.Second

// shownOnFailure is how many of a journal's last entries a failure shows.
const shownOnFailure = 30

// journal is what something outside of the test has said so far, in order.
type journal[T any] struct {
	mu      sync.Mutex // guards entries and grown
	entries []T
	grown   chan struct{} // closed and replaced at each new entry
}

func newJournal[T any]() *journal[T] {
	return &journal[T]{grown: make(chan struct{})}
}

func (j *journal[T]) add(entry T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	close(j.grown)
	j.grown = make(chan struct{})
}

// from returns the entries since position, and a channel that is closed when
// there are more.
func (j *journal[T]) from(position int) ([]T, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	position = min(position, len(j.entries))
	return j.entries[position:len(j.entries):len(j.entries)], j.grown
}

func (j *journal[T]) all() []T {
	entries, _ := j.from(0)
	return entries
}

// position is where the next entry will be.
func (j *journal[T]) position() int { return len(j.all()) }

// await returns the first entry since position that matches. It fails the test
// when there is none in time, and says what was there instead.
func (j *journal[T]) await(t *testing.T, position int, what string, matches func(T) bool) T {
	t.Helper()
	var found T
	j.awaitCount(t, position, what, 1, func(entry T) bool {
		if !matches(entry) {
			return false
		}
		found = entry
		return true
	})
	return found
}

// awaitCount waits until count entries since position match. No entry is
// offered to matches twice.
func (j *journal[T]) awaitCount(t *testing.T, position int, what string, count int, matches func(T) bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	matched := 0
	for {
		entries, grown := j.from(position)
		for _, entry := range entries {
			if matches(entry) {
				if matched++; matched == count {
					return
				}
			}
		}
		position += len(entries)
		if len(entries) > 0 {
			deadline.Reset(patience)
		}
		select {
		case <-grown:
		case <-deadline.C:
			t.Fatalf("no %s: saw %d of %d. The last entries were:\n%s", what, matched, count, j.tail())
		case <-t.Context().Done():
			t.Fatalf("no %s before the end of the test", what)
		}
	}
}

// tail shows the end of the journal.
func (j *journal[T]) tail() string {
	entries := j.all()
	var b strings.Builder
	for _, entry := range entries[max(0, len(entries)-shownOnFailure):] {
		fmt.Fprintf(&b, "\t%v\n", entry)
	}
	return b.String()
}
