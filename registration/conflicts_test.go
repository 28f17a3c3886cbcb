package registration

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Pairs that are not looked at have nothing to find.
func TestSuspects(t *testing.T) {
	expressions := []string{
		`@irc_.*`, `^@irc_x`, `@i`, `.*`, `(?i)@IRC_`, `@slack_`, `@slack_.*:hs$`, `@sl|@irc_q`, `^@bot1:`, `@bot[0-9]`, `@b`, `@zz`,
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		var all []*Registration
		for i := range 6 {
			r := &Registration{
				ID: fmt.Sprint("r", random.IntN(12)), ASToken: fmt.Sprint("as", random.IntN(12)), HSToken: fmt.Sprint("hs", i),
				SenderLocalpart: fmt.Sprint("bot", random.IntN(12)), File: fmt.Sprint(i),
			}
			for range random.IntN(3) {
				r.Namespaces.Users = append(r.Namespaces.Users, Namespace{Regex: expressions[random.IntN(len(expressions))], Exclusive: random.IntN(3) > 0})
			}
			all = append(all, r.compiled())
		}
		got, _ := conflicts(all)
		var want Faults
		left := maxAllSteps
		for i, later := range all {
			for _, earlier := range all[:i] {
				p := &pair{checker{r: later}, earlier, &left}
				p.compare()
				want = append(want, p.faults...)
			}
		}
		if got.Error() != want.Error() {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// A folder that is full is read, and a change to it noticed, in little time.
func TestFullFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range maxFiles {
		write(t, dir, fmt.Sprintf("svc%04d.yaml", i), service(fmt.Sprintf("svc%04d", i)))
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "svc0000.yaml", service("other"))
	begin := time.Now()
	change := f.look(begin, true)
	if took := time.Since(begin); took > 20*time.Second { // without looking for suspects, it was minutes
		t.Errorf("one change took %s", took)
	}
	if got := change.String(); got != "added other (svc0000.yaml); removed svc0000 (svc0000.yaml)" {
		t.Errorf("got %s", got)
	}
	write(t, dir, "one-too-many.yaml", service("more"))
	if got := f.look(begin, true).Faults; len(got) != 1 {
		t.Errorf("of one file too many: %s", got)
	}
}
