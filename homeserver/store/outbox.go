package store

// OutboxMessage is a message to an address outside of Matrix that waits to be sent.
type OutboxMessage struct {
	NID       int64
	Medium    string
	Address   string
	Requester string // a user id or an IP address
	Message   string // JSON
	CreatedTS int64
	Tries     int64
}

// Outcomes of messages.
const (
	OutboxSent    = "sent"
	OutboxRefused = "refused" // for good
	OutboxExpired = "expired" // tried for too long
)

// InsertOutbox queues a message, due at once.
func (tx *Tx) InsertOutbox(m *OutboxMessage) error {
	nid, err := tx.NextPos()
	if err != nil {
		return err
	}
	m.NID = nid
	_, err = tx.Exec(`INSERT INTO outbox (nid, medium, address, requester, message, created_ts, next_ts, tries) VALUES ($1, $2, $3, $4, $5, $6, $6, 0)`,
		nid, m.Medium, m.Address, m.Requester, m.Message, m.CreatedTS)
	return err
}

// OutboxDue returns messages that are due, those that wait for longest first.
func (tx *Tx) OutboxDue(nowTS int64, limit int) (all []OutboxMessage, err error) {
	err = tx.Query(`SELECT nid, medium, address, requester, message, created_ts, tries FROM outbox WHERE done_ts IS NULL AND next_ts <= $1
		ORDER BY next_ts, nid LIMIT `+atLeast(limit), []any{nowTS}, func(scan func(...any) error) error {
		var m OutboxMessage
		err := scan(&m.NID, &m.Medium, &m.Address, &m.Requester, &m.Message, &m.CreatedTS, &m.Tries)
		all = append(all, m)
		return err
	})
	return all, err
}

// NextOutbox returns when the next message is due, 0 when none waits.
func (tx *Tx) NextOutbox() (ts int64, err error) {
	_, err = tx.Row(`SELECT COALESCE(MIN(next_ts), 0) FROM outbox WHERE done_ts IS NULL`, nil, &ts)
	return ts, err
}

// PostponeOutbox counts a try and has the message wait for the next.
func (tx *Tx) PostponeOutbox(nid, nextTS int64) error {
	_, err := tx.Exec(`UPDATE outbox SET tries = tries + 1, next_ts = $2 WHERE nid = $1 AND done_ts IS NULL`, nid, nextTS)
	return err
}

// FinishOutbox records what became of a message, and forgets what it said.
func (tx *Tx) FinishOutbox(nid, ts int64, outcome string) error {
	_, err := tx.Exec(`UPDATE outbox SET done_ts = $2, outcome = $3, message = '' WHERE nid = $1 AND done_ts IS NULL`, nid, ts, outcome)
	return err
}

// PruneOutbox deletes what was done with before a time.
func (tx *Tx) PruneOutbox(beforeTS int64) error {
	_, err := tx.Exec(`DELETE FROM outbox WHERE done_ts < $1`, beforeTS)
	return err
}

// OutboxToAddress counts the messages that an address was to get since a time.
func (tx *Tx) OutboxToAddress(medium, address string, sinceTS int64) (n int, err error) {
	_, err = tx.Row(`SELECT COUNT(*) FROM outbox WHERE medium = $1 AND address = $2 AND created_ts > $3`, []any{medium, address, sinceTS}, &n)
	return n, err
}

// OutboxOfRequester counts the messages that a requester has caused since a time.
func (tx *Tx) OutboxOfRequester(requester string, sinceTS int64) (n int, err error) {
	_, err = tx.Row(`SELECT COUNT(*) FROM outbox WHERE requester = $1 AND created_ts > $2`, []any{requester, sinceTS}, &n)
	return n, err
}
