package irc

// A strict channel is not connected with a room that has others (unfit), but the configuration can make one strict that is. Then nothing
// goes to it, and nothing comes from it, as from any strict channel, and what is said on it stays in the room: whoever is on the other
// channels would read it without being seen.

// mayLeave is why what was said on a channel of a room stays there, or nil.
func (cy *carrying) mayLeave(places []spot, from string) error {
	if cy.ghost == "" {
		return nil
	}
	for _, p := range places {
		if p.net.name == from && cy.c.isStrict(p.net, p.channel) {
			return failure("%s is strict, and others would read what is said there", p.channel)
		}
	}
	return nil
}
