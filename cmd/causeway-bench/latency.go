package main

import (
	"math"
	"slices"
	"time"
)

// Latencies is how long requests took, in milliseconds.
type Latencies struct {
	P50MS float64 `json:"p50_ms"`
	P95MS float64 `json:"p95_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
}

// latencies sorts the samples in place and reads the percentiles off them.
// All samples are kept, so these are exact.
func latencies(samples []time.Duration) Latencies {
	slices.Sort(samples)
	at := func(q float64) float64 { return milliseconds(percentile(samples, q)) }
	return Latencies{P50MS: at(0.50), P95MS: at(0.95), P99MS: at(0.99), MaxMS: at(1)}
}

// percentile is the smallest sample that at least the share q of all samples,
// which are sorted, does not exceed (the nearest-rank method); 0 without samples.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// The subtraction keeps 0.95*20, which is a little more than 19 in
	// floating point, from being rounded up to rank 20.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
