package store

import "sync/atomic"

// Family is a family of rows that take positions in the stream.
type Family int

// The families.
const (
	FamilyAccountData Family = iota
	FamilyReceipts
	FamilyPresence
	FamilyToDevice
	FamilyDeviceLists
	FamilyKeyCounts   // keys that others took
	FamilyMemberships // of rooms
	FamilyThreads     // which are followed
	families          // how many there are
)

// newest is a bound, for each family, on the positions of its rows: there may be rows up to it, and there are none after it. It
// spares readers that are up to date a query. With a second process that writes it could not be kept in memory.
type newest struct {
	upto       [families]atomic.Int64
	all        atomic.Int64 // of the stream
	generation atomic.Int64 // for which upto and all hold
}

// raise raises a bound.
func raise(bound *atomic.Int64, pos int64) {
	for {
		old := bound.Load()
		if pos <= old || bound.CompareAndSwap(old, pos) {
			return
		}
	}
}

// touch says that a row of a family is about to have a position. It raises the bound before the commit, so that whoever sees the row
// finds the bound raised; when the transaction is undone, the bound is merely higher than it need be.
func (tx *Tx) touch(f Family, pos int64) {
	raise(&tx.db.newest.upto[f], pos)
}

// Quiet tells that no row of a family has a position after the given one. When it is false there may be one, or not.
func (tx *Tx) Quiet(f Family, after int64) bool { return tx.db.Quiet(f, after) }

// Quiet is Tx.Quiet without a transaction: of the rows that are committed by now.
func (db *DB) Quiet(f Family, after int64) bool {
	return db.newest.generation.Load() == db.Generation() && db.newest.upto[f].Load() <= after
}

// Newest tells that a position is the newest of the stream: whoever has been told all up to it finds nothing new. When it is false
// it may be, or not. It costs no query.
func (db *DB) Newest(pos int64) bool {
	return db.newest.generation.Load() == db.Generation() && db.newest.all.Load() == pos
}

// learnNewest sets the bounds when the database is opened, where nothing is known of its rows but that they are at or before the
// newest position.
func (db *DB) learnNewest(tx *Tx) error {
	pos, err := tx.StreamPos()
	if err != nil {
		return err
	}
	for i := range db.newest.upto {
		db.newest.upto[i].Store(pos)
	}
	db.newest.all.Store(pos)
	db.newest.generation.Store(db.Generation())
	db.newestRooms.learn(pos, db.Generation())
	return nil
}
