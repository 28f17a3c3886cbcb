package homeserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"causeway/homeserver/event"
)

// LoadSigningKey reads the key that signs this server's events, and makes one when the file does not exist. The file has one
// line, "ed25519 VERSION SEED" with the seed in unpadded base64, as other homeservers write it, so that a key can be moved
// from one to the other.
func LoadSigningKey(path, serverName string) (*event.Key, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSigningKey(path, serverName)
	}
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	fields := strings.Fields(string(raw))
	if len(fields) != 3 || fields[0] != "ed25519" {
		return nil, fmt.Errorf("%s is not a signing key: it must be one line, ed25519 VERSION SEED", path)
	}
	seed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(fields[2], "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is not a signing key: the seed must be %d bytes in base64", path, ed25519.SeedSize)
	}
	return &event.Key{ServerName: serverName, KeyID: "ed25519:" + fields[1], Private: ed25519.NewKeyFromSeed(seed)}, nil
}

func makeSigningKey(path, serverName string) (*event.Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	version := "a_" + rand.Text()[:6]
	line := fmt.Sprintf("ed25519 %s %s\n", version, base64.RawStdEncoding.EncodeToString(private.Seed()))
	if err := writeWhole(path, line); err != nil {
		return nil, fmt.Errorf("write the signing key: %w", err)
	}
	return &event.Key{ServerName: serverName, KeyID: "ed25519:" + version, Private: private}, nil
}

// writeWhole makes a file that only its owner can read. It is there whole or not at all, and on disk when writeWhole returns: a
// server whose key is lost can no longer prove who it was.
func writeWhole(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".signing-key-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = dir.Sync() // not every file system can
	return dir.Close()
}
