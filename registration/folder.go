package registration

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Times of a Folder that is watched. They are measured from when the folder saw
// a content first and not from what the file system says, whose clock may be
// another machine's.
const (
	// settle is how long a file must stay as it is before it counts: editors
	// empty files and write them anew, or take the old away before the new is there.
	settle = 500 * time.Millisecond
	// faultGrace is the same for a file that has a fault: it may be half of one.
	faultGrace = 3 * time.Second
	// trustStamps is how long after its stamps changed a file must have been read for
	// equal stamps to mean an equal file: file systems do not tell apart two writes
	// in a short time.
	trustStamps = 2 * time.Second
	// maxDefer bounds how long faults are not told because files are still changing.
	maxDefer = 30 * time.Second
)

// Folder is the registration files of a directory, and registrations that are
// made in other ways, as they hold while the server runs. [Folder.Watch] follows
// the files. Set and Faults may be called by anybody at any time.
type Folder struct {
	dir    string
	fixed  []*Registration
	set    atomic.Pointer[Set]
	faults atomic.Pointer[Faults]
	reread chan struct{} // holds one

	// Of the only goroutine that looks: first OpenFolder's, then Watch's.
	seen   map[string]*seenFile
	held   map[string]*Registration // in force, by the names of the files
	judged map[string]*Registration // what was last compared, and found faulty as a whole
	unfit  Faults                   // what was wrong with it
	told   string                   // the faults that were last told
	missed error                    // why the directory could not be read the last time
	is     fs.FileInfo              // the directory when it was last read
	moving time.Time                // since when something is always unsettled, zero when nothing is
}

// OpenFolder reads a directory as [LoadDir] does, and puts the fixed
// registrations before those of the files. The error is that of LoadDir or
// [NewSet]: a server starts with files that are all without fault. A directory
// that is not there is an empty one.
func OpenFolder(dir string, fixed ...*Registration) (*Folder, error) {
	f := &Folder{dir: dir, reread: make(chan struct{}, 1), seen: make(map[string]*seenFile)}
	builtIn, err := NewSet(fixed...)
	if err != nil {
		return nil, err
	}
	f.fixed = builtIn.all
	for _, r := range f.fixed {
		r.BuiltIn = true
	}
	change := f.look(time.Now(), true)
	switch {
	case errors.Is(f.missed, fs.ErrNotExist):
		f.told = ""
		f.faults.Store(nil)
		return f, nil
	case f.missed != nil:
		return nil, fmt.Errorf("read registrations: %w", f.missed)
	case len(change.Faults) > 0:
		return nil, change.Faults
	}
	return f, nil
}

// Set returns the registrations that hold now: the same pointer until they change.
func (f *Folder) Set() *Set { return f.set.Load() }

// Faults returns what is wrong with the files now. What held before such a file
// was changed holds on.
func (f *Folder) Faults() Faults {
	if faults := f.faults.Load(); faults != nil {
		return slices.Clone(*faults)
	}
	return nil
}

// FaultsNow reads the files and returns what is wrong with them at this moment. Faults tells later, once a file has had the time to become
// whole; and it tells what is wrong with the directory, which this leaves to it.
func (f *Folder) FaultsNow() Faults {
	names, err := FilesIn(f.dir)
	if err != nil || len(names) == 0 {
		return f.Faults()
	}
	all, faults := parseAll(f.dir, names, tooMany(f.dir, len(names)))
	between, _ := conflicts(slices.Concat(f.fixed, all))
	return append(faults, between...)
}

