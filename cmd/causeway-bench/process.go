package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// clockTicks is Linux's unit of processor time in /proc: USER_HZ, always 100.
	clockTicks = 100
	// sampleEvery is how often memory is looked at during a load.
	sampleEvery = 100 * time.Millisecond
)

// Process is what a load cost the process that was measured.
type Process struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUPercent float64 `json:"cpu_percent"` // of one core
	// Resident memory in bytes: before the load, its peak during the load, and after it.
	RSSBefore int64 `json:"rss_before"`
	RSSPeak   int64 `json:"rss_peak"`
	RSSAfter  int64 `json:"rss_after"`
}

// usage is one look at a process.
type usage struct {
	cpu time.Duration // user and system, of all its threads
	rss int64         // bytes
}

// readUsage looks at a process of this machine.
func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("measure process %d: %w", pid, err)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, fmt.Errorf("measure process %d: %w", pid, err)
	}
	return parseUsage(string(stat), string(statm))
}

// parseUsage reads fields 14 and 15 (utime, stime) of stat and field 2
// (resident pages) of statm; see proc(5).
func parseUsage(stat, statm string) (usage, error) {
	// The second field is the command in parentheses and may hold anything.
	after := stat[strings.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(after)
	pages := strings.Fields(statm)
	if len(fields) < 13 || len(pages) < 2 {
		return usage{}, fmt.Errorf("/proc has an unknown form: %q", stat)
	}
	var sum int64
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("/proc has an unknown form: %w", err)
		}
		sum += ticks
	}
	resident, err := strconv.ParseInt(pages[1], 10, 64)
	if err != nil {
		return usage{}, fmt.Errorf("/proc has an unknown form: %w", err)
	}
	return usage{cpu: time.Duration(sum) * (time.Second / clockTicks), rss: resident * int64(os.Getpagesize())}, nil
}

// measure runs a load and looks at the process before, during and after it.
// Without a pid it only runs the load.
func measure(ctx context.Context, pid int, run func(context.Context) (Result, error)) (Result, error) {
	if pid == 0 {
		return run(ctx)
	}
	before, err := readUsage(pid)
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	sampling, stop := context.WithCancel(ctx)
	peak := make(chan int64, 1)
	go func() { peak <- watchPeak(sampling, pid, before.rss) }()
	result, err := run(ctx)
	elapsed := time.Since(start)
	stop()
	highest := <-peak
	if err != nil {
		return Result{}, err
	}
	after, err := readUsage(pid)
	if err != nil {
		return Result{}, err
	}
	cpu := (after.cpu - before.cpu).Seconds()
	result.Process = &Process{
		CPUSeconds: cpu,
		CPUPercent: 100 * cpu / elapsed.Seconds(),
		RSSBefore:  before.rss,
		RSSPeak:    max(highest, after.rss),
		RSSAfter:   after.rss,
	}
	return result, nil
}

// watchPeak returns the most memory that was seen until ctx ended.
func watchPeak(ctx context.Context, pid int, peak int64) int64 {
	for pause(ctx, sampleEvery) == nil {
		if now, err := readUsage(pid); err == nil {
			peak = max(peak, now.rss)
		}
	}
	return peak
}
