package accountpages

import (
	"strings"
	"testing"
)

// TestDestination has people told truthfully where they are sent to.
func TestDestination(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.example.com/x":       "app.example.com",
		"https://localhost:1/x":           "localhost:1",
		"http://evil.example.com/steal":   "evil.example.com",
		"http://127.0.0.1.evil.example/":  "127.0.0.1.evil.example",
		"http://192.168.1.2/":             "192.168.1.2",
		"http://localhost.evil.example/x": "localhost.evil.example",
		"http://localhost:1234/x":         "an application on this device (localhost:1234)",
		"http://127.0.0.1/x":              "an application on this device (127.0.0.1)",
		"http://[::1]:5/x":                "an application on this device ([::1]:5)",
		"com.example.app:/x":              "an application on this device (com.example.app)",
	} {
		if got := destination(address); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
		if got := open(address); got != (strings.HasPrefix(address, "http:") && !strings.Contains(want, "this device")) {
			t.Errorf("%s: the way is open: %v", address, got)
		}
	}
}
