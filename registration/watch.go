package registration

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// pollEvery is how often a Folder looks by itself: network file systems tell of
	// no changes, and neither does one that a kernel has no more watches for.
	pollEvery = 5 * time.Second
	// calm is the least time between two looks, however often files change.
	calm = 100 * time.Millisecond
)

// Reread has [Folder.Watch] read all files at once, and take them as they are.
func (f *Folder) Reread() {
	select {
	case f.reread <- struct{}{}:
	default:
	}
}

// Watch follows the files until ctx ends. changed is called, one call at a time,
// when other registrations hold than before, when there is something to warn of,
// and once for the same faults. When it is called, Set returns what holds now.
func (f *Folder) Watch(ctx context.Context, changed func(Change)) {
	var (
		events <-chan fsnotify.Event
		hear   = func() {}
	)
	if watcher, err := fsnotify.NewWatcher(); err == nil {
		defer watcher.Close()
		go func() {
			for range watcher.Errors { // lost events: the next poll finds out
			}
		}()
		events = watcher.Events
		// Again and again, as the directory may be another by now. What cannot be
		// watched is polled.
		hear = func() { _ = watcher.Add(f.dir) }
	}
	f.watch(ctx, events, hear, changed)
}

func (f *Folder) watch(ctx context.Context, events <-chan fsnotify.Event, hear func(), changed func(Change)) {
	for atOnce := false; ctx.Err() == nil; {
		hear() // before the look: what comes after it is heard
		if change := f.look(time.Now(), atOnce); !change.None() {
			changed(change)
		}
		wait := pollEvery
		if f.unsettled() {
			wait = settle
		}
		atOnce = f.pause(ctx, wait, events)
	}
}

// pause waits for a time or for an event, and at least for calm. It tells whether
// Reread was called.
func (f *Folder) pause(ctx context.Context, wait time.Duration, events <-chan fsnotify.Event) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-f.reread:
		return true
	case <-timer.C:
		return false
	case <-events:
	}
	rest := time.NewTimer(calm)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-f.reread:
			return true
		case <-rest.C:
			return false
		case <-events: // one look serves many
		}
	}
}
