package room

import (
	"context"
	"crypto/ed25519"
	"encoding/json"

	"maunium.net/go/mautrix/id"
)

// Fetcher asks another server for what is missing here. What it returns is not trusted.
type Fetcher interface {
	// Events returns events of a room by their ids, as far as the server has them and gives them. Server-Server API,
	// GET /event/{eventId}.
	Events(ctx context.Context, server string, roomID id.RoomID, ids []id.EventID) ([]json.RawMessage, error)
	// MissingEvents returns at most limit events that come before latest and after earliest, none of them less deep than
	// minDepth. Server-Server API, POST /get_missing_events/{roomId}.
	MissingEvents(ctx context.Context, server string, roomID id.RoomID, earliest, latest []id.EventID, limit int, minDepth int64) ([]json.RawMessage, error)
	// StateIDs returns the state of a room before an event, and the auth chain of that state. Server-Server API,
	// GET /state_ids/{roomId}.
	StateIDs(ctx context.Context, server string, roomID id.RoomID, at id.EventID) (state, auth []id.EventID, err error)
}

// KeyRing knows the keys that servers sign with.
type KeyRing interface {
	// Key returns a server's key and until when it is, or was, valid, in milliseconds; ok is false when it cannot be had. Server-Server
	// API, "Retrieving server keys".
	Key(ctx context.Context, server, keyID string) (key ed25519.PublicKey, validUntilTS int64, ok bool)
}
