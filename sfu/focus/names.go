package focus

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"maunium.net/go/mautrix/id"
)

// DefaultSlot is where a room's call is. The older service knows no other.
const DefaultSlot = "m.call#ROOM"

// Alias returns the name that the SFU has for a slot of a room. MSC4195, "LiveKit room alias".
func Alias(room id.RoomID, slot string) string { return hash(string(room), slot) }

// Identity returns what the SFU knows a member of a slot by. MSC4195, "Pseudonymous LiveKit Participant Identity".
func Identity(user id.UserID, device id.DeviceID, member string) string {
	return hash(string(user), string(device), member)
}

// LegacyIdentity is Identity of the older service, by which others find whose sound and picture is whose.
func LegacyIdentity(user id.UserID, device id.DeviceID) string {
	return string(user) + ":" + string(device)
}

// hash is the unpadded base64 of the SHA-256 of a list of strings in canonical JSON.
func hash(parts ...string) string {
	var b strings.Builder
	for i, part := range parts {
		b.WriteByte("[,"[min(i, 1)])
		quote(&b, part)
	}
	b.WriteByte(']')
	sum := sha256.Sum256([]byte(b.String()))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// quote writes a string as canonical JSON has it: nothing is escaped that need not be. (encoding/json escapes more.)
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ':
			b.WriteRune(r)
		default:
			if short := strings.IndexRune("\b\f\n\r\t", r); short >= 0 {
				b.WriteByte('\\')
				b.WriteByte("bfnrt"[short])
			} else {
				fmt.Fprintf(b, `\u%04x`, r)
			}
		}
	}
	b.WriteByte('"')
}

// named returns whether text can be a name that a client has made up.
func named(text string) bool {
	return text != "" && len(text) <= maxName && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// Who returns whom the SFU knows by a room and an identity; false for who has no seat.
func (s *Service) Who(alias, identity string) (Seat, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seats[key{alias, identity}]
	if t == nil {
		return Seat{}, false
	}
	return t.Seat, true
}
