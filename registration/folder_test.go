package registration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// folder is a directory of registration files that is watched.
type folder struct {
	*Folder
	t *testing.T

	mu      sync.Mutex // guards all below
	changes []Change   // what was told and not taken
	looks   int
}

func (f *folder) changed(c Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, c)
}

func (f *folder) looked() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
}

// taken returns what was told since the last call, and how many looks there were.
func (f *folder) taken() (changes []Change, looks int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changes, looks, f.changes, f.looks = f.changes, f.looks, nil, 0
	return changes, looks
}

// watched runs a test with a folder that is polled, in a bubble. Nothing tells of
// changes there, as inotify would wait outside of it.
func watched(t *testing.T, files map[string]string, test func(f *folder)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &folder{t: t}
		for name, text := range files {
			write(t, dir, name, text)
		}
		var err error
		if f.Folder, err = OpenFolder(dir); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.watch(ctx, nil, f.looked, f.changed)
		}()
		synctest.Wait()
		test(f)
		stop()
		<-done
	})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *folder) write(name, text string) { f.t.Helper(); write(f.t, f.dir, name, text) }

func (f *folder) remove(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) move(from, to string) {
	f.t.Helper()
	if err := os.Rename(filepath.Join(f.dir, from), filepath.Join(f.dir, to)); err != nil {
		f.t.Fatal(err)
	}
}

// later lets a time pass and returns what was told meanwhile, in words.
func (f *folder) later(d time.Duration) string {
	time.Sleep(d)
	synctest.Wait()
	var told []string
	changes, _ := f.taken()
	for _, c := range changes {
		if c.Moved() {
			told = append(told, c.String())
		}
		for _, w := range c.Warnings {
			told = append(told, "warning: "+w.Error())
		}
		for _, fault := range c.Faults {
			told = append(told, "fault: "+strings.ReplaceAll(fault.Error(), f.dir, "DIR"))
		}
		if c.Mended {
			told = append(told, "mended")
		}
	}
	return strings.Join(told, "\n")
}

