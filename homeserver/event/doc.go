// Package event holds the Matrix event as servers exchange it (a PDU), for every room version: canonical JSON, content and
// reference hashes, signatures, event IDs, redaction, parsing, building, the form shown to clients, and typed views of the
// contents that servers themselves must understand.
//
// Everything in homeserver/ that touches an event imports it. It is pure: it does no I/O, keeps no state between calls, takes no
// context, and never decides whether an event is allowed (that is eventauth) nor where it is stored.
//
// A room version is a row of flags (RoomVersion). Nothing in this package or elsewhere compares version numbers.
//
// A PDU that was built or parsed is never changed again, and may be read by many goroutines at once.
package event
