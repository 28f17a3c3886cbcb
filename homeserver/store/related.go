package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Related asks for the events that relate to one.
type Related struct {
	Parent    int64
	RelType   string // "" for any
	EventType string // "" for any
	Depth     int    // how many relations may lie between, at least 1; RelType and EventType hold for each
	From, To  int64  // positions, both included
	Backwards bool   // newest first
	Limit     int
}

// maxDescendants bounds how many indirectly related events are looked at to find those of one page.
const maxDescendants = 20_000

// Related returns events that relate to one, in the order of the timeline.
func (tx *Tx) Related(q Related) ([]*Event, error) {
	if nobodys(q.RelType) {
		return nil, nil
	}
	args := []any{q.Parent, q.From, q.To}
	filter := ""
	if q.RelType != "" {
		args = append(args, q.RelType)
		filter += ` AND r.rel_type = $` + strconv.Itoa(len(args))
	}
	if q.EventType != "" {
		typeNID, err := tx.LookupNID(q.EventType)
		if err != nil || typeNID == 0 {
			return nil, err
		}
		args = append(args, typeNID)
		filter += ` AND r.type_nid = $` + strconv.Itoa(len(args))
	}
	order := ` ORDER BY pos`
	if q.Backwards {
		order += ` DESC`
	}
	query := `SELECT r.event_nid FROM relations r WHERE r.parent_nid = $1 AND r.pos >= $2 AND r.pos <= $3` + filter
	if q.Depth > 1 {
		// UNION, so that what room versions 1 and 2 let refer to each other in a circle ends.
		query = `WITH RECURSIVE tree (nid, pos, depth) AS (
			SELECT r.event_nid, r.pos, 1 FROM relations r WHERE r.parent_nid = $1` + filter + `
			UNION SELECT r.event_nid, r.pos, t.depth + 1 FROM tree t JOIN relations r ON r.parent_nid = t.nid
				WHERE t.depth < ` + strconv.Itoa(q.Depth) + filter + `)
			SELECT nid FROM (SELECT nid, pos FROM tree LIMIT ` + strconv.Itoa(maxDescendants) + `) x
			WHERE pos >= $2 AND pos <= $3 AND nid <> $1 GROUP BY nid, pos`
	}
	nids, err := tx.ints(query+order+` LIMIT `+atLeast(q.Limit), args...)
	if err != nil {
		return nil, err
	}
	events, err := tx.EventsByNID(nids[:min(len(nids), q.Limit)])
	slices.SortFunc(events, func(a, b *Event) int {
		if q.Backwards {
			a, b = b, a
		}
		return compareInts(a.Pos, b.Pos)
	})
	return events, err
}

// Aggregate says that events relate to a parent in a way of which the parent's readers are told.
type Aggregate struct {
	Parent  int64
	RelType string // event.RelThread, RelReplace or RelReference
	Events  int64  // of a thread: how many
	Latest  int64  // of a thread: the newest
}

// Aggregates returns what there is to aggregate of the children of events of a room. Where nothing relates to anything nearby, it is one
// cheap query.
func (tx *Tx) Aggregates(roomNID int64, parents []int64) (all []Aggregate, err error) {
	if len(parents) == 0 {
		return nil, nil
	}
	var one int64
	found, err := tx.Row(`SELECT 1 FROM relations WHERE room_nid = $1 AND parent_nid >= $2 AND parent_nid <= $3
		AND rel_type IN ('m.replace', 'm.thread', 'm.reference') LIMIT 1`, []any{roomNID, slices.Min(parents), slices.Max(parents)}, &one)
	if err != nil || !found {
		return nil, err
	}
	err = inBatches(parents, func(some []int64) error {
		list, args := sqldb.In(``, 1, some)
		return tx.Query(`SELECT parent_nid, rel_type, 0, 0 FROM relations WHERE parent_nid IN `+list+`
				AND rel_type IN ('`+event.RelReplace+`', '`+event.RelReference+`') GROUP BY parent_nid, rel_type
			UNION ALL SELECT t.root_nid, '`+event.RelThread+`', t.events, COALESCE((SELECT r.event_nid FROM relations r
				WHERE r.parent_nid = t.root_nid AND r.rel_type = '`+event.RelThread+`' AND r.pos = t.latest), 0)
				FROM threads t WHERE t.root_nid IN `+list, args, func(scan func(...any) error) error {
			var a Aggregate
			err := scan(&a.Parent, &a.RelType, &a.Events, &a.Latest)
			all = append(all, a)
			return err
		})
	})
	return all, err
}

