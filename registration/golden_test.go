package registration

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// TestFaultsReadAloud is what an operator reads: each line says where, what, and what to do.
func TestFaultsReadAloud(t *testing.T) {
	_, err := LoadDir(filepath.Join("testdata", "faulty"))
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("got %v, want Faults", err)
	}
	golden(t, "faulty.golden", faults.Error()+"\n")
}

// TestTheirFiles loads files of the forms that bridges of others write.
func TestTheirFiles(t *testing.T) {
	all, err := LoadDir(filepath.Join("testdata", "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, r := range all {
		fmt.Fprintf(&text, "%s: %s at %q, @%s, limited %t, ephemeral %t, MSC3202 %t, MSC4190 %t, protocols %q\n", r.File, r.ID, r.URL, r.SenderLocalpart,
			r.RateLimited, r.ReceiveEphemeral, r.MSC3202, r.MSC4190, r.Protocols)
		for _, w := range r.Warnings {
			fmt.Fprintf(&text, "  warning: %s\n", w)
		}
		again, err := Parse(r.File, r.Marshal())
		if err != nil || !again.Equal(r) {
			t.Errorf("%s: written and read again: %v", r.File, err)
		}
	}
	golden(t, "theirs.golden", text.String())
}