// told checks what is told until everything has settled.
func (f *folder) told(what, want string) {
	f.t.Helper()
	if got := f.later(pollEvery + faultGrace + settle); got != want {
		f.t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

// holds checks which services hold.
func (f *folder) holds(what string, ids ...string) {
	f.t.Helper()
	var got []string
	for _, r := range f.Set().All() {
		got = append(got, r.ID)
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		f.t.Errorf("%s: %v hold, want %v", what, got, ids)
	}
}

// service is a file of a service whose tokens and namespaces are its own.
func service(name string) string {
	return fmt.Sprintf("id: %s\nurl: null\nas_token: as_token_of_%[1]s_01234\nhs_token: hs_token_of_%[1]s_01234\n"+
		"sender_localpart: %[1]s_bot\nnamespaces:\n  users: [{exclusive: true, regex: '@%[1]s_.*'}]\n", name)
}

func TestFolderFollowsFiles(t *testing.T) {
	watched(t, map[string]string{"a.yaml": service("a")}, func(f *folder) {
		f.holds("at the start", "a")
		f.told("nothing", "")
		first := f.Set()

		f.write("b.yaml", service("b"))
		f.told("a new file", "added b (b.yaml)")
		f.holds("with a new file", "a", "b")
		if first.ByID("b") != nil {
			t.Error("a set has changed")
		}
		f.write("a.yaml", service("a"))
		f.told("the same again", "")

		f.write("a.yaml", strings.Replace(service("a"), "as_token_of_a", "as_token_two", 1))
		f.told("a new token", "changed a (a.yaml)")
		if f.Set().ByToken("as_token_of_a_01234") != nil || f.Set().ByToken("as_token_two_01234") == nil {
			t.Error("want the new token in place of the old")
		}

		f.move("b.yaml", "c.yml")
		f.told("another name", "")
		f.holds("with another name", "a", "b")

		f.remove("a.yaml")
		f.told("a file less", "removed a (a.yaml)")
		if f.Set().ByToken("as_token_two_01234") != nil {
			t.Error("the token of a file that is gone holds")
		}
		f.write("a.yaml", service("a"))
		f.told("the file back", "added a (a.yaml)")

		for i := range 12 {
			f.write(fmt.Sprintf("many%02d.yaml", i), service(fmt.Sprintf("many%02d", i)))
		}
		f.told("many", "added many00 (many00.yaml), many01 (many01.yaml), many02 (many02.yaml), many03 (many03.yaml), many04 (many04.yaml), "+
			"many05 (many05.yaml), many06 (many06.yaml), many07 (many07.yaml), many08 (many08.yaml), many09 (many09.yaml), and 2 more")
		f.write(".hidden.yaml", "x")
		f.write("notes.txt", "x")
		f.told("no registration files", "")
	})
}

// What held before holds while a file has faults, and they are told once.
func TestFolderWithFaults(t *testing.T) {
	watched(t, map[string]string{"a.yaml": service("a"), "b.yaml": service("b")}, func(f *folder) {
		faulty := strings.Replace(service("a"), "sender_localpart: a_bot", "sender_localpart: '@a_bot'", 1)
		fault := "fault: a.yaml:5: sender_localpart: must be what stands between @ and : in the user's id, such as bot"
		f.write("a.yaml", faulty)
		f.told("a faulty file", fault)
		f.holds("with a faulty file", "a", "b")
		if got := f.Faults().Error(); "fault: "+got != fault {
			t.Errorf("the faults now are %s", got)
		}
		f.told("the same, later", "")
		f.write("c.yaml", service("c"))
		f.told("a good one beside it", "added c (c.yaml)")

		f.write("a.yaml", "id: a\n: x")
		if got := f.later(pollEvery + settle); got != "" {
			t.Errorf("of what may be half a file: %s", got)
		}
		f.write("a.yaml", strings.Replace(service("a"), "null", "http://a", 1))
		f.told("mended", "changed a (a.yaml)\nmended")

		// One that does not go together with another.
		f.write("d.yaml", strings.Replace(service("d"), "@d_", "@b_", 1))
		f.write("e.yaml", service("e"))
		conflict := "fault: d.yaml:7: namespaces.users[0].regex: is exclusive and holds the sender of b.yaml (b_bot); narrow it\n" +
			"fault: d.yaml:7: namespaces.users[0].regex: is exclusive, as is namespaces.users[0] of b.yaml, and both match @b_:a; narrow one of them, or make one exclusive: false"
		f.told("a conflict", conflict)
		f.holds("with a conflict", "a", "b", "c")
		f.remove("c.yaml")
		f.told("a removal meanwhile", "removed c (c.yaml)")
		f.remove("d.yaml")
		f.told("the conflict gone", "added e (e.yaml)\nmended")
		f.holds("in the end", "a", "b", "e")

		// Who moves a file and has a fault elsewhere loses nothing.
		f.move("b.yaml", "z.yaml")
		f.write("d.yaml", strings.Replace(service("d"), "as_token_of_d", "as_token_of_e", 1))
		f.told("a conflict with a move", "fault: e.yaml:3: as_token: is also that of d.yaml; give each service its own (causeway registration generate)")
		f.holds("with a moved file", "a", "b", "e")
	})
}

// Files that editors write are not read by half.
func TestFolderWaitsForEditors(t *testing.T) {
	watched(t, map[string]string{"a.yaml": service("a")}, func(f *folder) {
		f.Reread() // and then every pollEvery
		f.later(0)
		f.later(pollEvery - settle/2)
		// Emptied at the time of a look, which is every pollEvery, and written after it.
		f.write("a.yaml", "")
		f.later(settle)
		f.write("a.yaml", strings.Replace(service("a"), "null", "http://a", 1))
		f.told("emptied and written", "changed a (a.yaml)")

		f.Reread()
		f.later(0)
		f.later(pollEvery - settle/2)
		f.move("a.yaml", "a.yaml~")
		f.taken()
		time.Sleep(settle)
		synctest.Wait()
		if changes, looks := f.taken(); looks == 0 || len(changes) > 0 {
			t.Errorf("%d looks, %v, while the file was away", looks, changes)
		}
		f.move("a.yaml~", "a.yaml")
		f.told("away and back", "")

		// A file that never comes to rest changes nothing, and others are followed.
		f.write("c.yaml", service("c"))
		for i := range 100 {
			f.write("b.yaml", service("b")+fmt.Sprintf("# %d\n", i))
			f.later(settle / 2)
		}
		f.holds("with a restless file", "a", "c")
		f.told("at rest", "added b (b.yaml)")
	})
}

func TestFolderIsRereadAtOnce(t *testing.T) {
	watched(t, map[string]string{"a.yaml": service("a")}, func(f *folder) {
		f.later(trustStamps * 5)
		f.write("a.yaml", strings.Replace(service("a"), "null", "http://a", 1))
		f.write("b.yaml", "id: b\nurl: null\n")
		f.Reread()
		got := f.later(0)
		for _, want := range []string{"changed a (a.yaml)", "fault: b.yaml: as_token: is missing"} {
			if !strings.Contains(got, want) {
				t.Errorf("got\n%s\nwant in it %s", got, want)
			}
		}
		f.told("later", "")
	})
}

// A folder that cannot be read is not one without files.
// TestFaultsReadAtOnce: what was told because somebody asked is not taken back by the next look, which comes before the file has settled.
func TestFaultsReadAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a"))
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a.yaml", "id: a\n")
	now := time.Now().Add(time.Minute)
	if c := f.look(now, true); len(c.Faults) == 0 {
		t.Error("a faulty file that is read at once has no faults")
	}
	for _, after := range []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second} {
		if c := f.look(now.Add(after), false); c.Mended || len(c.Faults) > 0 || len(f.Faults()) == 0 {
			t.Errorf("%s after: %+v, and the faults are %v", after, c, f.Faults())
		}
	}
}

