package e2e

import (
	"regexp"
	"testing"
)

// refused is how the go command says that there is no module, rather than that it does not compile.
var refused = regexp.MustCompile(`to be had:|403 Forbidden|404 Not Found|410 Gone|no such host|connection refused|module lookup disabled|i/o timeout`)

// failedToBuild ends a test that builds what others have written. Where their modules are not to be had, there is nothing to test: it says
// what is missing and is left out.
func failedToBuild(t *testing.T, err error, output, needs string) {
	t.Helper()
	if refused.MatchString(output) {
		t.Skipf("not tested: this builds a program with %s, which has to be in the module cache, or in a proxy that GOPROXY names: %v\n%s", needs, err, output)
	}
	t.Fatalf("build a program with %s: %v\n%s", needs, err, output)
}
