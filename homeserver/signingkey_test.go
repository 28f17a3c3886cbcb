package homeserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSigningKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	made, err := LoadSigningKey(path, "test")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadSigningKey(path, "test")
	if err != nil || loaded.KeyID != made.KeyID || !loaded.Private.Equal(made.Private) || loaded.ServerName != "test" {
		t.Errorf("loaded %+v, %v, want the one that was made", loaded, err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files, %v, want 1", len(files), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	seed := strings.Repeat("A", 43)
	for _, test := range []struct {
		text string
		ok   bool
	}{
		{"ed25519 a_1 " + seed + "\n", true},
		{"ed25519 a_1 " + seed + "=", true},
		{"", false},
		{"ed25519 a_1", false},
		{"rsa a_1 " + seed, false},
		{"ed25519 a_1 " + seed[1:], false},
		{"ed25519 a_1 " + seed + " x", false},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSigningKey(path, "test"); (err == nil) != test.ok {
			t.Errorf("%q: %v", test.text, err)
		}
	}
}
