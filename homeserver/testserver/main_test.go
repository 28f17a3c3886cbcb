package testserver_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"causeway/homeserver/testserver"
)

// TestMain sees to it that the tests of this package, when all of them have run, have had an answer from every endpoint: each answer
// is compared with what the specification requires of it.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
		for _, endpoint := range testserver.Unanswered() {
			if testserver.Pending(endpoint) == "" {
				fmt.Fprintf(os.Stderr, "no test of this package had an answer with status 200 from %s\n", endpoint)
				code = 1
			}
		}
	}
	os.Exit(code)
}
