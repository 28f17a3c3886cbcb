package store

import (
	"context"
	"fmt"
)

// Claim makes the database that of a server, and refuses one that is another server's: user ids, aliases and signatures in it
// have that one's name. fresh tells that it was nobody's.
func (db *DB) Claim(ctx context.Context, serverName string) (fresh bool, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		var name string
		fresh = false
		found, err := tx.Row(`SELECT name FROM server WHERE id = 1`, nil, &name)
		switch {
		case err != nil:
			return err
		case !found:
			fresh = true
			_, err := tx.Exec(`INSERT INTO server (id, name) VALUES (1, $1)`, serverName)
			return err
		case name != serverName:
			return fmt.Errorf("the database is that of the server %s, and server_name says %s: a server cannot change its name", name, serverName)
		default:
			return nil
		}
	})
	return fresh, err
}
