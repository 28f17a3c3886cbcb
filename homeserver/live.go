package homeserver

import "maunium.net/go/mautrix/id"

// TypingSince returns who types in the rooms where that has changed after a serial, by room, and the serial up to which that holds. When it
// is not known any more what has changed, known is false, and the rooms are those where somebody types. The lists must not be changed.
func (s *Server) TypingSince(serial int64) (rooms map[int64][]id.UserID, upto int64, known bool) {
	return s.typing.TypingSince(serial)
}

// LastActive returns when a user was last active, in milliseconds, 0 when that is not known to be later than what is stored.
func (s *Server) LastActive(user id.UserID) int64 { return s.presence.LastActive(user) }
