package irc

import "testing"

// Names that nobody can tell apart are taken for the same.
func TestUnseenInNames(t *testing.T) {
	for _, sign := range []string{"\u200b", "\u2060", "\ufe0f", "\U000e0101", "\u034f", "\u115f", "\u3164", "\uffa0", "\u2800", "\u180b"} {
		for _, name := range []string{"alice" + sign, sign + "alice", "al" + sign + "ice"} {
			if skeleton(name) != skeleton("alice") {
				t.Errorf("%+q is taken for somebody else than alice", name)
			}
		}
		if got := tidyName("alice" + sign); got != "alice" {
			t.Errorf("got %+q", got)
		}
	}
	if got := tidyName("عليرضا 李 Zoë"); got != "عليرضا 李 Zoë" {
		t.Errorf("got %q", got)
	}
}
