package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestNgircdAndPlainClients checks the harness itself: without it a fault of
// the tools would look like one of the product.
func TestNgircdAndPlainClients(t *testing.T) {
	const lines = 250
	server := startNgircd(t)
	ian, ida := connectIRC(t, server.address, "ian"), connectIRC(t, server.address, "ida")
	ian.join("#talk")
	ida.join("#talk")
	for i := range lines {
		ian.say("#talk", fmt.Sprintf("line %d", i))
	}
	ida.await(0, "last line", "PRIVMSG", fmt.Sprintf("line %d", lines-1))
	heard := ida.heard(0, "#talk")
	if len(heard) != lines {
		t.Fatalf("ida heard %d lines, want %d", len(heard), lines)
	}
	for i, line := range heard {
		if want := (spoken{"ian", fmt.Sprintf("line %d", i)}); line != want {
			t.Fatalf("line %d is %v, want %v", i, line, want)
		}
	}
	ian.action("#talk", "waves")
	m := ida.awaitFrom(0, "ian", "PRIVMSG", "#talk", "\x01ACTION waves\x01")
	if !strings.HasPrefix(m.Source, "ian!") {
		t.Errorf("source is %q, want ian!…", m.Source)
	}
}
