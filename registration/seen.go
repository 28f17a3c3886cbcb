package registration

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// seenFile is a file as it was last seen.
type seenFile struct {
	info    fs.FileInfo // nil when it could not be looked at
	stamped time.Time   // when info was first seen
	read    time.Time   // when the content was last read
	hash    [sha256.Size]byte
	problem error     // why it could not be read
	since   time.Time // when this content was first seen, or seen gone
	gone    bool

	content []byte // until it is parsed
	parsed  bool   // reg or faults are those of this content
	reg     *Registration
	faults  Faults
	due     bool // the faults are not those of half a file
}

// examine looks whether a file is another than before.
func (f *Folder) examine(name string, now time.Time, atOnce bool) {
	before := f.seen[name]
	path := filepath.Join(f.dir, name)
	info, err := os.Stat(path)
	same := before != nil && sameFile(before.info, info)
	if same && !atOnce && before.read.Sub(before.stamped) >= trustStamps {
		return
	}
	var data []byte
	if err == nil {
		data, err = readFile(path)
	}
	after := &seenFile{
		info: info, stamped: now, read: now, hash: sha256.Sum256(data), problem: err, since: now, content: data,
	}
	if same {
		after.stamped = before.stamped
	}
	if before != nil && !before.gone && before.hash == after.hash && sameProblem(before.problem, err) {
		before.info, before.stamped, before.read = info, after.stamped, now
		return
	}
	f.seen[name] = after
}

func sameFile(a, b fs.FileInfo) bool {
	return a != nil && b != nil && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

func sameProblem(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// settle puts into wanted what a file says, once that has settled, and returns
// its faults. Until then, and while it has any, what held of it before holds on.
func (f *Folder) settle(name string, wanted map[string]*Registration, now time.Time, atOnce bool) Faults {
	file := f.seen[name]
	age := now.Sub(file.since)
	if age < settle && !atOnce && !file.parsed { // what was looked at at once goes on counting
		return nil
	}
	if file.gone {
		delete(f.seen, name)
		delete(wanted, name)
		return nil
	}
	if !file.parsed {
		file.parse(name)
	}
	if file.reg != nil {
		wanted[name] = file.reg
		return nil
	}
	if file.due = file.due || atOnce || age >= faultGrace; file.due {
		return file.faults
	}
	return nil
}

func (s *seenFile) parse(name string) {
	err := s.problem
	if err == nil {
		s.reg, err = Parse(name, s.content)
	}
	if err != nil {
		s.faults = faultsOf(name, err)
	}
	s.parsed, s.content = true, nil
}

// unsettled tells whether something was seen that does not count yet.
func (f *Folder) unsettled() bool {
	for _, file := range f.seen {
		if file.gone || !file.parsed || file.reg == nil && !file.due {
			return true
		}
	}
	return false
}
