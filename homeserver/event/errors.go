package event

import (
	"errors"
	"fmt"
)

// The errors of this package. Those returned wrap one of these and say more; compare with errors.Is.
var (
	// ErrUnknownVersion is returned for a room version that is not in the table.
	ErrUnknownVersion = errors.New("unknown room version")
	// ErrBadJSON is returned for bytes that are not JSON, or that Matrix's canonical JSON has no form for. Clients see it as
	// M_BAD_JSON (M_NOT_JSON is for a request body that cannot be read at all).
	ErrBadJSON = errors.New("bad JSON")
	// ErrBadEvent is returned for JSON that lacks a field an event must have, or has one of the wrong form.
	ErrBadEvent = errors.New("malformed event")
	// ErrTooLarge is returned for an event over MaxEventBytes. Clients see it as M_TOO_LARGE.
	ErrTooLarge = errors.New("event too large")
	// ErrFieldTooLong is returned for an ID, a type or a state key over MaxFieldBytes. Clients see it as M_TOO_LARGE or
	// M_INVALID_PARAM.
	ErrFieldTooLong = errors.New("event field too long")
	// ErrBadContent is returned by the typed views for content that lacks what its type demands.
	ErrBadContent = errors.New("malformed content")
	// ErrBadHash is returned when the content hash is not that of the content: the event was redacted, or changed.
	ErrBadHash = errors.New("content hash does not match")
	// ErrBadSignature is returned when a signature is absent or not made by the given key.
	ErrBadSignature = errors.New("signature is not valid")
	// ErrBadKey is returned for a signing key that is not a usable ed25519 key.
	ErrBadKey = errors.New("signing key is not usable")
)

// fieldError says which field of an event is at fault.
func fieldError(err error, field string) error { return fmt.Errorf("%w: %s", err, field) }
