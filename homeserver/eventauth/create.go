package eventauth

import "causeway/homeserver/event"

// createRules are rule 1.
func (c *checker) createRules() (bool, error) {
	p := c.p
	if p.Type != event.TypeCreate {
		return false, nil
	}
	// 1.1
	if len(p.PrevEvents) > 0 {
		return false, reject("1.1", "A create event must be the first of its room")
	}
	// 1.2
	if c.version.RoomIDIsCreateHash {
		if p.HasRoomID() {
			return false, reject("1.2", "The room ID of a create event is its own hash, and must not be given")
		}
	} else if event.ServerOf(p.RoomID) != event.ServerOf(p.Sender) {
		return false, reject("1.2 of version 11", "The room ID is of another server than the sender")
	}
	// 1.3
	if version := p.ContentValue("room_version"); version != nil {
		name, ok := event.Text(version)
		if _, err := event.LookupVersion(name); !ok || err != nil {
			return false, reject("1.3", "The room version is not known")
		}
	}
	// 1.4 of versions 1 to 10.
	if c.version.CreatorField && p.ContentValue("creator") == nil {
		return false, reject("1.4 of version 10", "The create event does not name the creator")
	}
	// 1.4. All that is left to be malformed are the additional creators.
	if _, err := p.Create(); err != nil {
		return false, reject("1.4", "The additional creators are not a list of user IDs")
	}
	return true, nil // 1.5
}
