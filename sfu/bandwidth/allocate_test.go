package bandwidth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// simulcast is a video with the bits per second of its layers, each half without its upper temporal layer.
func simulcast(id string, bits ...int) Track {
	t := Track{ID: id, Spatial: 2, Temporal: 3}
	for s, b := range bits {
		t.Bits[s] = [MaxTemporal]int{b / 2, b, b, b}
	}
	return t
}

func audio(id string, bits int) Track {
	return Track{ID: id, Audio: true, Temporal: 3, Bits: [MaxSpatial][MaxTemporal]int{{bits, bits, bits, bits}}}
}

func with(t Track, change func(*Track)) Track {
	change(&t)
	return t
}

func (c Choice) String() string {
	switch {
	case c.Paused:
		return "paused"
	case c.Spatial < 0:
		return "-"
	}
	return fmt.Sprintf("%d.%d", c.Spatial, c.Temporal)
}

func TestAllocate(t *testing.T) {
	a, b, c := simulcast("a", 100, 400, 2000), simulcast("b", 100, 400, 2000), simulcast("c", 100, 400, 2000)
	screen := with(simulcast("s", 300, 2000), func(t *Track) { t.Screen = true })
	speaker := with(b, func(t *Track) { t.Speaker = true })
	tests := []struct {
		name   string
		budget int
		tracks []Track
		want   string
	}{
		{"all fits", 6000, []Track{a, b, c}, "[2.3 2.3 2.3]"},
		{"the first goes up a step first", 4600, []Track{a, b, c}, "[2.3 2.0 2.0]"},
		{"the lowest for all before more for any", 350, []Track{a, b, c}, "[0.3 0.3 0.3]"},
		{"half of the frames for those who come last", 250, []Track{a, b, c}, "[0.3 0.3 0.0]"},
		{"paused for want of bandwidth", 120, []Track{a, b, c}, "[0.0 0.0 paused]"},
		{"nothing but audio, which is over the budget", 10, []Track{a, audio("x", 30)}, "[paused 0.3]"},
		{"audio first", 140, []Track{a, audio("x", 32), b}, "[0.0 0.3 0.0]"},
		{"screen before cameras", 2250, []Track{a, b, screen}, "[0.3 0.3 1.3]"},
		{"but not before the lowest of them", 400, []Track{a, b, screen}, "[0.0 0.0 0.3]"},
		{"who speaks before others", 700, []Track{a, speaker, c}, "[1.0 1.3 0.3]"},
		{"priority", 700, []Track{a, b, with(c, func(t *Track) { t.Priority = 1 })}, "[1.0 1.0 1.0]"},
		{"priority decides who gets the rest", 550, []Track{a, b, with(c, func(t *Track) { t.Priority = 1 })}, "[1.0 0.3 1.0]"},
		{"not more than wanted", 6000, []Track{with(a, func(t *Track) { t.Spatial = 0 }), with(b, func(t *Track) { t.Temporal = 0 })}, "[0.3 2.0]"},
		{"not wanted", 6000, []Track{with(a, func(t *Track) { t.Spatial = -1 }), b}, "[- 2.3]"},
		{"what does not come is not chosen", 6000, []Track{simulcast("a", 100, 400), simulcast("b", 0, 400, 2000)}, "[1.3 2.3]"},
		{"the least that comes, if less is wanted", 6000, []Track{with(simulcast("b", 0, 400, 2000), func(t *Track) { t.Spatial = 0 })}, "[1.3]"},
		{"nothing comes yet", 0, []Track{simulcast("a")}, "[2.3]"},
		{"nothing at all", 1000, nil, "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(Allocate(tt.budget, tt.tracks)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// anyTracks makes tracks at random.
func anyTracks(r *rand.Rand) []Track {
	tracks := make([]Track, r.IntN(8))
	for i := range tracks {
		t := &tracks[i]
		t.ID = fmt.Sprint(i)
		switch r.IntN(4) {
		case 0:
			*t = audio(t.ID, 20+r.IntN(60))
			continue
		case 1:
			t.Screen = true
		case 2:
			t.Speaker = true
		}
		t.Priority = r.IntN(3)
		t.Spatial, t.Temporal = r.IntN(4)-1, r.IntN(MaxTemporal)
		bits := 0
		for s := range 1 + r.IntN(MaxSpatial) {
			bits += 50 + r.IntN(500*(s+1)*(s+1))
			if r.IntN(6) == 0 {
				continue
			}
			temporal := 1 + r.IntN(MaxTemporal)
			for x := range MaxTemporal {
				t.Bits[s][x] = bits * min(x+1, temporal) / temporal
			}
		}
	}
	return tracks
}

// steps gives which steps are taken, in the order in which they are tried.
func steps(tracks []Track, choices []Choice) []bool {
	var taken []bool
	order := inOrder(tracks)
	one := func(i, step int) {
		if l := tracks[i].ladder(); step < len(l) {
			taken = append(taken, choices[i].Spatial >= 0 && !choices[i].lowerThan(l[step]))
		}
	}
	for _, i := range order {
		one(i, 0)
	}
	for class := range 4 {
		for step := 1; step < MaxSpatial*MaxTemporal; step++ {
			for _, i := range order {
				if tracks[i].class() == class {
					one(i, step)
				}
			}
		}
	}
	return taken
}

func cost(tracks []Track, choices []Choice) (audio, all int) {
	for i, c := range choices {
		all += c.Bits
		if tracks[i].Audio {
			audio += c.Bits
		}
	}
	return audio, all
}

func TestAllocateProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		tracks, budget := anyTracks(r), r.IntN(6000)
		choices := Allocate(budget, tracks)
		sound, all := cost(tracks, choices)
		if all > max(budget, sound) {
			t.Fatalf("%d is over the budget %d: %v of %+v", all, budget, choices, tracks)
		}
		for i, c := range choices {
			wanted := &tracks[i]
			if c.Paused && (wanted.Audio || wanted.Spatial < 0 || all+wanted.ladder()[0].Bits <= budget) {
				t.Fatalf("budget %d: %v, %d is paused though it fits: %+v", budget, choices, i, tracks)
			}
			if (c.Spatial < 0) != (c.Paused || wanted.Spatial < 0) {
				t.Fatalf("budget %d: %v of %+v", budget, choices, tracks)
			}
			if l := wanted.ladder(); c.Spatial >= 0 && !slices.Contains(l, c) {
				t.Fatalf("%v is none of %v", c, l)
			}
		}
		// With more, the first step in which the choice differs is one that was not taken with less.
		more := Allocate(budget+r.IntN(2000), tracks)
		if slices.CompareFunc(steps(tracks, more), steps(tracks, choices), func(a, b bool) int {
			switch {
			case a == b:
				return 0
			case a:
				return 1
			}
			return -1
		}) < 0 {
			t.Fatalf("with more budget than %d it chose %v, not %v, of %+v", budget, more, choices, tracks)
		}
	}
}

func TestAllocatorProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var a Allocator
		tracks, at := anyTracks(r), int64(0)
		budget := r.IntN(6000)
		before := map[string]Choice{}
		var lastDown int64
		for range 50 {
			at += int64(r.IntN(1_000_000))
			if r.IntN(3) == 0 {
				budget = r.IntN(6000)
			}
			if r.IntN(20) == 0 {
				tracks = anyTracks(r)
				before = map[string]Choice{}
				a = Allocator{}
				lastDown = 0
			}
			choices := a.Allocate(at, budget, tracks)
			if sound, all := cost(tracks, choices); all > max(budget, sound) {
				t.Fatalf("%d is over the budget %d", all, budget)
			}
			down := false
			for i, c := range choices {
				was, known := before[tracks[i].ID]
				if known && was.lowerThan(c) && lastDown != 0 && at-lastDown < leastHold {
					t.Fatalf("%v went up to %v %d ms after something went down", was, c, (at-lastDown)/1000)
				}
				down = down || known && c.lowerThan(was)
				before[tracks[i].ID] = c
			}
			if down {
				lastDown = at
			}
		}
	}
}

