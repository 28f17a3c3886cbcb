package store

import (
	"encoding/json"
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// KeyCounts is what of its keys a device has left, as JSON.
type KeyCounts struct {
	Pos      int64           // when somebody last took a key, 0 for never
	OneTime  json.RawMessage // an object: algorithm to number
	Fallback json.RawMessage // an array: the algorithms whose fallback key is unused
}

// usualAlgorithm is always among the counts: there are clients that make no new keys unless they see that they have none.
const usualAlgorithm = "signed_curve25519"

// NoKeys returns the counts of a device that never uploaded a key.
func NoKeys() KeyCounts {
	return KeyCounts{OneTime: json.RawMessage(`{"` + usualAlgorithm + `":0}`), Fallback: json.RawMessage(`[]`)}
}

// KeyCounts returns what of its keys a device has left. It is one query.
func (tx *Tx) KeyCounts(userNID int64, device id.DeviceID) (KeyCounts, error) {
	var (
		c                 KeyCounts
		oneTime, fallback string
	)
	found, err := tx.Row(`SELECT pos, one_time, fallback FROM key_counts WHERE user_nid = $1 AND device_id = $2`,
		[]any{userNID, string(device)}, &c.Pos, &oneTime, &fallback)
	if err != nil || !found {
		return NoKeys(), err
	}
	c.OneTime, c.Fallback = json.RawMessage(oneTime), json.RawMessage(fallback)
	return c, nil
}

// KeyCountsOf calls visit for each of several users' devices that has ever had keys, with what is left of them. Devices of others that are
// called the same may be among them.
func (tx *Tx) KeyCountsOf(userNIDs []int64, devices []id.DeviceID, visit func(userNID int64, device id.DeviceID, left KeyCounts)) error {
	return inBatches(userNIDs, func(some []int64) error {
		return inBatches(devices, func(few []id.DeviceID) error { return tx.keyCountsOf(some, few, visit) })
	})
}

func (tx *Tx) keyCountsOf(userNIDs []int64, devices []id.DeviceID, visit func(userNID int64, device id.DeviceID, left KeyCounts)) error {
	query, args := sqldb.In(`SELECT user_nid, device_id, pos, one_time, fallback FROM key_counts WHERE user_nid IN `, 1, userNIDs)
	query, more := sqldb.In(query+` AND device_id IN `, len(args)+1, devices)
	return tx.Query(query, append(args, more...), func(scan func(...any) error) error {
		var (
			nid                       int64
			device, oneTime, fallback string
			c                         KeyCounts
		)
		if err := scan(&nid, &device, &c.Pos, &oneTime, &fallback); err != nil {
			return fmt.Errorf("read what is left of keys: %w", err)
		}
		c.OneTime, c.Fallback = json.RawMessage(oneTime), json.RawMessage(fallback)
		visit(nid, id.DeviceID(device), c)
		return nil
	})
}

// CountKeys counts what a device has left after its keys changed. taken is the position at which somebody took one, 0 when the device
// itself brought new ones.
func (tx *Tx) CountKeys(userNID int64, device id.DeviceID, taken int64) error {
	counts := map[string]int64{usualAlgorithm: 0}
	err := tx.Query(`SELECT algorithm, COUNT(*) FROM one_time_keys WHERE user_nid = $1 AND device_id = $2 AND claimed = 0 GROUP BY algorithm`,
		[]any{userNID, string(device)}, func(scan func(...any) error) error {
			var (
				algorithm string
				n         int64
			)
			err := scan(&algorithm, &n)
			counts[algorithm] = n
			return err
		})
	if err != nil {
		return fmt.Errorf("count one-time keys: %w", err)
	}
	unused, err := tx.texts(`SELECT algorithm FROM fallback_keys WHERE user_nid = $1 AND device_id = $2 AND used = 0 ORDER BY algorithm`,
		userNID, string(device))
	if err != nil {
		return fmt.Errorf("list unused fallback keys: %w", err)
	}
	if unused == nil {
		unused = []string{}
	}
	oneTime, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	fallback, err := json.Marshal(unused)
	if err != nil {
		return err
	}
	if taken != 0 {
		tx.touch(FamilyKeyCounts, taken)
	}
	_, err = tx.Exec(`INSERT INTO key_counts (user_nid, device_id, pos, one_time, fallback) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_nid, device_id) DO UPDATE SET one_time = excluded.one_time, fallback = excluded.fallback,
		pos = CASE WHEN excluded.pos > key_counts.pos THEN excluded.pos ELSE key_counts.pos END`,
		userNID, string(device), taken, string(oneTime), string(fallback))
	return err
}
