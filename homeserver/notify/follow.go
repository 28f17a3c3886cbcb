package notify

import (
	"context"
	"time"
)

// Follow calls look at once, then whenever one of keys rings, and at least once per interval, until ctx ends or look fails.
// It returns nil when ctx ends. look reads rows from the caller's own cursor.
func Follow(ctx context.Context, bus Bus, interval time.Duration, look func(context.Context) error, keys ...Key) error {
	bell := bus.Register(keys...)
	defer bell.Close()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-bell.C:
		case <-ticker.C:
		}
	}
}
