package sender

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"causeway/homeserver/store"
)

const (
	// transactionTimeout bounds the wait for a service elsewhere to acknowledge a transaction.
	transactionTimeout = time.Minute
	// inProcessTimeout is the same for a service of this process, which acknowledges only after its network has taken
	// everything.
	inProcessTimeout = 10 * time.Minute
	// stopGrace is how long a transaction under way may still be acknowledged when the sender stops, so that it is not sent
	// again at the next start.
	stopGrace = 5 * time.Second

	// The pause after a failure is of random length, up to a bound that doubles from firstBackoff to maxBackoff.
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
)

// deliver sends the pending transaction until it is acknowledged; false means that ctx ended first.
func (w *worker) deliver(ctx context.Context) bool {
	failures := 0
	for ctx.Err() == nil {
		err := w.put(ctx, w.cursor.Pending)
		if err == nil {
			w.health.delivered()
			if failures > 0 {
				w.log.Info().Msg("Application service accepts transactions again")
			}
			return true
		}
		if ctx.Err() != nil {
			break
		}
		failures++
		pause := w.jitter(backoff(failures))
		w.health.failed(err, pause)
		w.log.Warn().Err(err).Int("failures", failures).Stringer("retry_in", pause.Round(time.Millisecond)).Msg("Application service did not accept a transaction")
		if w.pause(ctx, pause) {
			failures = 0
		}
	}
	return false
}

// pause waits, and tells whether a kick ended the wait: then the failures so far are forgotten. A sign of life ends it, too, but if
// that was not worth anything, the next pause is longer.
func (w *worker) pause(ctx context.Context, d time.Duration) (kicked bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-w.alive:
	case <-w.kick:
		return true
	}
	return false
}

// put sends a transaction once; nil means that it was acknowledged. Application Service API, "Pushing events".
func (w *worker) put(ctx context.Context, txn *store.AppServiceTxn) error {
	timeout := transactionTimeout
	if w.client.inProcess {
		timeout = inProcessTimeout
	}
	reqCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if sleep(reqCtx, stopGrace) {
			cancel()
		}
	})
	defer stop()
	a, err := w.client.call(reqCtx, http.MethodPut, "/_matrix/app/v1/transactions/"+strconv.FormatInt(txn.Txn, 10), txn.Body)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		code, _ := a.matrixError()
		return fmt.Errorf("application service %s answered with status %d %s", w.client.reg.ID, a.status, code)
	}
	return nil
}

// backoff returns the bound of the pause after so many failures in a row.
func backoff(failures int) time.Duration {
	d := firstBackoff
	for range failures - 1 {
		if d *= 2; d >= maxBackoff {
			return maxBackoff
		}
	}
	return d
}

// fullJitter returns a random time up to d: services that failed together do not come back together.
func fullJitter(d time.Duration) time.Duration { return rand.N(d) + 1 }
