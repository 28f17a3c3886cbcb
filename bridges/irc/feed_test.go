package irc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func seen(key string) sighting[string, string] { return sighting[string, string]{key: key, item: key} }

func mark(m string, came bool) sighting[string, string] {
	s := sighting[string, string]{key: fmt.Sprint(m, came)}
	if came {
		s.anchors = &m
	} else {
		s.loosens = &m
	}
	return s
}

// newTestFeed is a feed whose time stands still until it is moved.
func newTestFeed[T any](now *time.Time) *feed[string, T] {
	return &feed[string, T]{clock: func() time.Time { return *now }}
}

// step is one thing that happens to a feed: a member comes (+a), goes (-a) or sees a line (a:line, or a:+b for the
// JOIN of b), or time passes (~61s).
func play(steps ...string) []string {
	var got []string
	now := time.Unix(0, 0)
	f := newTestFeed[string](&now)
	for _, s := range steps {
		switch {
		case s[0] == '~':
			pause, _ := time.ParseDuration(s[1:])
			now = now.Add(pause)
		case s[0] == '+':
			f.add(s[1:])
		case s[0] == '-':
			deliver, _ := f.remove(s[1:])
			got = append(got, deliver...)
		case s[2] == '+':
			got = append(got, f.observe(s[:1], mark(s[3:], true))...)
		case s[2] == '-':
			got = append(got, f.observe(s[:1], mark(s[3:], false))...)
		default:
			got = append(got, f.observe(s[:1], seen(s[2:]))...)
		}
	}
	return got
}

