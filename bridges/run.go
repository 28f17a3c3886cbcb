package bridges

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// drainWait is how long a network may take to say goodbye.
	drainWait = 8 * time.Second
	// stopWait bounds what remains of each login after that.
	stopWait = 5 * time.Second
)

// Run starts the bridge and blocks until ctx ends; then it says goodbye, records what was handled, closes the
// database and returns nil. Before it is called the homeserver must answer client requests and know the
// registration, because starting includes a ping there and back. Run can be called once.
func (b *Bridge) Run(ctx context.Context) error {
	defer func() {
		if err := b.Close(); err != nil {
			b.log.Err(err).Msg("close the database")
		}
	}()
	// What runs on after ctx ends, to finish in order, hangs on its own context.
	background, cancel := context.WithCancel(b.log.WithContext(context.WithoutCancel(ctx)))
	defer cancel()
	b.lanes.start(background)
	if err := b.start(ctx); err != nil {
		b.stop(background)
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("start bridge %s: %w", b.opts.ID, err)
	}
	chores, endChores := context.WithCancel(background)
	defer endChores()
	var running sync.WaitGroup
	running.Go(func() { b.unbridger.run(chores) })
	running.Go(func() { b.reap(chores) })
	running.Go(func() { b.policies.run(chores) })
	<-ctx.Done()
	endChores()
	running.Wait()
	b.stop(background)
	return nil
}

// start brings up bridgev2 and takes up the events that were pending when the process last ended. They come
// before any new one, so the order within a room holds over a restart.
func (b *Bridge) start(ctx context.Context) error {
	ctx = b.log.WithContext(ctx)
	if err := b.v2.DB.Upgrade(ctx); err != nil {
		return fmt.Errorf("upgrade the database: %w", err)
	}
	if err := errors.Join(prepareTables(ctx, b.raw), b.forgetFiles(ctx)); err != nil {
		return err
	}
	// What bridgev2's Start does, but without leaving PostStart to a goroutine that nobody waits for.
	if err := b.v2.StartConnectors(ctx); err != nil {
		return err
	}
	if err := b.startLogins(ctx); err != nil {
		return err
	}
	b.v2.PostStart(ctx)
	rooms, err := b.inbox.waiting(ctx)
	if err != nil {
		return err
	}
	events := 0
	for room, count := range rooms {
		b.lanes.resume(room, count)
		events += count
	}
	if events > 0 {
		b.log.Info().Int("events", events).Msg("taking up events of before the last stop")
	}
	b.logins.Start(withForm(b.lanes.ctx))
	close(b.ready)
	return nil
}

// stop ends everything in the order of the events' way, so that what has been handled is recorded: no new
// events, the network's goodbye, bridgev2.
func (b *Bridge) stop(ctx context.Context) {
	close(b.ended)
	goodbye, cancel := context.WithTimeout(ctx, stopWait)
	b.logins.Stop(goodbye)
	cancel()
	b.txnMu.Lock() // a transaction that is being taken gets in whole
	b.lanes.close()
	b.txnMu.Unlock()
	b.lanes.wait()
	b.ephemera.wait()
	if drainer, ok := b.opts.Network.(Drainer); ok {
		drainCtx, cancel := context.WithTimeout(ctx, drainWait)
		drainer.Drain(drainCtx)
		cancel()
	}
	b.v2.StopWithTimeout(stopWait)
}
