package main

import (
	"context"
	"time"
)

// idleLoad does nothing: what it measures is what the server costs at rest.
type idleLoad struct{ duration time.Duration }

func (l *idleLoad) prepare(context.Context, *site, []*user) error { return nil }

func (l *idleLoad) run(ctx context.Context) (Result, error) {
	return Result{Workload: "idle", Seconds: l.duration.Seconds()}, pause(ctx, l.duration)
}
