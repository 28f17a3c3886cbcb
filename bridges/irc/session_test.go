package irc

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestWriterRests has a writer only while there is something to write, and loses nothing at the moment at which it ends.
func TestWriterRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		s := newSession(ours, plainly)
		defer s.close()
		writes := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.writing
		}
		for range 3 {
			if writes() {
				t.Fatal("there is a writer, and nothing to write")
			}
			s.offer(true)
			s.out <- parcel{lines: []string{"PING x"}}
			s.offer(false)
			line := make([]byte, 8)
			if _, err := io.ReadFull(theirs, line); err != nil || string(line) != "PING x\r\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			time.Sleep(writerIdle - time.Millisecond)
			synctest.Wait()
			if !writes() {
				t.Error("the writer has ended too early")
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
		}
		// It would end while something is offered that the client has not handed over yet.
		s.offer(true)
		time.Sleep(3 * writerIdle)
		synctest.Wait()
		if !writes() {
			t.Error("the writer has ended with something to write")
		}
		s.out <- parcel{lines: []string{"PING y"}}
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		s.offer(false)
		time.Sleep(3 * writerIdle)
		synctest.Wait()
		if writes() {
			t.Error("the writer stays")
		}
	})
}

// TestDownIsLoggedSeldom has one line of the log stand for all who are not connected.
func TestDownIsLoggedSeldom(t *testing.T) {
	var s seldom
	now := time.Now()
	for i, want := range []bool{true, false, false} {
		if got := s.due(now.Add(time.Duration(i) * time.Second)); got != want {
			t.Errorf("at %d s: got %v", i, got)
		}
	}
	if !s.due(now.Add(downLogEvery)) {
		t.Error("not due after a while")
	}
}
