package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Only a new server gets a new signing key.
func TestSigningKey(t *testing.T) {
	cfg := &Config{ServerName: "a.test", DataDir: t.TempDir()}
	_, err := openKey(cfg, false)
	if want := filepath.Join(cfg.DataDir, "signing.key"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("an old server without its key: %v, want an error that names %s", err, want)
	}
	made, err := openKey(cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	read, err := openKey(cfg, false)
	if err != nil || read.KeyID != made.KeyID || !read.Private.Equal(made.Private) {
		t.Errorf("the key read again: %v, %v", read, err)
	}
}
