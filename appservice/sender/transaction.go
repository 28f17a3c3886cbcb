package sender

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

const (
	// maxTxnEvents bounds the events of a transaction.
	maxTxnEvents = 100
	// maxTxnBytes bounds the body of a transaction. An event with its previous content is a good eighth of it at the most.
	maxTxnBytes = 1 << 20
)

const (
	bodyStart = `{"events":[`
	bodyEnd   = `]}`
)

// outEvent is an event in the form that application services get.
type outEvent struct {
	pos  int64
	json []byte
}

// buildBody makes the body of a transaction from the first events of a queue, and tells how many it took.
// Application Service API, "Pushing events".
func buildBody(queue []outEvent) (body []byte, taken int) {
	size := len(bodyStart) + len(bodyEnd)
	for taken < len(queue) && taken < maxTxnEvents {
		more := len(queue[taken].json) + 1
		if taken > 0 && size+more > maxTxnBytes {
			break
		}
		size += more
		taken++
	}
	body = make([]byte, 0, size)
	body = append(body, bodyStart...)
	for i, e := range queue[:taken] {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e.json...)
	}
	return append(body, bodyEnd...), taken
}

// loadEvents reads events and puts them into the form that application services get, in the order of rows.
func loadEvents(tx *store.Tx, rows []store.EventIDs, now int64) ([]outEvent, error) {
	nids := make([]int64, len(rows))
	for i, row := range rows {
		nids[i] = row.NID
	}
	events, err := eventMap(tx, nids)
	if err != nil {
		return nil, err
	}
	nids = nids[:0]
	for _, e := range events {
		if e.IsState() && e.Replaces != 0 {
			nids = append(nids, e.Replaces)
		}
		if e.RedactedBy != 0 {
			nids = append(nids, e.RedactedBy)
		}
	}
	related, err := eventMap(tx, nids)
	if err != nil {
		return nil, err
	}
	out := make([]outEvent, 0, len(rows))
	for _, row := range rows {
		e := events[row.NID]
		if e == nil || e.Type == event.TypeDummy { // nil: purged since the row was read
			continue
		}
		out = append(out, outEvent{pos: row.Pos, json: appendEvent(nil, e, related, now)})
	}
	return out, nil
}

func eventMap(tx *store.Tx, nids []int64) (map[int64]*store.Event, error) {
	all, err := tx.EventsByNID(nids)
	if err != nil {
		return nil, err
	}
	m := make(map[int64]*store.Event, len(all))
	for _, e := range all {
		m[e.NID] = e
	}
	return m, nil
}
