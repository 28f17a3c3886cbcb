package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// screenshots is where the pictures of the last run are kept, below this folder. It is in .gitignore.
const screenshots = "output/pages"

// TestPages has people use the server's own pages in Chromium (testdata/pages), and the SDK sign in by them.
func TestPages(t *testing.T) {
	server := startServer(t, options{})
	if err := os.RemoveAll(screenshots); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	runNode(t, nil, "pages/main.mjs", server.url(""), folder)
}
