package usersync

// ephemeral returns the elements of the room's ephemeral events: who is typing, and receipts.
func (r *roomPass) ephemeral(full bool) ([]byte, error) {
	return nil, nil
}
