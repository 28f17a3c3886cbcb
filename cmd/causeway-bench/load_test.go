package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// prepared makes users on the fake and prepares a load with them.
func prepared(t *testing.T, f *fake, users int, l load) {
	t.Helper()
	s := f.site(t)
	accounts, err := s.accounts(t.Context(), users, f.token, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.prepare(t.Context(), s, accounts); err != nil {
		t.Fatal(err)
	}
}

func TestSend(t *testing.T) {
	tests := []struct {
		name                    string
		rooms, wantRooms, joins int
	}{
		{name: "a room each", wantRooms: 4},
		{name: "one room", rooms: 1, wantRooms: 1, joins: 3},
		{name: "two rooms", rooms: 2, wantRooms: 2, joins: 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			l := &sendLoad{senders: 4, rooms: test.rooms, size: 64, duration: 100 * time.Millisecond}
			prepared(t, f, 4, l)
			got, err := l.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := f.puts - 4*warmUps; got.Sent != want || got.Sent == 0 || got.Errors != 0 {
				t.Errorf("got %d sent and %d errors %v, the server counted %d", got.Sent, got.Errors, got.ErrorTexts, want)
			}
			if got.Rooms != test.wantRooms || f.rooms != test.wantRooms {
				t.Errorf("got %d rooms and %d made, want %d", got.Rooms, f.rooms, test.wantRooms)
			}
			joins := 0
			for _, n := range f.joined {
				joins += n
			}
			if joins != test.joins {
				t.Errorf("got %d joins, want %d", joins, test.joins)
			}
			if got.P50MS <= 0 || got.P50MS > got.P99MS || got.P99MS > got.MaxMS {
				t.Errorf("got percentiles %+v", got.Latencies)
			}
			for _, e := range f.events {
				if len(e.body) != 64 {
					t.Fatalf("got a text of %d bytes, want 64", len(e.body))
				}
			}
		})
	}
}

func TestSendCountsErrors(t *testing.T) {
	f := newFake(t)
	l := &sendLoad{senders: 2, size: 10, duration: 200 * time.Millisecond}
	prepared(t, f, 2, l)
	f.mu.Lock()
	f.puts, f.failEvery = 0, 3
	f.mu.Unlock()
	got, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := f.puts / 3; got.Errors != want || got.Sent != f.puts-want {
		t.Errorf("got %d sent and %d errors, want %d and %d", got.Sent, got.Errors, f.puts-want, want)
	}
	if want := []string{"500 M_UNKNOWN out of order"}; !slices.Equal(got.ErrorTexts, want) {
		t.Errorf("got %q, want %q", got.ErrorTexts, want)
	}
}

func TestDeliver(t *testing.T) {
	f := newFake(t)
	l := &deliverLoad{rate: 500, size: 40, duration: 400 * time.Millisecond}
	prepared(t, f, 2, l)
	got, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Sent != 200 || got.Errors+got.Lost+got.Doubled+got.OutOfOrder+got.Gaps != 0 {
		t.Errorf("got %+v, want 200 sent and nothing wrong", got)
	}
	// The last of 200 starts 398 ms after the first.
	if got.Seconds < 0.398 || got.P50MS <= 0 || got.MaxMS < got.P99MS {
		t.Errorf("got %g s and %+v", got.Seconds, got.Latencies)
	}
}

func TestDeliverNoticesFaults(t *testing.T) {
	f := newFake(t)
	f.fault = func(n int) (drop, double bool) { return n == 7, n == 9 || n == 11 }
	l := &deliverLoad{rate: 1000, size: 1, duration: 50 * time.Millisecond}
	prepared(t, f, 2, l)
	l.drain = 50 * time.Millisecond
	got, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Sent != 50 || got.Lost != 1 || got.Doubled != 2 {
		t.Errorf("got %d sent, %d lost, %d doubled, want 50, 1, 2", got.Sent, got.Lost, got.Doubled)
	}
}

func TestOutOfOrder(t *testing.T) {
	// Three messages; the second and the third overlap.
	times := [][2]int64{{1, 5}, {10, 30}, {20, 25}}
	tests := []struct {
		name    string
		arrived []int
		want    int
	}{
		{"in order", []int{0, 1, 2}, 0},
		{"overlapping ones swapped", []int{0, 2, 1}, 0},
		{"the first comes last", []int{1, 2, 0}, 1},
		{"the first comes between", []int{2, 0, 1}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := &deliverLoad{letters: make([]letter, len(times))}
			for i, at := range times {
				l.letters[i].start.Store(at[0])
				l.letters[i].acked.Store(at[1])
			}
			if got := l.outOfOrder(test.arrived); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	t.Run("token", func(t *testing.T) {
		f := newFake(t)
		f.token, f.limits = "secret", 2
		users, err := f.site(t).accounts(t.Context(), 3, "secret", nil)
		if err != nil || len(users) != 3 || !strings.HasPrefix(users[2].token, "t_bench_") {
			t.Errorf("got %v and %v", users, err)
		}
	})
	t.Run("token missing", func(t *testing.T) {
		f := newFake(t)
		f.token = "secret"
		_, err := f.site(t).accounts(t.Context(), 1, "", nil)
		if err == nil || !strings.Contains(err.Error(), "give --token") {
			t.Errorf("got %v, want an error that says what to do", err)
		}
	})
	t.Run("given", func(t *testing.T) {
		f := newFake(t)
		_, err := f.site(t).accounts(t.Context(), 2, "", []string{"@a:fake:p:w", "b:q"})
		slices.Sort(f.logins)
		if want := []string{"@a:fake p:w", "b q"}; err != nil || !slices.Equal(f.logins, want) {
			t.Errorf("got %q and %v, want %q", f.logins, err, want)
		}
	})
	t.Run("too few given", func(t *testing.T) {
		if _, err := newFake(t).site(t).accounts(t.Context(), 2, "", []string{"a:b"}); err == nil {
			t.Error("got no error")
		}
	})
}

func TestCommands(t *testing.T) {
	f := newFake(t)
	tests := []struct {
		name string
		args []string
		bad  string // in the error
	}{
		{name: "send", args: []string{"send", "--senders", "2", "--duration", "20ms"}},
		{name: "deliver", args: []string{"deliver", "--rate", "100", "--duration", "30ms"}},
		{name: "no senders", args: []string{"send", "--senders", "0"}, bad: "--senders must be from 1"},
		{name: "rooms", args: []string{"send", "--senders", "2", "--rooms", "3"}, bad: "--rooms must be"},
		{name: "rate", args: []string{"deliver", "--rate", "-1"}, bad: "--rate must be"},
		{name: "duration", args: []string{"send", "--duration", "-1s"}, bad: "--duration must be"},
		{name: "process", args: []string{"send", "--pid", "-1"}, bad: "measure process -1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := rootCommand(&out, io.Discard)
			cmd.SetArgs(append(test.args, "--url", f.URL, "--json"))
			err := cmd.ExecuteContext(t.Context())
			if test.bad != "" {
				if err == nil || !strings.Contains(err.Error(), test.bad) {
					t.Errorf("got %v, want %q", err, test.bad)
				}
				return
			}
			var report Report
			if err != nil || json.Unmarshal(out.Bytes(), &report) != nil || len(report.Results) != 1 || report.Results[0].Sent == 0 {
				t.Errorf("got %v and %s", err, out.String())
			}
		})
	}
}
