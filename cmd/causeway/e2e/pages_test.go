package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	node, err := filepath.Abs(filepath.Join("testdata", "node_modules", nodePackages[runtime.GOARCH], "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "pages/main.mjs", server.url(""), folder)
	cmd.Dir = "testdata"
	log, err := os.Create(filepath.Join(t.TempDir(), "browser.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for lines := bufio.NewScanner(out); lines.Scan(); ran++ {
		var result struct{ Name, Error string }
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			t.Fatalf("the browser's script printed %q: %v", lines.Text(), err)
		}
		t.Run(result.Name, func(t *testing.T) {
			if result.Error != "" {
				t.Error(result.Error)
			}
		})
	}
	if err := cmd.Wait(); err != nil || ran == 0 {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%d steps ran: %v\n… %s", ran, err, text[max(0, len(text)-4000):])
	}
}
