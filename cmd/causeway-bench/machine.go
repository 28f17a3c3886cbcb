package main

import (
	"bufio"
	"debug/buildinfo"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Machine is where the numbers come from.
type Machine struct {
	Command    string  `json:"command"`
	Date       string  `json:"date"`
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Memory     string  `json:"memory"`
	System     string  `json:"system"`
	Go         string  `json:"go"`
	Commit     string  `json:"commit,omitempty"`
	Filesystem string  `json:"filesystem"`
	FsyncMS    float64 `json:"fsync_ms"` // median time of making 4 kB durable
	Postgres   string  `json:"postgres,omitempty"`
}

// describeMachine says what the binary was built with and what it runs on.
// What cannot be found out is "unknown": it is no reason not to measure.
func describeMachine(binary, dir string) *Machine {
	m := &Machine{
		Command:    commandLine(os.Args),
		Date:       time.Now().Format(time.DateOnly),
		CPU:        field("/proc/cpuinfo", "model name", ":"),
		Cores:      runtime.NumCPU(),
		Memory:     memory(field("/proc/meminfo", "MemTotal", ":")),
		System:     strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Go:         "unknown",
		Filesystem: filesystem(dir),
		FsyncMS:    milliseconds(fsyncTime(dir)),
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += ", Linux " + strings.TrimSpace(string(kernel))
	}
	if info, err := buildinfo.ReadFile(binary); err == nil {
		m.Go = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				m.Commit = fmt.Sprintf("%.12s", s.Value)
			}
		}
	}
	return m
}

// commandLine is what was typed, without the passwords in URLs.
func commandLine(args []string) string {
	shown := []string{filepath.Base(args[0])}
	for _, arg := range args[1:] {
		flag, value, joined := strings.Cut(arg, "=")
		if !joined || !strings.HasPrefix(flag, "-") {
			flag, value = "", arg
		} else {
			flag += "="
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			value = u.Redacted()
		}
		shown = append(shown, flag+value)
	}
	return strings.Join(shown, " ")
}

// write prints the facts as a Markdown list.
func (m *Machine) write(b *strings.Builder) {
	fmt.Fprintf(b, "    %s\n\n", m.Command)
	facts := [][2]string{
		{"date", m.Date}, {"processor", fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)}, {"memory", m.Memory},
		{"system", m.System}, {"Go", m.Go}, {"commit", m.Commit},
		{"disk", fmt.Sprintf("%s, %.2f ms to make 4 kB durable", m.Filesystem, m.FsyncMS)}, {"PostgreSQL", m.Postgres},
	}
	for _, fact := range facts {
		if fact[1] != "" {
			fmt.Fprintf(b, "- %s: %s\n", fact[0], fact[1])
		}
	}
	b.WriteString("\nThe load generator shares the cores with the server. Processor time and memory are the server's alone,\n" +
		"without those of PostgreSQL.\n\n")
}

// memory turns the kernel's "16384 kB", which are of 1024 bytes, into "16.8 GB".
func memory(total string) string {
	digits, _, _ := strings.Cut(total, " kB")
	kilobytes, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return total
	}
	return fmt.Sprintf("%.1f GB", float64(kilobytes)*1024/1e9)
}

// field reads the value of a key from a file of lines.
func field(path, key, separator string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// filesystem names the type of the file system that holds dir.
func filesystem(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "unknown"
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "unknown"
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown"
	}
	return mountType(string(mounts), dir)
}

// mountType finds the mount with the longest path that dir is in. The last
// one counts when several have the same: it lies on top.
func mountType(mounts, dir string) string {
	found, longest := "unknown", -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		if (dir == point || strings.HasPrefix(dir, point+"/")) && len(point) >= longest {
			found, longest = fields[2], len(point)
		}
	}
	return found
}

// fsyncTime is the median time to write and sync 4 kB in dir: acknowledged
// messages wait for this.
func fsyncTime(dir string) time.Duration {
	f, err := os.CreateTemp(dir, "causeway-bench-sync-")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	var samples []time.Duration
	for range 21 {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0
		}
		if err := f.Sync(); err != nil {
			return 0
		}
		samples = append(samples, time.Since(start))
	}
	slices.Sort(samples)
	return percentile(samples, 0.5)
}
