package irc

import (
	"fmt"
	"time"
)

const (
	// minHandover is the least that a restart needs; maxHandover is when people on IRC may expect an answer.
	minHandover = 5 * time.Second
	maxHandover = time.Hour
)

func validHandover(d time.Duration) error {
	if d != 0 && (d < minHandover || d > maxHandover) {
		return fmt.Errorf("handover: must be 0 or from %s to %s", minHandover, maxHandover)
	}
	return nil
}
