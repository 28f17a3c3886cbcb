package event

// What a stranger, or a client, may put into one event.
const (
	// MaxEventBytes is the size of an event's canonical JSON with its signatures. Client-Server API, "Size limits".
	MaxEventBytes = 65536
	// MaxFieldBytes bounds sender, room_id, event_id, type and state_key, in bytes. Client-Server API, "Size limits". In the
	// versions before 11, which are older than these words, servers took it for code points: RoomVersion.ByteLimits.
	MaxFieldBytes = 255
	// MaxPrevEvents and MaxAuthEvents bound the references of an event. Room version event formats.
	MaxPrevEvents = 20
	MaxAuthEvents = 10
	// MaxNesting is how deep objects and arrays may be nested in any JSON read here.
	MaxNesting = 1000
	// maxRawBytes bounds the text Parse will look at. Canonical JSON is the shortest form: the same event with every character
	// escaped, with white space and an unsigned object, can be several times as long.
	maxRawBytes = 8 * MaxEventBytes

	// maxCanonicalInt is the largest absolute value of an integer in canonical JSON, 2^53-1. Appendices, "Canonical JSON".
	maxCanonicalInt = 1<<53 - 1
)
