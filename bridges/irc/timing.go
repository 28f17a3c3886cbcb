package irc

import (
	"cmp"
	"time"
)

// timing is how long things take for which a test cannot wait. What is zero has its usual value.
type timing struct {
	splitKeep, splitJitter time.Duration
	throttledRetry         time.Duration
}

func (t timing) withDefaults() timing {
	return timing{
		splitKeep: cmp.Or(t.splitKeep, splitKeep), splitJitter: cmp.Or(t.splitJitter, splitJitter),
		throttledRetry: cmp.Or(t.throttledRetry, throttledRetry),
	}
}