// Replacements returns, of the valid replacements of each event that are not after a position, the one before which nth are newer by
// the time that senders claim, as far as it can be told without the content. Client-Server API, "Validity of replacement events" and
// "Server-side aggregation of m.replace relationships". Its cost is not that of all replacements (relations_edits).
func (tx *Tx) Replacements(parents []int64, upto int64, nth int) (map[int64]int64, error) {
	edits := make(map[int64]int64)
	err := inBatches(parents, func(some []int64) error {
		query, args := sqldb.In(replacementsQuery, 3, some)
		return tx.Query(query, append([]any{upto, nth}, args...), func(scan func(...any) error) error {
			var (
				parent int64
				edit   sql.NullInt64
			)
			if err := scan(&parent, &edit); err != nil {
				return fmt.Errorf("read a replacement: %w", err)
			}
			if edit.Valid {
				edits[parent] = edit.Int64
			}
			return nil
		})
	})
	return edits, err
}

// CROSS JOIN keeps SQLite to the order of relations_edits, and the plus from taking another index.
const replacementsQuery = `SELECT p.nid, (SELECT r.event_nid FROM relations r CROSS JOIN events c
		WHERE r.parent_nid = p.nid AND r.sender_nid = p.sender_nid AND r.type_nid = p.type_nid
			AND r.rel_type = '` + event.RelReplace + `' AND r.fit = 1 AND +r.pos <= $1 AND c.nid = r.event_nid
		ORDER BY r.origin_server_ts DESC, c.event_id DESC LIMIT 1 OFFSET $2)
	FROM events p WHERE p.state_key_nid IS NULL AND p.nid IN `

// References returns the newest references to events that are not after a position, newest first, at most limit to each.
func (tx *Tx) References(parents []int64, upto int64, limit int) (map[int64][]int64, error) {
	children := make(map[int64][]int64)
	err := inBatches(parents, func(some []int64) error {
		query, args := sqldb.In(`SELECT r.parent_nid, r.event_nid FROM events p CROSS JOIN relations r
			WHERE r.parent_nid = p.nid AND r.rel_type = '`+event.RelReference+`' AND r.pos <= $1
				AND r.pos >= (SELECT COALESCE(MIN(y.pos), 0) FROM (SELECT x.pos FROM relations x WHERE x.parent_nid = p.nid
					AND x.rel_type = '`+event.RelReference+`' AND x.pos <= $1 ORDER BY x.pos DESC LIMIT $2) y)
				AND p.nid IN `, 3, some)
		return tx.Query(query+` ORDER BY r.parent_nid, r.pos DESC`, append([]any{upto, limit}, args...), func(scan func(...any) error) error {
			var parent, child int64
			err := scan(&parent, &child)
			children[parent] = append(children[parent], child)
			return err
		})
	})
	return children, err
}

// InThreads returns in which of some threads a user has said something.
func (tx *Tx) InThreads(roots []int64, user id.UserID) (map[int64]bool, error) {
	in := make(map[int64]bool)
	userNID, err := tx.LookupNID(string(user))
	if err != nil {
		return nil, err
	}
	err = inBatches(roots, func(some []int64) error {
		query, args := sqldb.In(`SELECT DISTINCT parent_nid FROM relations WHERE rel_type = '`+event.RelThread+`' AND sender_nid = $1
			AND parent_nid IN `, 2, some)
		found, err := tx.ints(query, append([]any{userNID}, args...)...)
		for _, root := range found {
			in[root] = true
		}
		return err
	})
	return in, err
}

// ThreadPart is what one user has said in a thread.
type ThreadPart struct {
	Root, Sender  int64
	Messages, Old int64 // how many, state events left out, and how many of them are from before a time
}

// ThreadParts calls visit with what each user has said in some threads. Its cost is that of all their events.
func (tx *Tx) ThreadParts(roots []int64, beforeTS int64, visit func(ThreadPart)) error {
	return inBatches(roots, func(some []int64) error {
		query, args := sqldb.In(`SELECT r.parent_nid, r.sender_nid, COUNT(*), SUM(CASE WHEN r.origin_server_ts < $1 THEN 1 ELSE 0 END)
			FROM relations r JOIN events e ON e.nid = r.event_nid
			WHERE r.rel_type = '`+event.RelThread+`' AND e.state_key_nid IS NULL AND r.parent_nid IN `, 2, some)
		return tx.Query(query+` GROUP BY r.parent_nid, r.sender_nid`, append([]any{beforeTS}, args...), func(scan func(...any) error) error {
			var p ThreadPart
			if err := scan(&p.Root, &p.Sender, &p.Messages, &p.Old); err != nil {
				return err
			}
			visit(p)
			return nil
		})
	})
}

