package store

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"causeway/homeserver/sqldb"
)

// The index of messages is the one thing that differs by engine: SQLite's is a table of FTS5, PostgreSQL's a tsvector with a GIN index.
// Both hold the same words, which package search makes: letters and digits of ASCII, so that neither engine has a say in what a word is.

// SearchRow is what the index holds of an event.
type SearchRow struct {
	NID, Pos int64 // of the event
	Words    []string
}

// SearchCursor returns the position up to which all events are in the index that belong there.
func (tx *Tx) SearchCursor() (pos int64, err error) {
	_, err = tx.Row(`SELECT pos FROM search_cursor WHERE id = 1`, nil, &pos)
	return pos, err
}

// SetSearchCursor moves the cursor.
func (tx *Tx) SetSearchCursor(pos int64) error {
	return tx.DeferOne(`UPDATE search_cursor SET pos = $1 WHERE id = 1`, pos)
}

// StreamEvents returns at most limit events of all rooms with after < pos ≤ upto, oldest first.
func (tx *Tx) StreamEvents(after, upto int64, limit int) ([]*Event, error) {
	all, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.pos > $1 AND e.pos <= $2 ORDER BY e.pos LIMIT `+
		strconv.Itoa(limit), []any{after, upto})
	return all, err
}

// EventsAtPositions finds events by their positions, in no order. Those that are not there are left out.
func (tx *Tx) EventsAtPositions(positions []int64) (all []*Event, err error) {
	err = inBatches(positions, func(some []int64) error {
		query, args := sqldb.In(`SELECT `+eventColumns+` FROM events e WHERE e.pos IN `, 1, some)
		events, err := tx.events(query, args)
		all = append(all, events...)
		return err
	})
	return all, err
}

// InsertSearchRow puts an event into the index, unless it was redacted or has lost its position since it was read.
func (tx *Tx) InsertSearchRow(r SearchRow) error {
	words, target := strings.Join(r.Words, " "), `(rowid, room_nid, words) SELECT e.pos, e.room_nid, $3`
	if tx.Engine() == sqldb.Postgres {
		target = `(pos, room_nid, words) SELECT e.pos, e.room_nid, $3::text::tsvector`
	}
	return tx.Defer(`INSERT INTO search_index `+target+` FROM events e WHERE e.nid = $1 AND e.pos = $2 AND e.redacted_by IS NULL`,
		r.NID, r.Pos, words)
}

// unindex takes events out of the index, which are about to be redacted, deleted, or to lose their position.
func (tx *Tx) unindex(nids ...int64) error {
	if tx.Engine() == sqldb.Postgres {
		return inBatches(nids, func(some []int64) error {
			query, args := sqldb.In(`DELETE FROM search_index WHERE pos IN (SELECT pos FROM events WHERE pos IS NOT NULL AND nid IN `, 1, some)
			return tx.Defer(query+`)`, args...)
		})
	}
	var positions []int64
	err := inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT pos FROM events WHERE pos IS NOT NULL AND nid IN `, 1, some)
		found, err := tx.ints(query, args...)
		positions = append(positions, found...)
		return err
	})
	if err != nil {
		return err
	}
	remove := `DELETE FROM search_index WHERE rowid = $1`
	if len(positions) > maxUnindexed {
		remove = `INSERT INTO search_doomed (pos) SELECT rowid FROM search_index WHERE rowid = $1 ON CONFLICT (pos) DO NOTHING`
	}
	for _, pos := range positions {
		if err := tx.Defer(remove, pos); err != nil {
			return err
		}
	}
	return nil
}

// maxUnindexed bounds the rows of the index that a transaction deletes at once on SQLite, where that is slow. Others are left to
// UnindexSome.
const maxUnindexed = 24

// UnindexSome deletes some of the rows of the index whose events are gone. more tells that there may be others.
func (tx *Tx) UnindexSome() (more bool, err error) {
	if tx.Engine() == sqldb.Postgres {
		return false, nil
	}
	doomed, err := tx.ints(`SELECT pos FROM search_doomed ORDER BY pos LIMIT ` + strconv.Itoa(maxUnindexed))
	for _, pos := range doomed {
		for _, query := range [...]string{`DELETE FROM search_index WHERE rowid = $1`, `DELETE FROM search_doomed WHERE pos = $1`} {
			if err == nil {
				err = tx.Defer(query, pos)
			}
		}
	}
	return len(doomed) == maxUnindexed, err
}

