// Package doctor examines a homeserver's database: how many bytes each table and room takes, and whether all that must hold of the
// rows does hold: hashes, signatures, edges, state, extremities, references. The command "causeway doctor" calls it, and tests do
// after they have ill-treated a server. It reads one snapshot, beside a running server too, and never changes anything.
package doctor

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"causeway/homeserver/store"
)

// Options say what to look at, and what to look at it with.
type Options struct {
	// Quick leaves out the verification: only sizes are told.
	Quick bool
	// ServerName is the server's, by its configuration; "" for whatever the database says.
	ServerName string
	// Keys returns the public key that a server signs with, or signed with once. Signatures by other keys are not checked, but
	// counted. May be nil.
	Keys func(server, keyID string) (ed25519.PublicKey, bool)
	// Progress is told how far the verification has come, in events, now and then. May be nil.
	Progress func(done, total int64)
}

// Run examines a database. An error means that it could not be examined to the end, also because ctx ended: what is wrong with the
// database is in the report.
func Run(ctx context.Context, db *store.DB, o Options) (*Report, error) {
	started := time.Now()
	r := &Report{Engine: string(db.Engine()), Verified: !o.Quick}
	c := &checker{Options: o, report: r}
	if !o.Quick {
		// In a snapshot of its own: on PostgreSQL, finding damage ends it.
		if err := db.View(ctx, c.checkEngine); err != nil {
			return nil, fmt.Errorf("check the engine: %w", err)
		}
	}
	damaged := !r.Sound()
	err := db.View(ctx, func(tx *store.Tx) error {
		if err := r.measure(tx); err != nil || o.Quick {
			return err
		}
		return c.verify(tx)
	})
	if err != nil && ctx.Err() == nil && (damaged || store.AuditDamaged(err)) {
		// The damage is what has to be told, and explains the error, which may be any.
		r.add(KindEngine, Fault{Text: "the examination has ended early: " + err.Error()})
		err = nil
	}
	if err != nil {
		return nil, err
	}
	r.Seconds = time.Since(started).Seconds()
	return r, nil
}

// checker is one examination.
type checker struct {
	Options
	report *Report

	hashed  bool // the secret of the state sets is there, so that their hashes can be verified
	strings used
	done    int64 // events
}

// verify looks for faults. Each step names those that it finds.
func (c *checker) verify(tx *store.Tx) error {
	for _, step := range []func(*store.Tx) error{
		c.checkServer, c.checkStream, c.loadStrings, c.checkOrphans, c.checkRooms, c.checkThreads, c.countStrings,
	} {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

// roomBatch is how many rooms are listed at a time.
const roomBatch = 256

func (c *checker) checkRooms(tx *store.Tx) error {
	var after int64
	for {
		rooms, err := tx.AuditRooms(after, roomBatch)
		if err != nil {
			return fmt.Errorf("list the rooms: %w", err)
		}
		if len(rooms) == 0 {
			return nil
		}
		for _, r := range rooms {
			after = r.NID
			if r.Purging {
				c.report.note("Room %s is being purged, and is not looked at. The server goes on with it when it starts.", r.RoomID)
				continue
			}
			if r.Sweep != store.SweepNothing {
				c.report.note("A purge of the history of room %s has not come to its end. The server goes on with it when it starts.", r.RoomID)
			}
			if err := c.checkRoom(tx, r); err != nil {
				return fmt.Errorf("examine room %s: %w", r.RoomID, err)
			}
		}
	}
}

func (c *checker) advance(events int) {
	c.done += int64(events)
	if c.Progress != nil {
		c.Progress(c.done, c.report.events())
	}
}
