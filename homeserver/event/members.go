package event

// withMember appends obj, a canonical object, to dst with key set to value, in its place in the order. The key is as it
// stands between quotes.
func withMember(dst, obj []byte, key string, value []byte) []byte {
	dst = append(dst, '{')
	start := len(dst)
	done := false
	put := func(k, v []byte) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, k...)
		dst = append(dst, '"', ':')
		dst = append(dst, v...)
	}
	for k, v := range Members(obj) {
		if !done {
			order := compareKeys(k, []byte(key))
			if order >= 0 {
				put([]byte(key), value)
				done = true
			}
			if order == 0 {
				continue
			}
		}
		put(k, v)
	}
	if !done {
		put([]byte(key), value)
	}
	return append(dst, '}')
}

// withoutMember returns obj, a canonical object, without key. It is obj itself when the key is not there.
func withoutMember(obj []byte, key string) []byte {
	if Field(obj, key) == nil {
		return obj
	}
	return appendFiltered(make([]byte, 0, len(obj)), obj, func(k, v []byte) []byte {
		if string(k) == key {
			return nil
		}
		return v
	})
}

// appendFiltered appends obj, a canonical object, to dst with each value replaced by what keep returns for it, and those for which
// that is nil left out.
func appendFiltered(dst, obj []byte, keep func(key, value []byte) []byte) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for k, v := range Members(obj) {
		kept := keep(k, v)
		if kept == nil {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, k...)
		dst = append(dst, '"', ':')
		dst = append(dst, kept...)
	}
	return append(dst, '}')
}
