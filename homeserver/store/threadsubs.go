package store

import (
	"errors"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// ThreadSubscription says whether a user follows a thread. MSC4306.
type ThreadSubscription struct {
	RoomNID    int64
	Root       id.EventID
	Subscribed bool
	Automatic  bool  // by a client on its own
	Pos        int64 // in the stream, of the last change
}

// maxThreadSubscriptions bounds the threads of one user of which it is known whether they follow them.
const maxThreadSubscriptions = 20_000

const threadSubColumns = `room_nid, root, subscribed, automatic, pos`

// ThreadSubscription returns what is known of a user and a thread. ErrNotFound.
func (tx *Tx) ThreadSubscription(userNID, roomNID int64, root id.EventID) (ThreadSubscription, error) {
	if nobodys(string(root)) {
		return ThreadSubscription{}, fmt.Errorf("subscription to a thread: %w", ErrNotFound)
	}
	all, err := tx.threadSubscriptions(`SELECT `+threadSubColumns+` FROM thread_subscriptions WHERE room_nid = $1 AND root = $2 AND user_nid = $3`,
		roomNID, string(root), userNID)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("subscription to a thread: %w", ErrNotFound)
	}
	if err != nil {
		return ThreadSubscription{}, err
	}
	return all[0], nil
}

// SetThreadSubscription stores whether a user follows a thread, and returns the position of the change. Where there are too many, it
// forgets of which thread the user unsubscribed longest ago; ErrTooMany when they follow all of them.
func (tx *Tx) SetThreadSubscription(userNID int64, s ThreadSubscription) (pos int64, err error) {
	if _, err := tx.ThreadSubscription(userNID, s.RoomNID, s.Root); errors.Is(err, ErrNotFound) {
		err = tx.makeThreadRoom(userNID)
		if err != nil {
			return 0, err
		}
	} else if err != nil {
		return 0, err
	}
	if pos, err = tx.NextPos(); err != nil {
		return 0, err
	}
	tx.touch(FamilyThreads, pos)
	_, err = tx.Exec(`INSERT INTO thread_subscriptions (user_nid, room_nid, root, subscribed, automatic, pos) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (room_nid, root, user_nid) DO UPDATE SET subscribed = excluded.subscribed, automatic = excluded.automatic, pos = excluded.pos`,
		userNID, s.RoomNID, string(s.Root), boolInt(s.Subscribed), boolInt(s.Automatic), pos)
	return pos, err
}

func (tx *Tx) makeThreadRoom(userNID int64) error {
	var n int64
	if _, err := tx.Row(`SELECT COUNT(*) FROM thread_subscriptions WHERE user_nid = $1`, []any{userNID}, &n); err != nil || n < maxThreadSubscriptions {
		return err
	}
	var oldest int64
	found, err := tx.Row(`SELECT pos FROM thread_subscriptions WHERE user_nid = $1 AND subscribed = 0 ORDER BY pos LIMIT 1`, []any{userNID}, &oldest)
	if err != nil {
		return err
	}
	if !found {
		return ErrTooMany
	}
	_, err = tx.Exec(`DELETE FROM thread_subscriptions WHERE user_nid = $1 AND pos = $2`, userNID, oldest)
	return err
}

// ThreadSubscriptions returns what has changed of the threads that a user follows at after < pos ≤ upto, newest first, at most limit.
// Who knows of none (after is 0) is not told which the user does not follow.
func (tx *Tx) ThreadSubscriptions(userNID, after, upto int64, limit int) ([]ThreadSubscription, error) {
	all, err := tx.threadSubscriptions(`SELECT `+threadSubColumns+` FROM thread_subscriptions WHERE user_nid = $1 AND pos > $2 AND pos <= $3
		AND ($2 > 0 OR subscribed = 1) ORDER BY pos DESC LIMIT `+atLeast(limit), userNID, after, upto)
	return all[:min(len(all), limit)], err
}

func (tx *Tx) threadSubscriptions(query string, args ...any) (all []ThreadSubscription, err error) {
	err = tx.Query(query, args, func(scan func(...any) error) error {
		var (
			s                     ThreadSubscription
			subscribed, automatic int64
		)
		if err := scan(&s.RoomNID, &s.Root, &subscribed, &automatic, &s.Pos); err != nil {
			return fmt.Errorf("read a subscription to a thread: %w", err)
		}
		s.Subscribed, s.Automatic = subscribed != 0, automatic != 0
		all = append(all, s)
		return nil
	})
	return all, err
}

// ThreadFollowers returns the users who follow a thread.
func (tx *Tx) ThreadFollowers(roomNID int64, root id.EventID) ([]int64, error) {
	return tx.ints(`SELECT user_nid FROM thread_subscriptions WHERE room_nid = $1 AND root = $2 AND subscribed = 1`, roomNID, string(root))
}
