package store

import (
	"context"
	"fmt"
)

// Claim makes the database that of a server, and refuses one that is another server's: user ids, aliases and signatures in it
// have that one's name.
func (db *DB) Claim(ctx context.Context, serverName string) error {
	return db.Write(ctx, func(tx *Tx) error {
		var name string
		found, err := tx.Row(`SELECT name FROM server WHERE id = 1`, nil, &name)
		switch {
		case err != nil:
			return err
		case !found:
			_, err := tx.Exec(`INSERT INTO server (id, name) VALUES (1, $1)`, serverName)
			return err
		case name != serverName:
			return fmt.Errorf("the database is that of the server %s, and server_name says %s: a server cannot change its name", name, serverName)
		default:
			return nil
		}
	})
}
