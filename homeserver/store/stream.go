package store

import "fmt"

type streamKey struct{}

// counter is the stream's position while a write transaction holds its row.
type counter struct{ pos int64 }

// NextPos takes the next number of the stream. Numbers become visible in order: whoever sees one sees all before it.
func (tx *Tx) NextPos() (int64, error) {
	c, ok := tx.Value(streamKey{}).(*counter)
	if !ok {
		c = new(counter)
		found, err := tx.Row(`UPDATE stream SET pos = pos WHERE id = 1 RETURNING pos`, nil, &c.pos)
		if err != nil {
			return 0, err
		}
		if !found {
			return 0, fmt.Errorf("the stream's row: %w", ErrNotFound)
		}
		tx.SetValue(streamKey{}, c)
		tx.BeforeCommit(func() error {
			_, err := tx.Exec(`UPDATE stream SET pos = $1 WHERE id = 1`, c.pos)
			return err
		})
	}
	c.pos++
	raise(&tx.db.newest.all, c.pos) // before the commit, as touch does
	return c.pos, nil
}

// StreamPos returns the newest position that this transaction sees.
func (tx *Tx) StreamPos() (int64, error) {
	if c, ok := tx.Value(streamKey{}).(*counter); ok {
		return c.pos, nil
	}
	var pos int64
	_, err := tx.Row(`SELECT pos FROM stream WHERE id = 1`, nil, &pos)
	return pos, err
}
