package push

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"maunium.net/go/mautrix/id"
)

// TestPeople has people come and go, and compares with a plain set. What there was before stays as it was.
func TestPeople(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p, want := newPeople(nil), map[id.UserID]int64{}
	same := func(step int, p *people, want map[id.UserID]int64) {
		t.Helper()
		if len(p.list) != len(want) {
			t.Fatalf("step %d: %d people, want %d", step, len(p.list), len(want))
		}
		for n := range 40 {
			user := id.UserID(fmt.Sprintf("@u%d:test", n))
			at, is := p.at(string(user))
			nid, wanted := want[user]
			if is != wanted || is && (p.list[at].id != user || p.list[at].nid != nid) {
				t.Fatalf("step %d: %s: got %v at %d, want %v", step, user, is, at, wanted)
			}
		}
	}
	for step := range 4 * maxMoved {
		n := r.IntN(40)
		user := id.UserID(fmt.Sprintf("@u%d:test", n))
		old, before := p, len(want)
		if at, is := p.at(string(user)); is {
			p = p.without(at)
			delete(want, user)
		} else {
			p = p.with(person{int64(n), user})
			want[user] = int64(n)
		}
		same(step, p, want)
		if len(old.list) != before || len(p.moved) > maxMoved {
			t.Fatalf("step %d: the old list has %d, want %d; %d have moved", step, len(old.list), before, len(p.moved))
		}
	}
}
