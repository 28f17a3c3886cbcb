package usersync

// appendToDevice appends the messages to this device, a member of the answer, with a comma after it.
func (p *pass) appendToDevice(dst []byte) []byte {
	return append(dst, `"to_device":{"events":[]},`...)
}

// appendDevices appends whose devices have changed, and which keys of this device are left, members of the answer.
func (p *pass) appendDevices(dst []byte) []byte {
	return append(dst, `"device_lists":{"changed":[],"left":[]},"device_one_time_keys_count":{},"device_unused_fallback_key_types":[]`...)
}