// ThreadList asks for the threads of a room.
type ThreadList struct {
	RoomNID int64
	From    int64     // the position of a thread's newest event, at most
	To      int64     // what is after this position does not count; 0 for all
	With    id.UserID // only threads that this user began or said something in; "" for all
	Limit   int
}

// Thread is a thread with the position of its newest event.
type Thread struct{ Root, Latest int64 }

// Threads returns threads of a room, those with the newest events first. An event that itself relates to another begins none.
func (tx *Tx) Threads(q ThreadList) ([]Thread, error) {
	args := []any{q.RoomNID, q.From}
	latest := `t.latest`
	if q.To > 0 {
		args = append(args, q.To)
		latest = `(SELECT r.pos FROM relations r WHERE r.parent_nid = t.root_nid AND r.rel_type = '` + event.RelThread + `'
			AND r.pos <= $3 ORDER BY r.pos DESC LIMIT 1)`
	}
	filter := ``
	if q.With != "" {
		userNID, err := tx.LookupNID(string(q.With))
		if err != nil {
			return nil, err
		}
		args = append(args, userNID)
		user := `$` + strconv.Itoa(len(args))
		filter = ` AND (EXISTS (SELECT 1 FROM events e WHERE e.nid = t.root_nid AND e.sender_nid = ` + user + `) OR EXISTS (SELECT 1
			FROM relations r WHERE r.parent_nid = t.root_nid AND r.rel_type = '` + event.RelThread + `' AND r.sender_nid = ` + user + `))`
	}
	var all []Thread
	err := tx.Query(`SELECT root_nid, last FROM (SELECT t.root_nid, `+latest+` AS last FROM threads t WHERE t.room_nid = $1
			AND NOT EXISTS (SELECT 1 FROM relations o WHERE o.event_nid = t.root_nid)`+filter+`) x
		WHERE last <= $2 ORDER BY last DESC LIMIT `+atLeast(q.Limit), args, func(scan func(...any) error) error {
		var t Thread
		err := scan(&t.Root, &t.Latest)
		all = append(all, t)
		return err
	})
	return all[:min(len(all), q.Limit)], err
}

// RelatedBy returns which of some events others relate to that have one of the types and one of the senders; nil stands for any.
func (tx *Tx) RelatedBy(nids []int64, relTypes []string, senders []id.UserID) (map[int64]bool, error) {
	relTypes = slices.DeleteFunc(relTypes, nobodys)
	if relTypes != nil && len(relTypes) == 0 || senders != nil && len(senders) == 0 {
		return nil, nil
	}
	var filter strings.Builder
	var args []any
	in := func(column string, list string) { filter.WriteString(` AND r.` + column + ` IN ` + list) }
	if relTypes != nil {
		list, more := sqldb.In(``, 1, relTypes)
		in(`rel_type`, list)
		args = append(args, more...)
	}
	if senders != nil {
		users := make([]int64, 0, len(senders))
		for _, sender := range senders {
			nid, err := tx.LookupNID(string(sender))
			if err != nil {
				return nil, err
			}
			users = append(users, nid)
		}
		list, more := sqldb.In(``, len(args)+1, users)
		in(`sender_nid`, list)
		args = append(args, more...)
	}
	found := make(map[int64]bool)
	err := inBatches(nids, func(some []int64) error {
		list, more := sqldb.In(``, len(args)+1, some)
		parents, err := tx.ints(`SELECT DISTINCT r.parent_nid FROM relations r WHERE r.parent_nid IN `+list+filter.String(), append(args[:len(args):len(args)], more...)...)
		for _, nid := range parents {
			found[nid] = true
		}
		return err
	})
	return found, err
}

// ByTime asks for events of a room's timeline by the time that their senders claim, in milliseconds.
type ByTime struct {
	RoomNID   int64
	TS, Pos   int64 // what comes after these is wanted: events of the same time follow each other in the order of the timeline
	Upto      int64 // position
	Backwards bool
	Limit     int
}

// TimelineByTime returns events of a room's timeline by the time that their senders claim.
func (tx *Tx) TimelineByTime(q ByTime) ([]*Event, error) {
	compare, order := `>`, ``
	if q.Backwards {
		compare, order = `<`, ` DESC`
	}
	all, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos IS NOT NULL
		AND (e.origin_server_ts, e.pos) `+compare+` ($2, $3) AND e.pos <= $4
		ORDER BY e.origin_server_ts`+order+`, e.pos`+order+` LIMIT `+atLeast(q.Limit), []any{q.RoomNID, q.TS, q.Pos, q.Upto})
	return all[:min(len(all), q.Limit)], err
}
