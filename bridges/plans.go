package bridges

import (
	"context"
	"fmt"

	"go.mau.fi/util/dbutil"
)

// bridgev2 asks for each event from Matrix whether it has handled it, by its ID or that of its transaction and in one of two
// receivers. Without knowing what is rare in its table, SQLite reads all messages of the bridge for that, so that a line costs the more the
// longer a bridge runs; PostgreSQL has no index for the second half.

// planIndexes are indexes of ours on tables of bridgev2, made again if an upgrade of it makes a table anew.
var planIndexes = []string{
	`CREATE INDEX IF NOT EXISTS host_message_txn_idx ON message (bridge_id, send_txn_id) WHERE send_txn_id IS NOT NULL`,
	`CREATE INDEX IF NOT EXISTS host_message_time_idx ON message (bridge_id, room_id, room_receiver, timestamp)`,
}

// planStatistics are what SQLite is told of them (sqlite.org, "Manual Control Of Query Plans Using SQLITE_STAT Tables"): the number of rows, and
// how many are alike in the first column, the first two, and so on. ANALYZE would not tell that the rare case is what is looked for.
var planStatistics = map[string]string{
	"sqlite_autoindex_message_1": "100000 100000 50000 1 1", // bridge, receiver, id, part
	"sqlite_autoindex_message_2": "100000 100000 1",         // bridge, mxid
	"sqlite_autoindex_message_3": "100000 100000 50000 1",   // bridge, receiver, transaction
	"message_room_idx":           "100000 100000 1000 1000", // bridge, room, receiver
	"host_message_time_idx":      "100000 100000 1000 1000 1",
}

// prepareTables sees to it that what is looked for in bridgev2's tables is found without reading them whole.
func prepareTables(ctx context.Context, db *dbutil.Database) error {
	for _, index := range planIndexes {
		if _, err := db.Exec(ctx, index); err != nil {
			return fmt.Errorf("make an index: %w", err)
		}
	}
	if db.Dialect != dbutil.SQLite {
		return nil
	}
	err := db.DoTxn(ctx, nil, func(ctx context.Context) error {
		// It makes the table of statistics, and reads another that has a row.
		if _, err := db.Exec(ctx, `ANALYZE host_version`); err != nil {
			return err
		}
		if _, err := db.Exec(ctx, `DELETE FROM sqlite_stat1 WHERE tbl='message'`); err != nil {
			return err
		}
		for index, stat := range planStatistics {
			if _, err := db.Exec(ctx, `INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('message', $1, $2)`, index, stat); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell what is rare: %w", err)
	}
	// They are read when a connection begins.
	db.RawDB.SetMaxIdleConns(0)
	db.RawDB.SetMaxIdleConns(sqliteConns)
	return nil
}