// TestFlapping has a budget about the border between two layers.
func TestFlapping(t *testing.T) {
	var a Allocator
	r := rand.New(rand.NewPCG(5, 6))
	tracks := []Track{audio("x", 32_000), simulcast("v", 150_000, 500_000, 2_000_000)}
	changes, last := 0, Choice{}
	for at := int64(0); at < 120*second; at += 100_000 {
		noisy := slices.Clone(tracks)
		for s := range noisy[1].Bits {
			factor := 0.8 + 0.4*r.Float64()
			for i := range noisy[1].Bits[s] {
				noisy[1].Bits[s][i] = int(float64(noisy[1].Bits[s][i]) * factor)
			}
		}
		// The border to the second layer, with half of the frames and all that there is besides.
		c := a.Allocate(at, 282_000+r.IntN(100_000)-50_000, noisy)[1]
		if c.Spatial != last.Spatial {
			changes++
		}
		last = c
	}
	t.Logf("%d changes in two minutes", changes)
	if changes > 16 {
		t.Errorf("%d changes of the layer in two minutes", changes)
	}
}

// TestLayersFollow is all of it: a camera in three layers over a bottleneck that becomes narrow and wide again.
func TestLayersFollow(t *testing.T) {
	for seed := range uint64(3) {
		layers := []float64{150e3, 450e3, 1.7e6}
		rate := func(at int64) float64 {
			if at >= 20*second && at < 50*second {
				return 300e3
			}
			return 3e6
		}
		l := &link{rate: rate, queue: 400_000, delay: 25_000, random: seeded(seed)}
		var a Allocator
		now := Choice{Spatial: -1}
		f := newFlow(l, DefaultLimits, func(int64) float64 {
			if now.Spatial < 0 {
				return 48e3
			}
			return 48e3 + layers[now.Spatial]
		})
		f.want = constant(48e3 + layers[2])
		changes := 0
		var low, high int64
		run(0, 90*second, func(at int64) {
			if at%100_000 != 0 {
				return
			}
			tracks := []Track{audio("x", 48_000), simulcast("v", int(layers[0]), int(layers[1]), int(layers[2]))}
			c := a.Allocate(at, f.e.Estimate(), tracks)[1]
			if c.Spatial != now.Spatial {
				changes++
				t.Logf("seed %d: layer %v at %d ms", seed, c, at/1000)
			}
			now = c
			if at > 20*second && low == 0 && c.Spatial <= 0 {
				low = at - 20*second
			}
			if at > 50*second && high == 0 && c.Spatial == 2 {
				high = at - 50*second
			}
		}, f)
		if low == 0 || low > 2*second {
			t.Errorf("seed %d: the lowest layer after %d ms", seed, low/1000)
		}
		if high == 0 || high > 12*second {
			t.Errorf("seed %d: the highest layer again after %d ms", seed, high/1000)
		}
		if changes > 14 {
			t.Errorf("seed %d: %d changes of the layer", seed, changes)
		}
	}
}
