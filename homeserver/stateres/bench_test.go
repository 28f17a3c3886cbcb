package stateres_test

import (
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/stateres"
)

// BenchmarkResolve resolves two branches of a room of 50,000 members that differ in 5,000 state events, and in 2.
func BenchmarkResolve(b *testing.B) {
	const members = 50_000
	for _, bench := range []struct {
		name      string
		version   string
		conflicts int
	}{
		{"v1/5000", "1", 5000}, {"v2/5000", "11", 5000}, {"v2.1/5000", "12", 5000}, {"v2/2", "11", 2}, {"v2.1/2", "12", 2},
	} {
		b.Run(bench.name, func(b *testing.B) {
			room, err := roomgen.Large(members, bench.conflicts, bench.version)
			if err != nil {
				b.Fatal(err)
			}
			n := room.Numbered()
			sets := room.TipStates()
			all := n.Problem(sets...)
			b.ReportAllocs()
			for b.Loop() {
				p := stateres.Problem{Version: all.Version, Sets: all.Sets, Auth: all.Auth, Events: all.Events, Place: all.Place}
				if _, err := p.Resolve(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSplit compares the states of two branches of a room of 50,000 members, which is most of the work for a small conflict.
func BenchmarkSplit(b *testing.B) {
	room, err := roomgen.Large(50_000, 2, event.DefaultRoomVersion)
	if err != nil {
		b.Fatal(err)
	}
	sets := room.Numbered().Problem(room.TipStates()...).Sets
	b.ReportAllocs()
	for b.Loop() {
		stateres.Split(sets)
	}
}