// look compares the directory with what was seen before, and puts into force
// what has changed and settled. At once counts everything as settled.
func (f *Folder) look(now time.Time, atOnce bool) Change {
	names, err := f.names(atOnce)
	if f.missed = err; err != nil {
		if f.set.Load() == nil {
			f.set.Store(newSet(f.fixed))
		}
		return f.tell(Change{}, Faults{{File: f.dir, Message: missing(err)}})
	}
	faults := tooMany(f.dir, len(names))
	names = names[:min(len(names), maxFiles)]
	for _, name := range names {
		f.examine(name, now, atOnce)
	}
	for name, file := range f.seen {
		if _, there := slices.BinarySearch(names, name); !there && !file.gone {
			*file = seenFile{gone: true, since: now}
		}
	}
	wanted := maps.Clone(f.held)
	if wanted == nil {
		wanted = make(map[string]*Registration)
	}
	for _, name := range slices.Sorted(maps.Keys(f.seen)) {
		faults = append(faults, f.settle(name, wanted, now, atOnce)...)
	}
	change, faults := f.decide(wanted, faults)
	if !f.unsettled() {
		f.moving = time.Time{}
	} else if f.moving.IsZero() {
		f.moving = now
	}
	if !f.moving.IsZero() && now.Sub(f.moving) < maxDefer {
		return change // what is wrong may be so for a moment only
	}
	return f.tell(change, faults)
}

// errOtherFolder is why an empty directory is not believed.
var errOtherFolder = errors.New("is another folder than before, and empty: mount it, or send SIGHUP if it is to be so")

// missing says why a directory does not count, and what to do.
func missing(err error) string {
	message := err.Error()
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		message = "cannot be read (" + pathError.Err.Error() + "): make the folder, or mount it"
	}
	return message + "; until then all services stay as they are"
}

// names returns the names of the files. A directory that is not there any more,
// or has become another that is empty, is on a file system that was unmounted:
// nobody removes all services in this way.
func (f *Folder) names(atOnce bool) ([]string, error) {
	is, err := os.Stat(f.dir)
	if err != nil {
		return nil, err
	}
	names, err := FilesIn(f.dir)
	if err == nil && len(names) == 0 && len(f.held) > 0 && !os.SameFile(is, f.is) && !atOnce {
		err = errOtherFolder
	}
	if err == nil {
		f.is = is
	}
	return names, err
}

// decide puts the wanted registrations into force if they go together, and adds
// to the faults why they do not.
func (f *Folder) decide(wanted map[string]*Registration, faults Faults) (Change, Faults) {
	if f.set.Load() != nil && maps.Equal(wanted, f.held) {
		f.judged, f.unfit = nil, nil
		return Change{}, faults
	}
	var warnings Faults
	if f.judged == nil || !maps.Equal(wanted, f.judged) {
		f.judged = wanted
		f.unfit, warnings = conflicts(f.inOrder(wanted))
	}
	if len(f.unfit) > 0 {
		wanted, warnings = f.without(wanted), nil
	}
	return f.enforce(wanted, warnings), append(faults, f.unfit...)
}

// without returns what holds now without the files that are gone, unless what
// they said has only moved to a file that may not hold yet. Any part of what goes
// together goes together.
func (f *Folder) without(wanted map[string]*Registration) map[string]*Registration {
	left := maps.Clone(f.held)
	maps.DeleteFunc(left, func(name string, r *Registration) bool {
		if _, there := wanted[name]; there {
			return false
		}
		for _, other := range wanted {
			if other.ID == r.ID {
				return false
			}
		}
		return true
	})
	return left
}

// inOrder returns the fixed registrations and those of files in the order of
// their names.
func (f *Folder) inOrder(files map[string]*Registration) []*Registration {
	all := slices.Clone(f.fixed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		all = append(all, files[name])
	}
	return all
}

// enforce puts files into force, which go together.
func (f *Folder) enforce(files map[string]*Registration, warnings Faults) Change {
	before := f.set.Load()
	if before != nil && maps.Equal(files, f.held) {
		return Change{}
	}
	f.held = files
	after := newSet(f.inOrder(files))
	change := compare(before, after)
	for _, r := range slices.Concat(change.Added, change.Changed) {
		change.Warnings = append(change.Warnings, r.Warnings...)
		for _, warning := range warnings {
			if warning.File == r.File {
				change.Warnings = append(change.Warnings, warning)
			}
		}
	}
	f.set.Store(after)
	return change
}

// tell adds the faults to a change if they are others than those that were told.
func (f *Folder) tell(change Change, faults Faults) Change {
	f.faults.Store(&faults)
	if text := faults.Error(); text != f.told {
		change.Faults, change.Mended = faults, text == ""
		f.told = text
	}
	return change
}
