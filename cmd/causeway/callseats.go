package main

import (
	"context"

	"causeway/homeserver/store"
	"causeway/sfu/focus"
)

// callSeats keeps in the database who may be in calls. It is a focus.Ledger.
type callSeats struct{ db *store.DB }

// Seats implements focus.Ledger.
func (l callSeats) Seats(ctx context.Context) ([]focus.Seat, error) {
	var seats []focus.Seat
	err := l.db.View(ctx, func(tx *store.Tx) error {
		seats = nil
		rows, err := tx.CallSeats()
		for _, row := range rows {
			seats = append(seats, focus.Seat(row))
		}
		return err
	})
	return seats, err
}

// SaveSeat implements focus.Ledger.
func (l callSeats) SaveSeat(ctx context.Context, seat focus.Seat) error {
	return l.db.Write(ctx, func(tx *store.Tx) error { return tx.SaveCallSeat(store.CallSeat(seat)) })
}

// DropSeat implements focus.Ledger.
func (l callSeats) DropSeat(ctx context.Context, alias, identity string) error {
	return l.db.Write(ctx, func(tx *store.Tx) error { return tx.DropCallSeat(alias, identity) })
}
