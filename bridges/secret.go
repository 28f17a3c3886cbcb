package bridges

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secretBytes is the length of a bridge's secret.
const secretBytes = 32

// ErrNoDataDir is what Host.Secret returns when there is no place for a secret.
var ErrNoDataDir = errors.New("option DataDir is missing: the key for people's passwords lies there")

// Secret returns 32 random bytes, the same after a restart. They lie in the file bridge-ID.key of the data
// directory, readable by its owner only, and never in the database: with them a network encrypts what people entrust to
// it, so that a copy of the database alone does not give it away. The error is ErrNoDataDir, or names the file.
func (h *Host) Secret() ([]byte, error) {
	if h.b.opts.DataDir == "" {
		return nil, ErrNoDataDir
	}
	path := filepath.Join(h.b.opts.DataDir, "bridge-"+h.b.opts.ID+".key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeSecret(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the bridge's key: %w", err)
	}
	if len(key) != secretBytes {
		return nil, fmt.Errorf("%s has %d bytes and must have %d; put back the right file, or remove it and let people log in again",
			path, len(key), secretBytes)
	}
	return key, nil
}

// makeSecret writes the file whole or not at all: half a key would pass for one that was changed.
func makeSecret(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key)                                 // never fails: crypto/rand ends the process instead
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // with mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return nil, err
	}
	return key, nil
}

// DataDir is where a network may keep files of its own, or ErrNoDataDir.
func (h *Host) DataDir() (string, error) {
	if h.b.opts.DataDir == "" {
		return "", ErrNoDataDir
	}
	return h.b.opts.DataDir, nil
}
