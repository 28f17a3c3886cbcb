package bridges

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

// linesKept is how long the further identities of a message are known. Who refers to one does so soon.
const linesKept = 90 * 24 * time.Hour

// AddLines records further identities of a message on the network, when it was sent there in several pieces, or has
// been changed by another. One that is known already now belongs to this message.
func (h *Host) AddLines(ctx context.Context, message networkid.MessageID, lines []networkid.MessageID) error {
	if len(lines) == 0 {
		return nil
	}
	now := time.Now()
	return h.b.raw.DoTxn(ctx, nil, func(ctx context.Context) error {
		for _, line := range lines {
			_, err := h.b.raw.Exec(ctx, `INSERT INTO host_line (remote_id, message_id, added_ts) VALUES ($1, $2, $3)
				ON CONFLICT (remote_id) DO UPDATE SET message_id=excluded.message_id`, line, message, now.UnixMilli())
			if err != nil {
				return fmt.Errorf("record a line of message %s: %w", message, err)
			}
		}
		_, err := h.b.raw.Exec(ctx, `DELETE FROM host_line WHERE added_ts<$1`, now.Add(-linesKept).UnixMilli())
		return err
	})
}

// LineOf returns the message that has this further identity, or "" when there is none.
func (h *Host) LineOf(ctx context.Context, line networkid.MessageID) (networkid.MessageID, error) {
	var message networkid.MessageID
	err := h.b.raw.QueryRow(ctx, `SELECT message_id FROM host_line WHERE remote_id=$1`, line).Scan(&message)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return message, err
}

// Lines returns the further identities of a message.
func (h *Host) Lines(ctx context.Context, message networkid.MessageID) ([]networkid.MessageID, error) {
	rows, err := h.b.raw.Query(ctx, `SELECT remote_id FROM host_line WHERE message_id=$1 ORDER BY added_ts, remote_id`, message)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var lines []networkid.MessageID
	for rows.Next() {
		var line networkid.MessageID
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// ForgetLines drops the further identities of a message that is gone.
func (h *Host) ForgetLines(ctx context.Context, message networkid.MessageID) error {
	_, err := h.b.raw.Exec(ctx, `DELETE FROM host_line WHERE message_id=$1`, message)
	return err
}
