package store

import (
	"context"
	"fmt"
)

// stringUsers are the queries for the integers of texts that tables refer to, but for those in state sets.
var stringUsers = []string{
	`SELECT DISTINCT type_nid FROM events`,
	`SELECT DISTINCT sender_nid FROM events`,
	`SELECT DISTINCT state_key_nid FROM events WHERE state_key_nid IS NOT NULL`,
	`SELECT DISTINCT user_nid FROM memberships`,
	`SELECT DISTINCT user_nid FROM account_data`,
	`SELECT DISTINCT user_nid FROM receipts`,
	`SELECT user_nid FROM presence`,
	`SELECT DISTINCT user_nid FROM devices`,
	`SELECT DISTINCT user_nid FROM access_tokens`,
	`SELECT DISTINCT user_nid FROM refresh_tokens`,
	`SELECT DISTINCT user_nid FROM filters`,
	`SELECT DISTINCT user_nid FROM delayed_events`,
	`SELECT DISTINCT user_nid FROM reports`,
	`SELECT DISTINCT user_nid FROM openid_tokens`,
	`SELECT DISTINCT user_nid FROM oauth_codes`,
	`SELECT DISTINCT user_nid FROM oauth_device_codes WHERE user_nid IS NOT NULL`,
	`SELECT DISTINCT user_nid FROM browser_sessions`,
	`SELECT DISTINCT user_nid FROM sso_links`,
	`SELECT DISTINCT user_nid FROM login_tokens`,
	`SELECT DISTINCT user_nid FROM call_seats`,
	`SELECT user_nid FROM departures`,
	`SELECT DISTINCT user_nid FROM accepted_terms`,
	`SELECT DISTINCT user_nid FROM profile_fields`,
	`SELECT DISTINCT user_nid FROM threepids`,
	`SELECT DISTINCT user_nid FROM threepid_binds`,
	`SELECT DISTINCT user_nid FROM threepid_sessions WHERE user_nid <> 0`,
	`SELECT DISTINCT user_nid FROM thread_subscriptions`,
	`SELECT DISTINCT user_nid FROM sliding_connections`,
	`SELECT nid FROM users`,
	`SELECT DISTINCT sender_nid FROM to_device`,
	`SELECT user_nid FROM device_changes`,
	`SELECT user_nid FROM key_backup_versions`,
	`SELECT DISTINCT user_nid FROM cross_signing_keys`,
	`SELECT DISTINCT user_nid FROM user_signatures`,
	`SELECT DISTINCT signer_nid FROM user_signatures`,
	`SELECT DISTINCT user_nid FROM signature_changes`,
	`SELECT DISTINCT about_nid FROM signature_changes`,
	`SELECT DISTINCT thread_nid FROM push_actions WHERE thread_nid <> 0`,
}

// sweepStrings deletes the user ids, event types and state keys that nothing refers to any more. Nobody else may use the database
// meanwhile: integers of texts are kept in memory.
func (db *DB) sweepStrings(ctx context.Context) error {
	var unused []int64
	err := db.View(ctx, func(tx *Tx) (err error) {
		unused, err = tx.unusedStrings()
		return err
	})
	if err != nil {
		return fmt.Errorf("look for texts that nothing uses: %w", err)
	}
	for len(unused) > 0 {
		some := unused[:min(len(unused), maxPurge)]
		unused = unused[len(some):]
		if err := db.Write(ctx, func(tx *Tx) error { return tx.execIn(`DELETE FROM strings WHERE nid IN `, some) }); err != nil {
			return fmt.Errorf("delete texts that nothing uses: %w", err)
		}
	}
	db.names.forget()
	return nil
}

func (tx *Tx) unusedStrings() ([]int64, error) {
	used := make(map[int64]bool)
	for _, query := range stringUsers {
		nids, err := tx.ints(query)
		if err != nil {
			return nil, err
		}
		for _, nid := range nids {
			used[nid] = true
		}
	}
	err := tx.Query(`SELECT entries FROM state_sets`, nil, func(scan func(...any) error) error {
		var packed []byte
		if err := scan(&packed); err != nil {
			return err
		}
		return unpackState(packed, func(k StateNID, _ int64) bool {
			used[k.Type], used[k.Key] = true, true
			return true
		})
	})
	if err != nil {
		return nil, err
	}
	if err := tx.outcomeStrings(used); err != nil {
		return nil, err
	}
	all, err := tx.ints(`SELECT nid FROM strings`)
	unused := all[:0]
	for _, nid := range all {
		if !used[nid] {
			unused = append(unused, nid)
		}
	}
	return unused, err
}

// outcomeStrings marks the lists of actions that outcomes name.
func (tx *Tx) outcomeStrings(used map[int64]bool) error {
	return tx.Query(`SELECT DISTINCT base, exceptions FROM push_actions`, nil, func(scan func(...any) error) error {
		var (
			base   int64
			packed []byte
		)
		if err := scan(&base, &packed); err != nil {
			return err
		}
		used[Outcome(base).text()] = true
		return eachException(packed, func(x PushException) bool {
			used[x.Outcome.text()] = true
			return true
		})
	})
}

// forget forgets all strings.
func (n *names) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.nids)
	clear(n.texts)
}