func TestFeed(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []string
		want  []string
	}{
		{"one member", []string{"+a", "a:1", "a:2"}, []string{"1", "2"}},
		{"nobody", []string{"a:1"}, nil},
		{"follower is silent", []string{"+a", "+b", "a:+b", "a:1", "b:1", "b:2", "a:2"}, []string{"1", "2"}},
		{"leader goes, both are level", []string{"+a", "+b", "a:+b", "a:1", "b:1", "-a", "b:2"}, []string{"1", "2"}},
		{"follower is ahead", []string{"+a", "+b", "a:+b", "b:1", "b:2", "a:1", "-a", "b:3"}, []string{"1", "2", "3"}},
		{"follower is behind", []string{"+a", "+b", "a:+b", "a:1", "a:2", "-a", "b:1", "b:2", "b:3"}, []string{"1", "2", "3"}},
		{"the same line twice", []string{"+a", "+b", "a:+b", "a:x", "b:x", "b:x", "-a", "b:x"}, []string{"x", "x", "x"}},
		{"old lines of the leader", []string{"+a", "+b", "b:2", "a:1", "a:+b", "a:2", "-a", "b:3"}, []string{"1", "2", "3"}},
		{"an old line like a new one", []string{"+a", "+b", "a:x", "a:+b", "a:x", "-a", "b:x", "b:x"}, []string{"x", "x", "x"}},
		{"leader goes before it saw the join", []string{"+a", "+b", "b:1", "-a", "b:2"}, []string{"1", "2"}},
		{"the leader sees the join first", []string{"+a", "a:+b", "a:1", "+b", "b:1", "b:2", "-a", "b:3"}, []string{"1", "2", "3"}},
		{"the join never arrives", []string{"+a", "a:+b", "a:1", "a:-b", "a:+b", "a:2", "+b", "b:2", "-a", "b:3"}, []string{"1", "2", "3"}},
		{"who has not arrived does not lead", []string{"+a", "a:+b", "a:1", "-a", "+c", "c:2", "+b", "b:1", "b:2"}, []string{"1", "2"}},
		{"third follows second", []string{"+a", "+b", "a:+b", "+c", "b:+c", "b:1", "c:1", "c:2", "-a", "-b", "c:3"}, []string{"1", "2", "3"}},
		{"a line the leader never sees", []string{"+a", "+b", "a:+b", "b:1", "~61s", "a:2", "b:2", "-a", "b:3"}, []string{"2", "3"}},
		{"the leader is late, but comes to it", []string{"+a", "+b", "a:+b", "b:1", "b:2", "~61s", "a:1", "-a", "b:3"}, []string{"1", "2", "3"}},
		{"the leader was dead for a while", []string{"+a", "+b", "a:+b", "b:1", "~150s", "-a", "b:2"}, []string{"1", "2"}},
		{"nothing is hours late", []string{"+a", "+b", "a:+b", "b:1", "~3h", "-a", "b:2"}, []string{"2"}},
		{"a debt is forgiven", []string{"+a", "+b", "a:+b", "a:x", "~61s", "-a", "b:x"}, []string{"x", "x"}},
		{"a young debt is not", []string{"+a", "+b", "a:+b", "a:x", "~61s", "a:x", "-a", "b:x", "b:x"}, []string{"x", "x", "x"}},
		{"come again", []string{"+a", "+b", "a:+b", "-b", "+b", "a:1", "a:-b", "a:+b", "a:2", "-a", "b:2", "b:3"}, []string{"1", "2", "3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := play(test.steps...); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestFeedOverflow(t *testing.T) {
	now := time.Unix(0, 0)
	f := newTestFeed[int](&now)
	f.add("a")
	f.add("b")
	var got []int
	line := func(m string, n int) {
		got = append(got, f.observe(m, sighting[string, int]{key: fmt.Sprint(n), item: n})...)
	}
	b := "b"
	f.observe("a", sighting[string, int]{key: "join", anchors: &b})
	for n := range maxRing + 10 {
		line("b", n) // a hangs
	}
	for n := range maxRing + 20 {
		line("a", n) // and comes back
	}
	for n := maxRing + 10; n < maxRing+20; n++ {
		line("b", n)
	}
	for n := range maxRing + 20 {
		if n >= len(got) || got[n] != n {
			t.Fatalf("got %d items, wrong from %d on; want %d in order", len(got), n, maxRing+20)
		}
	}
	if len(got) != maxRing+20 {
		t.Errorf("got %d items, want %d", len(got), maxRing+20)
	}
}

// Members come and go at random and lag behind each other at random. Every line is delivered once and in order, if
// there is always a member that was there when it was said; who goes while no such other is left reads on before, as
// one does who sees their own PART.
func TestFeedRandom(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(0, 0)
		f := newTestFeed[string](&now)
		var got, want []string
		var stream []sighting[string, string] // what the server sent, in order
		at := map[string]int{}                // how far each member has read
		since := map[string]int{}             // where each member joined
		members := []string{}
		read := func(m string) {
			f.add(m)
			if at[m] < len(stream) {
				s := stream[at[m]]
				at[m]++
				if !(s.anchors != nil && *s.anchors == m) {
					got = append(got, f.observe(m, s)...)
				}
			}
		}
		for n := range 400 {
			switch k := r.IntN(20); {
			case k == 0 && len(members) < 5 || len(members) == 0:
				m := fmt.Sprint("m", n)
				stream = append(stream, mark(m, true))
				at[m], since[m] = len(stream), len(stream)
				members = append(members, m)
				if len(members) == 1 || r.IntN(2) == 0 {
					f.add(m) // others are added when they first read, which is when they see their own JOIN
				}
			case k == 1 && len(members) > 1:
				i := r.IntN(len(members))
				m := members[i]
				members = slices.Delete(members, i, i+1)
				for _, o := range members {
					f.add(o)
				}
				for !slices.ContainsFunc(members, func(o string) bool { return since[o] <= at[m] }) {
					read(m)
				}
				deliver, _ := f.remove(m)
				got = append(got, deliver...)
				stream = append(stream, mark(m, false))
			case k < 8:
				line := fmt.Sprint("line ", r.IntN(4)) // often the same
				stream = append(stream, seen(line))
				want = append(want, line)
			default:
				read(members[r.IntN(len(members))])
			}
		}
		for _, m := range members {
			for at[m] < len(stream) {
				read(m)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %s", seed, firstDifference(got, want))
		}
	}
}
