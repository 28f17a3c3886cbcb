package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	upTo := func(n int) []time.Duration {
		var d []time.Duration
		for i := range n {
			d = append(d, time.Duration(i+1))
		}
		return d
	}
	tests := []struct {
		name string
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{"nothing", nil, 0.5, 0},
		{"one", upTo(1), 0.99, 1},
		{"median of an odd number", upTo(5), 0.5, 3},
		{"median of an even number", upTo(4), 0.5, 2},
		{"p95 of 20", upTo(20), 0.95, 19},
		{"p95 of 100", upTo(100), 0.95, 95},
		{"p99 of 100", upTo(100), 0.99, 99},
		{"p99 of 101", upTo(101), 0.99, 100},
		{"p99 of 1000", upTo(1000), 0.99, 990},
		{"maximum", upTo(7), 1, 7},
		{"minimum", upTo(7), 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := percentile(test.of, test.q); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestLatenciesSorts(t *testing.T) {
	ms := time.Millisecond
	got := latencies([]time.Duration{4 * ms, 1 * ms, 3 * ms, 2 * ms})
	if want := (Latencies{P50MS: 2, P95MS: 4, P99MS: 4, MaxMS: 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseUsage(t *testing.T) {
	stat := "42 (a ) (b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 2 3"
	got, err := parseUsage(stat, "900 300 200 1 0 100 0\n")
	want := usage{cpu: 3 * time.Second, rss: int64(300 * os.Getpagesize())}
	if err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
	for _, bad := range [][2]string{{"", ""}, {stat, "1"}, {strings.Replace(stat, "250", "x", 1), "1 2"}, {stat, "1 x"}} {
		if _, err := parseUsage(bad[0], bad[1]); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseUsage(f *testing.F) {
	f.Add("42 (a ) (b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0", "900 300 200")
	f.Fuzz(func(_ *testing.T, stat, statm string) { _, _ = parseUsage(stat, statm) })
}

func TestMeasureThisProcess(t *testing.T) {
	got, err := measure(t.Context(), os.Getpid(), func(context.Context) (Result, error) {
		// Two ticks of processor time, as the kernel counts it.
		start, err := readUsage(os.Getpid())
		for now := start; err == nil && now.cpu < start.cpu+2*time.Second/clockTicks; {
			now, err = readUsage(os.Getpid())
		}
		return Result{Workload: "busy"}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Process; p.CPUSeconds < 0.02 || p.CPUPercent <= 0 || p.RSSPeak < p.RSSAfter || p.RSSBefore <= 0 {
		t.Errorf("got %+v", p)
	}
}

func TestMountType(t *testing.T) {
	mounts := "overlay / overlay rw 0 0\nproc /proc proc rw 0 0\ntmpfs /data tmpfs rw 0 0\n/dev/sda /data/x ext4 rw 0 0\n/dev/sdb /data ext4 rw 0 0\n"
	for dir, want := range map[string]string{"/": "overlay", "/home": "overlay", "/data": "ext4", "/data/x/y": "ext4", "/database": "overlay"} {
		if got := mountType(mounts, dir); got != want {
			t.Errorf("%s: got %s, want %s", dir, got, want)
		}
	}
}

func TestCommandLineHidesPasswords(t *testing.T) {
	args := []string{"/usr/bin/causeway-bench", "suite", "--postgres", "postgres://u:secret@h/d?sslmode=disable", "--postgres=postgres://u:secret@h/d", "--rate=5"}
	want := "causeway-bench suite --postgres postgres://u:xxxxx@h/d?sslmode=disable --postgres=postgres://u:xxxxx@h/d --rate=5"
	if got := commandLine(args); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReportTable(t *testing.T) {
	report := Report{
		Machine: &Machine{Command: "causeway-bench suite", CPU: "Z80", Cores: 2},
		Results: []Result{
			{Engine: "SQLite", Workload: "send", Senders: 32, Rooms: 1, Seconds: 10, Sent: 20500, PerSecond: 2050,
				Latencies: Latencies{P50MS: 1.234, P95MS: 2, P99MS: 3, MaxMS: 4},
				Process:   &Process{CPUSeconds: 9.5, CPUPercent: 95, RSSBefore: 40e6, RSSPeak: 81.25e6}},
			{Workload: "deliver", Offered: 100, Senders: 1, Rooms: 1, Lost: 1, Doubled: 2, OutOfOrder: 3, Errors: 1, ErrorTexts: []string{"500"}},
		},
	}
	var out bytes.Buffer
	if err := report.write(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    causeway-bench suite\n",
		"- processor: Z80, 2 cores\n",
		"| SQLite | send | 32 | 1 | 10.0 | 20500 | 2050 | 1.23 | 2.00 | 3.00 | 4.00 | 0 | – | 9.50 | 95 | 40.0 | 81.2 |\n",
		"| – | deliver at 100/s | 1 | 1 | 0.0 | 0 | 0 | 0.00 | 0.00 | 0.00 | 0.00 | 1 | 1/2/3 | – | – | – | – |\n",
		"deliver at 100/s: error: 500\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	columns := -1
	for line := range strings.Lines(out.String()) {
		if n := strings.Count(line, "|"); n > 0 {
			if columns >= 0 && n != columns {
				t.Errorf("got %d columns, want %d: %s", n, columns, line)
			}
			columns = n
		}
	}
}

func TestServerThatEndsAtOnce(t *testing.T) {
	_, err := startServer(t.Context(), "/bin/false", t.TempDir(), "")
	if err == nil || !strings.Contains(err.Error(), "the server ended at once") {
		t.Errorf("got %v", err)
	}
}
