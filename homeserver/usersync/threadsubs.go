package usersync

import (
	"context"
	"strconv"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// MaxThreadChanges bounds the changes of subscriptions to threads in one answer, and is how many there are when nothing else is asked
// for. MSC4308.
const MaxThreadChanges = 100

// threadChanges is what has changed of the threads that a user follows.
type threadChanges struct {
	rows []store.ThreadSubscription // newest first
	rest string                     // the token of those that are left out, "" for none
}

// readThreadChanges returns the newest changes at after < pos ≤ upto.
func readThreadChanges(tx *store.Tx, userNID, after, upto int64, limit int) (c threadChanges, err error) {
	if limit <= 0 || limit > MaxThreadChanges {
		limit = MaxThreadChanges
	}
	if c.rows, err = tx.ThreadSubscriptions(userNID, after, upto, limit+1); len(c.rows) > limit {
		c.rows = c.rows[:limit]
		c.rest = token(c.rows[limit-1].Pos - 1)
	}
	return c, err
}

// append appends the changes as members of an object: {subscribed, unsubscribed} and the token under its name. MSC4308.
func (c *threadChanges) append(dst []byte, tx *store.Tx, restName string) ([]byte, error) {
	for _, part := range [...]struct {
		name       string
		subscribed bool
	}{{"subscribed", true}, {"unsubscribed", false}} {
		rooms := make(map[int64][]byte)
		var order []int64
		for _, row := range c.rows {
			if row.Subscribed != part.subscribed {
				continue
			}
			if rooms[row.RoomNID] == nil {
				order = append(order, row.RoomNID)
			}
			rooms[row.RoomNID] = appendThreadChange(rooms[row.RoomNID], row)
		}
		if len(order) == 0 {
			continue
		}
		var body []byte
		for _, nid := range order {
			roomID, err := tx.RoomID(nid)
			if err != nil {
				return nil, err
			}
			body = append(append(append(appendKey(body, roomID), '{'), rooms[nid]...), '}')
		}
		dst = append(append(append(appendField(dst, part.name), '{'), body...), '}')
	}
	if c.rest != "" {
		dst = appendString(appendField(dst, restName), c.rest)
	}
	return dst, nil
}

func appendThreadChange(dst []byte, row store.ThreadSubscription) []byte {
	dst = append(appendKey(dst, row.Root), '{')
	if row.Subscribed {
		dst = append(strconv.AppendBool(append(dst, `"automatic":`...), row.Automatic), ',')
	}
	return append(strconv.AppendInt(append(dst, `"bump_stamp":`...), row.Pos, 10), '}')
}

// threads is the extension of MSC4308: {subscribed, unsubscribed, prev_batch}, of what has changed since the position of the request.
func (p *slidingPass) threads() ([]byte, error) {
	after := max(p.checked, p.since)
	if p.tx.Quiet(store.FamilyThreads, after) {
		return nil, nil
	}
	changes, err := readThreadChanges(p.tx, p.userNID, after, p.upto, p.req.extensions.Threads.Limit)
	if err != nil || len(changes.rows) == 0 {
		return nil, err
	}
	p.news = true
	dst, err := changes.append(nil, p.tx, "prev_batch")
	return append(append([]byte{'{'}, dst...), '}'), err
}

// threadNews tells whether the user has come to follow a thread, or follows one no longer, since a position.
func (p *slidingPass) threadNews(since int64) (bool, error) {
	if !p.req.extensions.Threads.Enabled || p.tx.Quiet(store.FamilyThreads, since) {
		return false, nil
	}
	rows, err := p.tx.ThreadSubscriptions(p.userNID, since, p.upto, 1)
	return len(rows) > 0, err
}

// ThreadSubscriptions returns what has changed of the threads that a user follows, newest first, before the token from ("" for now) and
// after the token to ("" for the beginning): {subscribed, unsubscribed, end}. MSC4308, GET /thread_subscriptions. The error is
// M_INVALID_PARAM.
func (s *Service) ThreadSubscriptions(ctx context.Context, user id.UserID, from, to string, limit int) (out JSON, err error) {
	var after, upto int64
	if to != "" {
		if after, err = parseToken("to", to); err != nil {
			return nil, err
		}
	}
	if from != "" {
		if upto, err = parseToken("from", from); err != nil {
			return nil, err
		}
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if from == "" {
			if upto, err = tx.StreamPos(); err != nil {
				return err
			}
		}
		userNID, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		changes, err := readThreadChanges(tx, userNID, after, upto, limit)
		if err != nil {
			return err
		}
		dst, err := changes.append(nil, tx, "end")
		out = append(append([]byte{'{'}, dst...), '}')
		return err
	})
	return out, err
}