func TestFolderThatIsGone(t *testing.T) {
	watched(t, map[string]string{"a.yaml": service("a")}, func(f *folder) {
		away := f.dir + ".away"
		if err := os.Rename(f.dir, away); err != nil {
			t.Fatal(err)
		}
		f.told("no folder", "fault: DIR: cannot be read (no such file or directory): make the folder, or mount it; until then all services stay as they are")
		f.holds("without a folder", "a")
		if err := os.Mkdir(f.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f.told("an empty one", "fault: DIR: is another folder than before, and empty: mount it, or send SIGHUP if it is to be so; until then all services stay as they are")
		f.holds("with an empty folder", "a")
		if err := os.Remove(f.dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(away, f.dir); err != nil {
			t.Fatal(err)
		}
		f.told("the old one", "mended")
		if err := os.Rename(f.dir, away); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(f.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f.Reread()
		f.told("an empty one that is meant", "removed a (a.yaml)")
	})
}

// However often files change, looks are rare.
func TestFolderIsCalm(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &folder{t: t}
		var err error
		if f.Folder, err = OpenFolder(dir); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		events, done := make(chan fsnotify.Event), make(chan struct{})
		go func() {
			defer close(done)
			f.watch(ctx, events, f.looked, f.changed)
		}()
		const times = 5000
		begin := time.Now()
		for range times {
			events <- fsnotify.Event{}
			time.Sleep(time.Millisecond)
		}
		took := time.Since(begin)
		stop()
		<-done
		if _, looks := f.taken(); looks > int(took/calm)+2 {
			t.Errorf("%d looks in %s", looks, took)
		}
	})
}

// inotify tells of a change long before the next poll.
func TestFolderHears(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan Change, 10)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Watch(ctx, func(c Change) { changes <- c })
	}()
	write(t, dir, "a.yaml", service("a"))
	if got := (<-changes).String(); got != "added a (a.yaml)" {
		t.Errorf("got %s", got)
	}
	// As an editor that writes beside and renames.
	write(t, dir, ".a.yaml.swp", strings.Replace(service("a"), "null", "http://a", 1))
	if err := os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if got := (<-changes).String(); got != "changed a (a.yaml)" {
		t.Errorf("got %s", got)
	}
	stop()
	<-done
}

func TestOpenFolder(t *testing.T) {
	f, err := OpenFolder(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(f.Set().All()) != 0 {
		t.Errorf("without a folder: %v", err)
	}
	dir := t.TempDir()
	write(t, dir, "a.yaml", strings.Replace(service("a"), "@a_", "@irc_", 1))
	irc, err := Parse("registration of bridge irc", []byte(service("irc")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenFolder(dir, irc)
	want := "a.yaml:7: namespaces.users[0].regex: is exclusive and holds the sender of the built-in bridge irc (irc_bot); narrow it\n" +
		"a.yaml:7: namespaces.users[0].regex: is exclusive, as is namespaces.users[0] of the built-in bridge irc, and both match @irc_:a; narrow one of them, or make one exclusive: false"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// As Kubernetes mounts files: links through a link that is swapped.
func TestFolderOfLinks(t *testing.T) {
	watched(t, nil, func(f *folder) {
		for i, url := range []string{"http://one", "http://two"} {
			version := filepath.Join(f.dir, fmt.Sprintf("..v%d", i))
			if err := os.Mkdir(version, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, version, "a.yaml", strings.Replace(service("a"), "null", url, 1))
		}
		data := filepath.Join(f.dir, "..data")
		for link, to := range map[string]string{data: "..v0", filepath.Join(f.dir, "a.yaml"): "..data/a.yaml"} {
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
		}
		f.told("a link", "added a (a.yaml)")
		if err := os.Symlink("..v1", data+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(data+".new", data); err != nil {
			t.Fatal(err)
		}
		f.told("another version", "changed a (a.yaml)")
		if got := f.Set().ByID("a").URL; got != "http://two" {
			t.Errorf("got %s", got)
		}
		if err := os.RemoveAll(filepath.Join(f.dir, "..v1")); err != nil {
			t.Fatal(err)
		}
		f.told("a link to nothing", "fault: a.yaml: is not there")
		f.holds("with a link to nothing", "a")
	})
}

// A pipe that nobody writes into does not stop the server.
func TestPipeIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadDir(dir); err == nil || err.Error() != "pipe.yaml: is not a regular file; take it away" {
		t.Errorf("got %v", err)
	}
}
