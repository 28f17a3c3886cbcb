package account

import "testing"

// TestLower: letters beyond ASCII become no others.
func TestLower(t *testing.T) {
	for name, want := range map[string]string{"Alice": "alice", "a-z.=_/+09": "a-z.=_/+09", "\u212aATE": "\u212aate", "\u0130": "\u0130", "ÄZ": "Äz"} {
		if got := lower(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
