package usersync

// appendPresence appends the presence of others, a member of the answer, with a comma after it.
func (p *pass) appendPresence(dst []byte) []byte {
	return append(dst, `"presence":{"events":[]},`...)
}
