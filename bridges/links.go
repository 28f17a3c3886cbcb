package bridges

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

// LinkState is how far a link is.
type LinkState int

const (
	LinkMaking   LinkState = iota // it is agreed upon, and what follows from that is being done
	LinkStanding                  // it carries messages
	LinkEnding                    // ghosts are leaving
)

// Link is that a chat is bridged to a room which the bridge need not have made. A room can have several, of which at most
// one is that of bridgev2's portal.
type Link struct {
	Portal  networkid.PortalID
	Room    id.RoomID
	State   LinkState
	AskedBy id.UserID
	Consent string // who has allowed it, in words
	SinceTS int64
}

// Links returns all links.
func (h *Host) Links(ctx context.Context) ([]Link, error) {
	rows, err := h.b.raw.Query(ctx, `SELECT portal_id, room_id, state, asked_by, consent, since_ts FROM host_link ORDER BY since_ts`)
	if err != nil {
		return nil, fmt.Errorf("read the links: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var links []Link
	for rows.Next() {
		var l Link
		if err := rows.Scan(&l.Portal, &l.Room, &l.State, &l.AskedBy, &l.Consent, &l.SinceTS); err != nil {
			return nil, fmt.Errorf("read the links: %w", err)
		}
		links = append(links, l)
	}
	return links, rows.Err()
}

// AddLink stores a link, and reports false when the chat has one already.
func (h *Host) AddLink(ctx context.Context, l Link) (added bool, err error) {
	result, err := h.b.raw.Exec(ctx, `INSERT INTO host_link (portal_id, room_id, state, asked_by, consent, since_ts)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (portal_id) DO NOTHING`,
		l.Portal, l.Room, l.State, l.AskedBy, l.Consent, l.SinceTS)
	if err != nil {
		return false, fmt.Errorf("store a link of %s: %w", l.Portal, err)
	}
	count, err := result.RowsAffected()
	return count == 1, err
}

// SetLink stores how far a link is, and of which room it is.
func (h *Host) SetLink(ctx context.Context, l Link) error {
	_, err := h.b.raw.Exec(ctx, `UPDATE host_link SET state=$1, room_id=$2 WHERE portal_id=$3`, l.State, l.Room, l.Portal)
	if err != nil {
		return fmt.Errorf("store a link of %s: %w", l.Portal, err)
	}
	return nil
}

// RenameLink gives a link to another chat, as what the chat is called has changed.
func (h *Host) RenameLink(ctx context.Context, from, to networkid.PortalID) error {
	for _, query := range []string{
		`UPDATE host_link SET portal_id=$2 WHERE portal_id=$1`, `UPDATE host_copy SET portal_id=$2 WHERE portal_id=$1`,
	} {
		if _, err := h.b.raw.Exec(ctx, query, from, to); err != nil {
			return fmt.Errorf("store that %s is called %s: %w", from, to, err)
		}
	}
	return nil
}

// RemoveLink forgets a link, and what went by it.
func (h *Host) RemoveLink(ctx context.Context, portal networkid.PortalID) error {
	for _, query := range []string{`DELETE FROM host_link WHERE portal_id=$1`, `DELETE FROM host_copy WHERE portal_id=$1`} {
		if _, err := h.b.raw.Exec(ctx, query, portal); err != nil {
			return fmt.Errorf("forget the link of %s: %w", portal, err)
		}
	}
	return nil
}

// Request is that somebody has asked for a link.
type Request struct {
	Code      string // the hash of what has to be repeated
	Portal    networkid.PortalID
	Room      id.RoomID
	AskedBy   id.UserID
	Whom      string // on the network, "" for those who may
	Outcome   string // "" while it is open
	AskedTS   int64
	ExpiresTS int64
}

// Requests returns the requests since a time, the oldest first.
func (h *Host) Requests(ctx context.Context, sinceTS int64) ([]Request, error) {
	rows, err := h.b.raw.Query(ctx, `SELECT code, portal_id, room_id, asked_by, whom, outcome, asked_ts, expires_ts
		FROM host_request WHERE asked_ts>=$1 ORDER BY asked_ts`, sinceTS)
	if err != nil {
		return nil, fmt.Errorf("read the requests: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []Request
	for rows.Next() {
		var r Request
		err := rows.Scan(&r.Code, &r.Portal, &r.Room, &r.AskedBy, &r.Whom, &r.Outcome, &r.AskedTS, &r.ExpiresTS)
		if err != nil {
			return nil, fmt.Errorf("read the requests: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// AddRequest stores a request, and forgets those of before a time.
func (h *Host) AddRequest(ctx context.Context, r Request, forgetTS int64) error {
	_, err := h.b.raw.Exec(ctx, `INSERT INTO host_request (code, portal_id, room_id, asked_by, whom, outcome, asked_ts, expires_ts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, r.Code, r.Portal, r.Room, r.AskedBy, r.Whom, r.Outcome, r.AskedTS, r.ExpiresTS)
	if err == nil {
		_, err = h.b.raw.Exec(ctx, `DELETE FROM host_request WHERE asked_ts<$1`, forgetTS)
	}
	if err != nil {
		return fmt.Errorf("store a request: %w", err)
	}
	return nil
}

// EndRequest ends an open request, once, and in the same transaction stores the link that comes of it, if there is one.
// ended is false when it is not open any more, and linked when the chat has a link already.
func (h *Host) EndRequest(ctx context.Context, code, outcome string, link *Link) (ended, linked bool, err error) {
	err = h.b.raw.DoTxn(ctx, nil, func(ctx context.Context) error {
		result, err := h.b.raw.Exec(ctx, `UPDATE host_request SET outcome=$1 WHERE code=$2 AND outcome=''`, outcome, code)
		if err != nil {
			return err
		}
		count, err := result.RowsAffected()
		if ended = count == 1; err != nil || !ended || link == nil {
			return err
		}
		linked, err = h.AddLink(ctx, *link)
		return err
	})
	if err != nil {
		return false, false, fmt.Errorf("end a request: %w", err)
	}
	return ended, linked, nil
}
