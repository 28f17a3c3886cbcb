package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaryEnv names a built causeway to test, instead of one built from source.
const binaryEnv = "CAUSEWAY_TEST_BINARY"

// causewayBinary is the path of the program under test.
var causewayBinary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if causewayBinary = os.Getenv(binaryEnv); causewayBinary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "causeway-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	causewayBinary = filepath.Join(dir, "causeway")
	build := exec.Command("go", "build", "-o", causewayBinary, "causeway/cmd/causeway")
	// As it is shipped: a static program, whatever the tests themselves are.
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build causeway: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
