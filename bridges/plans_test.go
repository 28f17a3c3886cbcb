package bridges

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/bridgev2/database"
)

// TestPlans has SQLite say how it looks for what bridgev2 asks with each event.
func TestPlans(t *testing.T) {
	db := openStatements(t)
	ctx := t.Context()
	if err := upgradeHostTables(ctx, db); err != nil {
		t.Fatal(err)
	}
	if err := database.New("test", database.MetaTypes{}, db).Upgrade(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also when it has been done before
		if err := prepareTables(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{
		`bridge_id=$1 AND (room_receiver=$2 OR room_receiver='') AND (mxid=$3 OR send_txn_id=$4)`,
		`bridge_id=$1 AND (room_receiver=$2 OR room_receiver='') AND id=$3 AND part_id=$4`,
		`bridge_id=$1 AND room_id=$2 AND room_receiver=$3 AND timestamp<=$4 ORDER BY timestamp DESC LIMIT 1`,
	} {
		rows, err := db.Query(ctx, "EXPLAIN QUERY PLAN SELECT metadata FROM message WHERE "+query, "a", "b", "c", "d")
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var a, b, c int
			var step string
			if err := rows.Scan(&a, &b, &c, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			if strings.Contains(step, "SCAN") || strings.Contains(step, "SEARCH") && strings.Count(step, "?") < 2 || strings.HasSuffix(step, "(bridge_id=? AND room_receiver=?)") {
				t.Errorf("%s: %q", query, plan)
			}
		}
	}
}
