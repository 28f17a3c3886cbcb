package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// exampleConfig is the annotated configuration that the first start writes
// and that `causeway config example` prints.
//
//go:embed causeway.example.yaml
var exampleConfig []byte

const (
	defaultDataDir = "causeway-data" // in the working directory
	configName     = "causeway.yaml"

	// maxConfigSize is how much of a configuration file is read, in bytes.
	maxConfigSize = 4 << 20
)

// whenMissing says what loadConfig does when there is no configuration and
// --config named none.
type whenMissing int

const (
	writeWhenMissing    whenMissing = iota // write the annotated example there
	defaultsWhenMissing                    // go by the defaults, write nothing
)

// loadConfig finds, reads and checks the configuration. Everything that is
// wrong with it comes back at once, as a usageError.
func (c *cli) loadConfig(missing whenMissing) (*Config, error) {
	path, mustExist := c.findConfig()
	raw, err := readConfig(path)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return nil, usageError{err}
	case mustExist:
		return nil, usageError{fmt.Errorf("there is no configuration file %s; `causeway config example` prints one to start from", path)}
	case missing == writeWhenMissing:
		if err := writeExample(path); err != nil {
			return nil, err
		}
		fmt.Fprintf(c.err, "causeway: wrote an annotated configuration to %s\n", path)
		raw = exampleConfig
	}
	source := configSource{Path: path, Raw: raw, Environ: ourEnviron(os.Environ())}
	cfg, err := parseConfig(source.Path, source.Raw, source.Environ)
	if err != nil {
		return nil, err
	}
	cfg.source = source
	return cfg, nil
}

// findConfig returns the path of the configuration file, and whether it must
// exist: --config, then CAUSEWAY_CONFIG, then causeway.yaml in the data
// directory, which is CAUSEWAY_DATA_DIR or ./causeway-data. Only what is named
// on the command line must exist; an image's environment names a file that its
// first start writes.
func (c *cli) findConfig() (path string, mustExist bool) {
	if c.configPath != "" {
		return c.configPath, true
	}
	if path := os.Getenv(envConfig); path != "" {
		return path, false
	}
	dir := os.Getenv(envPrefix + "DATA_DIR")
	if dir == "" {
		dir = defaultDataDir
	}
	return filepath.Join(dir, configName), false
}

func readConfig(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory, not a configuration file", path)
	}
	if info.Size() > maxConfigSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxConfigSize)
	}
	return os.ReadFile(path)
}

// writeExample puts the example at path, readable by its owner only: sooner
// or later it holds passwords. It never overwrites a file.
func writeExample(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	_, err = f.Write(exampleConfig)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	return nil
}

// parseConfig decodes raw, the content of the file at path, applies the
// environment, checks the result and resolves its paths.
func parseConfig(path string, raw []byte, environ []string) (*Config, error) {
	cfg := defaultConfig()
	d := newDecoder(path)
	d.decodeFile(raw, cfg)
	d.decodeEnv(environ, cfg)
	// A key that did not decode still holds its default, so the checks can
	// run regardless and all that is wrong is reported together.
	cfg.check(d.report)
	if err := d.err(); err != nil {
		return nil, usageError{err}
	}
	fileDir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", path, err)
	}
	workDir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("resolve relative paths: %w", err)
	}
	cfg.resolve(func(key string) string {
		if d.fromEnv(key) {
			return workDir
		}
		return fileDir
	})
	return cfg, nil
}
