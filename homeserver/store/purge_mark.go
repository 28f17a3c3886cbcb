package store

// Sweep says what a purge has left in a room for a sweep to find.
type Sweep int64

// The kinds of sweeps. Each does what those before it do.
const (
	SweepNothing  Sweep = iota
	SweepSets           // state sets that nothing refers to
	SweepOutliers       // and outliers that nothing needs
)

// MarkSweep records that a room is to be swept, so that a sweep that does not come, because the server ends, is made up for.
func (tx *Tx) MarkSweep(roomNID int64, kind Sweep) error {
	return tx.Defer(`UPDATE rooms SET sweep = $2 WHERE nid = $1 AND sweep < $2`, roomNID, int64(kind))
}

// EndSweep records that a room has been swept.
func (tx *Tx) EndSweep(roomNID int64, kind Sweep) error {
	return tx.Defer(`UPDATE rooms SET sweep = 0 WHERE nid = $1 AND sweep <= $2`, roomNID, int64(kind))
}

// RoomsToSweep returns the rooms that are marked.
func (tx *Tx) RoomsToSweep() ([]AuditRoom, error) {
	var all []AuditRoom
	err := tx.Query(`SELECT nid, room_id, sweep FROM rooms WHERE sweep > 0 AND purging = 0 ORDER BY nid`, nil, func(scan func(...any) error) error {
		var r AuditRoom
		err := scan(&r.NID, &r.RoomID, &r.Sweep)
		all = append(all, r)
		return err
	})
	return all, err
}
