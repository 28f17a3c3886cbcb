package usersync

// What sliding sync tells beside events and account data. Each function returns the JSON of its part, nil for nothing, and sets
// p.news where that is worth an answer before the timeout.

// unreadCounts are how many events of a room the user has not read.
type unreadCounts struct{ notifications, highlights int64 }

// unread returns the counts of a room, which the unstable form tells.
func (r *slidingRoom) unread() (unreadCounts, error) { return unreadCounts{}, nil }

// quietElsewhere tells that nothing has happened to receipts after settled, nor to what lives outside of connections (who is typing,
// messages to the device, lists of devices) after since.
func (p *slidingPass) quietElsewhere(settled, since int64) (bool, error) { return true, nil }

// toDevice is the extension to_device (MSC3885): {next_batch, events}.
func (p *slidingPass) toDevice() ([]byte, error) { return nil, nil }

// e2ee is the extension e2ee (MSC3884): {device_lists, device_one_time_keys_count, device_unused_fallback_key_types}.
func (p *slidingPass) e2ee() ([]byte, error) { return nil, nil }

// receipts is the extension receipts (MSC3960): {rooms}.
func (p *slidingPass) receipts() ([]byte, error) { return nil, nil }

// whoTypes is the extension typing (MSC3961): {rooms}.
func (p *slidingPass) whoTypes() ([]byte, error) { return nil, nil }

// threads is the extension of MSC4308.
func (p *slidingPass) threads() ([]byte, error) { return nil, nil }
