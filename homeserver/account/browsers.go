package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"causeway/homeserver/store"
)

// browserSeenMS is how often it is written that a browser was seen, in milliseconds.
const browserSeenMS = 60 * 1000

// SignedInBrowser is a browser in which a user is signed in to the server's own pages, as the user sees it.
type SignedInBrowser struct {
	Ref        string // names it in forms; no cookie can be made of it
	Here       bool   // it is the one that asks
	SignedInTS int64
	SeenTS     int64 // 0 for never
	SeenIP     string
	SeenAgent  string
}

// SawBrowser records that a browser was seen.
func (s *Service) SawBrowser(ctx context.Context, b Browser, ip, agent string) error {
	seen := store.Sighting{TS: s.now(), IP: clean(ip), Agent: clean(agent)}
	if seen.TS-b.seen.TS < browserSeenMS && seen.IP == b.seen.IP && seen.Agent == b.seen.Agent {
		return nil
	}
	if err := s.db.Write(ctx, func(tx *store.Tx) error { return tx.SetBrowserSeen(b.hash, seen) }); err != nil {
		return fmt.Errorf("record that a browser was seen: %w", err)
	}
	return nil
}

// Browsers returns the browsers in which a user is signed in, the one that asks in front.
func (s *Service) Browsers(ctx context.Context, b Browser) (all []SignedInBrowser, err error) {
	var rows []store.SignedInBrowser
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.SignedInBrowsers(b.UserNID, s.now())
		return err
	})
	for _, row := range rows {
		found := SignedInBrowser{
			Ref: browserRef(row.Hash), Here: row.Hash == b.hash, SignedInTS: row.ExpiresTS - browserSessionMS,
			SeenTS: row.Seen.TS, SeenIP: row.Seen.IP, SeenAgent: row.Seen.Agent,
		}
		if found.Here {
			all = append([]SignedInBrowser{found}, all...)
		} else {
			all = append(all, found)
		}
	}
	return all, err
}

func browserRef(hash [32]byte) string {
	sum := sha256.Sum256(append([]byte("browser"), hash[:]...))
	return hex.EncodeToString(sum[:16])
}

// EndBrowser signs a user out in one of their browsers. The error is 404 M_NOT_FOUND, for others' browsers, too.
func (s *Service) EndBrowser(ctx context.Context, b Browser, ref string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		rows, err := tx.SignedInBrowsers(b.UserNID, s.now())
		if err != nil {
			return err
		}
		for _, row := range rows {
			if browserRef(row.Hash) == ref {
				return tx.EndBrowserSession(row.Hash)
			}
		}
		return notFound("You are not signed in in that browser any more")
	})
}

// EndOtherBrowsers signs a user out in all browsers but the one that asks.
func (s *Service) EndOtherBrowsers(ctx context.Context, b Browser) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		return tx.EndOtherBrowserSessions(b.UserNID, b.hash)
	})
}