// AnyDoomed tells whether UnindexSome has something to do.
func (tx *Tx) AnyDoomed() (bool, error) {
	if tx.Engine() == sqldb.Postgres {
		return false, nil
	}
	var pos int64
	return tx.Row(`SELECT pos FROM search_doomed LIMIT 1`, nil, &pos)
}

// SearchQuery asks the index for events.
type SearchQuery struct {
	Words []string // each of which the event must have
	AnyOf []string // of which the event must have one, nil for no such condition
	Upto  int64    // the newest position
	Limit int
}

// SearchHit is an event that the index has found.
type SearchHit struct{ Pos, RoomNID int64 }

// SearchHits returns what the index finds, newest first.
func (tx *Tx) SearchHits(q SearchQuery) ([]SearchHit, error) {
	if len(q.Words) == 0 {
		return nil, nil
	}
	if tx.Engine() == sqldb.Postgres {
		return tx.postgresHits(q)
	}
	query := expression(q, `"`, " AND ", " OR ")
	return tx.searchHits(`SELECT rowid, room_nid FROM search_index WHERE search_index MATCH $1 AND rowid <= $2 ORDER BY rowid DESC LIMIT `+
		atLeast(q.Limit), q.Limit, query, q.Upto)
}

// expression writes a query in an engine's words.
func expression(q SearchQuery, quote, and, or string) string {
	var b strings.Builder
	for i, word := range q.Words {
		if i > 0 {
			b.WriteString(and)
		}
		b.WriteString(quote + word + quote)
	}
	for i, word := range q.AnyOf {
		if i == 0 {
			b.WriteString(and + "(")
		} else {
			b.WriteString(or)
		}
		b.WriteString(quote + word + quote)
	}
	if len(q.AnyOf) > 0 {
		b.WriteString(")")
	}
	return b.String()
}

// How PostgreSQL is asked. GIN knows no order: it finds all that a word has, and only then the newest of it can be told. So the newest
// part of the table is gone through first. A word of which that has many is found by going on; for one of which it has few, GIN has not
// many either, unless they are all old.
const (
	searchProbe = 2000    // positions that are gone through first
	searchWalk  = 200_000 // positions that may be gone through in all
)

func (tx *Tx) postgresHits(q SearchQuery) ([]SearchHit, error) {
	query := expression(q, `'`, " & ", " | ")
	var newest sql.NullInt64
	if _, err := tx.Row(`SELECT MAX(pos) FROM search_index WHERE pos <= $1`, []any{q.Upto}, &newest); err != nil || !newest.Valid {
		return nil, err
	}
	var all []SearchHit
	size, upto := int64(searchProbe), newest.Int64
	for walked := int64(0); walked < searchWalk; {
		// OFFSET 0 keeps the planner from any other way.
		some, err := tx.searchHits(`SELECT pos, room_nid FROM (SELECT pos, room_nid, words FROM search_index WHERE pos > $2 AND pos <= $3 OFFSET 0) s
			WHERE words @@ $1::text::tsquery ORDER BY pos DESC LIMIT `+atLeast(q.Limit), q.Limit-len(all), query, upto-size, upto)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		walked += size
		upto -= size
		if len(all) >= q.Limit || upto <= 0 {
			return all, nil
		}
		// As far as it will be, if there are as many before as there are here.
		expected := int64(searchWalk)
		if len(all) > 0 {
			expected = walked * int64(q.Limit-len(all)) / int64(len(all))
		}
		if walked+expected > searchWalk {
			break
		}
		size = max(expected, searchProbe)
	}
	rest, err := tx.searchHits(`SELECT pos, room_nid FROM (SELECT pos, room_nid FROM search_index WHERE words @@ $1::text::tsquery OFFSET 0) s
		WHERE pos <= $2 ORDER BY pos DESC LIMIT `+atLeast(q.Limit), q.Limit-len(all), query, upto)
	return append(all, rest...), err
}

func (tx *Tx) searchHits(query string, limit int, args ...any) ([]SearchHit, error) {
	var all []SearchHit
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var h SearchHit
		if err := scan(&h.Pos, &h.RoomNID); err != nil {
			return fmt.Errorf("read the index of messages: %w", err)
		}
		all = append(all, h)
		return nil
	})
	return all[:min(len(all), limit)], err
}

// SearchKey returns the random key of the words in the index, and makes one if there is none yet.
func (tx *Tx) SearchKey() (key []byte, err error) {
	found, err := tx.Row(`SELECT value FROM secrets WHERE name = 'search'`, nil, &key)
	if err != nil || found {
		return key, err
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	_, err = tx.Exec(`INSERT INTO secrets (name, value) VALUES ('search', $1)`, key)
	return key, err
}
