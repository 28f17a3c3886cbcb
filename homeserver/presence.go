package homeserver

import "fmt"

// PresenceConfig says who hears of who is there.
type PresenceConfig struct {
	// Enabled is whether presence is kept at all.
	Enabled bool `yaml:"enabled"`
	// MaxRoomMembers is the size of the rooms, in members, whose members hear of each other.
	MaxRoomMembers int `yaml:"max_room_members"`
}

// maxPresenceMembers bounds MaxRoomMembers: each change is read by all members, and they are counted each time.
const maxPresenceMembers = 10_000

// Validate returns what is wrong, beginning with the key that it is about.
func (c PresenceConfig) Validate() error {
	if c.MaxRoomMembers < 2 || c.MaxRoomMembers > maxPresenceMembers {
		return fmt.Errorf("max_room_members: must be from 2 to %d; to switch presence off, set presence.enabled to false", maxPresenceMembers)
	}
	return nil
}
