// Package builder makes a causeway with networks of others: connectors of mautrix's bridgev2, in Go modules of their own.
//
// It has the Go toolchain compile the source of Causeway with one file replaced, the one that lists such networks
// (cmd/causeway/networks.go), and with a go.mod that also requires their modules. The source itself is not touched, and
// may be read-only. `causeway build` calls it. It holds nothing of the server.
package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MautrixModule is the module of bridgev2.
const MautrixModule = "maunium.net/go/mautrix"

const (
	modulePath   = "causeway"
	networksFile = "cmd/causeway/networks.go"
	// tags choose the same files of mautrix whether or not there is a C compiler, as build/env.sh does.
	tags = "goolm,nocrypto"
	// noVersion is what go.mod has for a module that is replaced.
	noVersion = "v0.0.0-00010101000000-000000000000"
)

// Options say what to build.
type Options struct {
	With   []Connector
	Output string    // the file to write
	Source string    // the folder of Causeway's source; FindSource finds one
	Log    io.Writer // is told what happens, for people
	// Mautrix is the version in the program that builds, "" when it is not known. The source is to be of the same.
	Mautrix string
}

// built is what is known of a connector once its module is there.
type built struct {
	Connector
	module  module
	pkg     string // import path
	make    string // a Go expression that makes one, with the package called network
	licence string
	mautrix string // the version that the connector asks for, "" when it is not known
}

// build is one run.
type build struct {
	Options
	dir     string // the temporary folder
	goTool  string
	mautrix string // the version that Causeway is made for
}

// Build makes the program. Errors say what can be done about them.
func Build(ctx context.Context, o Options) (err error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return errors.New("there is no Go toolchain: install Go (https://go.dev/dl), and have the command go in the PATH")
	}
	if o.Source, err = filepath.Abs(o.Source); err != nil {
		return err
	}
	if o.Output, err = filepath.Abs(o.Output); err != nil {
		return err
	}
	if !isSource(o.Source) {
		return fmt.Errorf("%s does not hold the source of Causeway", o.Source)
	}
	b := &build{Options: o, goTool: goTool}
	if b.dir, err = os.MkdirTemp("", "causeway-build-"); err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(o.Source, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(b.dir, name), content, 0o600)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	pinned, err := b.lookUp(ctx, MautrixModule)
	if err != nil {
		return err
	}
	b.mautrix = pinned.Version
	if o.Mautrix != "" && o.Mautrix != b.mautrix {
		b.say("Note: the source in %s is of another version than this program: it is made for mautrix %s, not %s", o.Source, b.mautrix, o.Mautrix)
	}
	return b.run(ctx)
}

// run does all of it, in this order.
func (b *build) run(ctx context.Context) error {
	var all []built
	for _, c := range b.With {
		c, err := b.add(ctx, c)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	if err := b.checkMautrix(ctx, all); err != nil {
		return err
	}
	for i := range all {
		if err := b.find(ctx, &all[i]); err != nil {
			return err
		}
		all[i].licence = licenceOf(all[i].module.Dir)
	}
	if err := b.overlay(all); err != nil {
		return err
	}
	parts, err := b.parts(ctx)
	if err != nil {
		return err
	}
	if err := b.compile(ctx, all); err != nil {
		return err
	}
	for _, c := range all {
		b.say("It has %s %s. Enable it in the configuration: bridges: {%s: {enabled: true}}", c.module.Path, c.module.describe(), c.ID)
	}
	b.sayLicence(parts)
	return nil
}

// overlay puts the list of networks in the place of that in the source.
func (b *build) overlay(all []built) error {
	networks, err := networksSource(all)
	if err != nil {
		return err
	}
	replacement := filepath.Join(b.dir, "networks.go")
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(b.Source, filepath.FromSlash(networksFile)): replacement},
	})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(replacement, networks, 0o600), os.WriteFile(b.overlayFile(), overlay, 0o600)); err != nil {
		return fmt.Errorf("write the list of networks: %w", err)
	}
	return nil
}

func (b *build) overlayFile() string { return filepath.Join(b.dir, "overlay.json") }

// parts lists the modules of which the program is made, each with its folder, and has the toolchain get those that are not here yet.
func (b *build) parts(ctx context.Context) ([]module, error) {
	output, err := b.golang(ctx, "list", "-mod=mod", "-deps", "-tags="+tags, "-overlay="+b.overlayFile(),
		"-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", "./cmd/causeway")
	if err != nil {
		return nil, fmt.Errorf("not all that the connector is made of is to be had:\n%w", err)
	}
	var all []module
	seen := map[string]bool{}
	for line := range strings.Lines(output) {
		path, dir, found := strings.Cut(strings.TrimSpace(line), "\t")
		if found && !seen[path] {
			seen[path] = true
			all = append(all, module{Path: path, Dir: dir})
		}
	}
	return all, nil
}

// compile has the toolchain make the program.
func (b *build) compile(ctx context.Context, all []built) error {
	b.say("Compiling with mautrix %s", b.mautrix)
	_, err := b.golang(ctx, "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-tags="+tags, "-overlay="+b.overlayFile(), "-o", b.Output, "./cmd/causeway")
	if err != nil {
		var others strings.Builder
		for _, c := range all {
			if c.mautrix != "" && c.mautrix != b.mautrix {
				fmt.Fprintf(&others, ", and %s %s for %s", c.module.Path, c.module.describe(), c.mautrix)
			}
		}
		return fmt.Errorf("it does not compile with mautrix %s, for which this Causeway is made%s; another version of the "+
			"connector may.\n%w", b.mautrix, others.String(), err)
	}
	b.say("Wrote %s", b.Output)
	return nil
}

// golang runs a command of the toolchain on the source with the temporary go.mod.
func (b *build) golang(ctx context.Context, command string, args ...string) (string, error) {
	all := append([]string{command, "-modfile=" + filepath.Join(b.dir, "go.mod")}, args...)
	return b.execute(ctx, all...)
}

// execute runs the toolchain in the source's folder. The error has what it said.
func (b *build) execute(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, b.goTool, args...)
	cmd.Dir = b.Source
	// A workspace would have its own idea of the modules.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var said strings.Builder
		for line := range strings.Lines(stderr.String()) {
			if !strings.HasPrefix(line, "go: downloading ") {
				said.WriteString(line)
			}
		}
		if text := strings.TrimSpace(said.String()); text != "" {
			return "", errors.New(text)
		}
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return stdout.String(), nil
}

func (b *build) say(format string, args ...any) {
	fmt.Fprintf(b.Log, format+"\n", args...)
}

// FindSource looks for the source of Causeway in the given folders and those above them. The program cannot bring it
// along, and no module proxy has it.
func FindSource(folders ...string) (string, error) {
	for _, folder := range folders {
		for {
			if isSource(folder) {
				return folder, nil
			}
			parent := filepath.Dir(folder)
			if parent == folder {
				break
			}
			folder = parent
		}
	}
	return "", errors.New("the source of Causeway is needed, and is neither here nor where this program is: " +
		"get that of this version, and say where with --source")
}

// isSource says whether a folder is the root of Causeway's source.
func isSource(folder string) bool {
	mod, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	_, err = os.Stat(filepath.Join(folder, filepath.FromSlash(networksFile)))
	return strings.TrimSpace(first) == "module "+modulePath && err == nil
}
