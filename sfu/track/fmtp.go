package track

import (
	"strconv"
	"strings"
)

// parameter gives the value of a parameter of a codec's format, such as profile-id, or "".
func parameter(fmtp, name string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func number(n int) string { return strconv.Itoa(n) }

// sameProfile is whether two formats of one codec can be decoded alike.
func sameProfile(a, b string) bool {
	for _, name := range []string{"profile-id", "packetization-mode", "profile"} {
		if or(parameter(a, name), "0") != or(parameter(b, name), "0") {
			return false
		}
	}
	// Of H.264's profile-level-id the first two bytes are the profile.
	pa, pb := parameter(a, "profile-level-id"), parameter(b, "profile-level-id")
	return len(pa) < 4 || len(pb) < 4 || strings.EqualFold(pa[:4], pb[:4])
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
