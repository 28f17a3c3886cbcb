package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// module is what the toolchain tells of one.
type module struct {
	Path, Version, Dir, GoMod string
	Replace                   *module
}

// describe says which version it is.
func (m module) describe() string {
	if m.Replace != nil {
		return strings.TrimSpace("from " + m.Replace.Path + " " + m.Replace.Version)
	}
	return m.Version
}

// describeOld is what a line of a go.mod replaces: a module, or one version of it.
func (m module) describeOld() string { return strings.TrimSpace(m.Path + " " + m.Version) }

// lookUp tells which version of a module is used.
func (b *build) lookUp(ctx context.Context, path string) (m module, err error) {
	output, err := b.golang(ctx, "list", "-mod=mod", "-m", "-json", path)
	if err != nil {
		return m, fmt.Errorf("look up %s: %w", path, err)
	}
	return m, json.Unmarshal([]byte(output), &m)
}

// add has the temporary go.mod require a connector's module.
func (b *build) add(ctx context.Context, c Connector) (built, error) {
	path := c.Path
	if c.Replacement != "" {
		replaced, err := b.replace(ctx, c)
		if err != nil {
			return built{}, err
		}
		path = replaced
	} else {
		version := c.Version
		if version == "" {
			version = "latest"
		}
		b.say("Getting %s@%s", path, version)
		if _, err := b.golang(ctx, "get", path+"@"+version); err != nil {
			return built{}, fmt.Errorf("there is no %s at version %s to be had:\n%w", path, version, err)
		}
	}
	m, err := b.moduleOf(ctx, path)
	if err != nil {
		return built{}, err
	}
	mautrix, err := b.takeReplacements(ctx, m)
	return built{Connector: c, module: m, mautrix: mautrix}, err
}

// replace has go.mod take something else in the place of a connector's module, and returns the module's path.
func (b *build) replace(ctx context.Context, c Connector) (string, error) {
	path, replacement := c.Path, c.Replacement
	if folder, err := filepath.Abs(replacement); err == nil && isFolder(folder) {
		declared, err := b.declared(ctx, filepath.Join(folder, "go.mod"))
		if err != nil {
			return "", fmt.Errorf("%s is not a Go module: %w", folder, err)
		}
		if declared.Module.Path != path && !strings.HasPrefix(path, declared.Module.Path+"/") {
			return "", fmt.Errorf("the module in %s is %s, not %s", folder, declared.Module.Path, path)
		}
		path, replacement = declared.Module.Path, folder
	} else if !strings.Contains(replacement, "@") {
		return "", fmt.Errorf("%q is neither a folder nor MODULE@VERSION", replacement)
	}
	version := c.Version
	if version == "" {
		version = noVersion
	}
	_, err := b.execute(ctx, "mod", "edit", "-require="+path+"@"+version, "-replace="+path+"="+replacement, filepath.Join(b.dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("replace %s: %w", path, err)
	}
	return path, nil
}

// moduleOf is the module of a package's, or a module's, path.
func (b *build) moduleOf(ctx context.Context, path string) (m module, err error) {
	for at := path; strings.Contains(at, "/") || at == path; at = at[:max(strings.LastIndex(at, "/"), 0)] {
		m, err = b.lookUp(ctx, at)
		if err == nil && m.Dir == "" {
			_, err = b.golang(ctx, "mod", "download", at)
			if err == nil {
				m, err = b.lookUp(ctx, at)
			}
		}
		if err == nil || at == "" {
			return m, err
		}
	}
	return m, err
}

// goMod is what a go.mod says, as far as it matters here.
type goMod struct {
	Module  struct{ Path string }
	Require []module
	Replace []struct{ Old, New module }
}

// declared reads a go.mod.
func (b *build) declared(ctx context.Context, file string) (mod goMod, err error) {
	output, err := b.execute(ctx, "mod", "edit", "-json", file)
	if err != nil {
		return mod, err
	}
	return mod, json.Unmarshal([]byte(output), &mod)
}

// takeReplacements refuses a connector whose go.mod asks for a newer mautrix, and takes over what a connector's own go.mod replaces: the
// toolchain heeds only that of the main module. It returns the version of mautrix that the connector asks for.
func (b *build) takeReplacements(ctx context.Context, m module) (mautrix string, err error) {
	if m.GoMod == "" {
		return "", nil
	}
	theirs, err := b.declared(ctx, m.GoMod)
	if err != nil {
		return "", fmt.Errorf("read the go.mod of %s: %w", m.Path, err)
	}
	ours, err := b.declared(ctx, filepath.Join(b.Source, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read Causeway's go.mod: %w", err)
	}
	for _, r := range theirs.Require {
		if r.Path == MautrixModule {
			mautrix = r.Version
		}
	}
	if newer(mautrix, b.mautrix) {
		return mautrix, b.tooNew(m.Path+" "+m.describe(), mautrix)
	}
	for _, r := range theirs.Replace {
		switch {
		case r.Old.Path == MautrixModule:
			return mautrix, fmt.Errorf("%s replaces %s by its own %s: it cannot be in one program with Causeway", m.Path, MautrixModule, r.New.Path)
		case r.New.Version == "":
			b.say("Note: %s replaces %s by a folder of its own, %s, which is left out", m.Path, r.Old.describeOld(), r.New.Path)
			continue
		case slices.ContainsFunc(ours.Require, func(own module) bool { return own.Path == r.Old.Path }):
			b.say("Note: %s replaces %s, which Causeway uses too, by %s %s", m.Path, r.Old.describeOld(), r.New.Path, r.New.Version)
		default:
			b.say("Note: %s replaces %s by %s %s", m.Path, r.Old.describeOld(), r.New.Path, r.New.Version)
		}
		old := strings.TrimSuffix(r.Old.Path+"@"+r.Old.Version, "@")
		_, err := b.execute(ctx, "mod", "edit", "-replace="+old+"="+r.New.Path+"@"+r.New.Version, filepath.Join(b.dir, "go.mod"))
		if err != nil {
			return mautrix, fmt.Errorf("replace %s, as %s does: %w", old, m.Path, err)
		}
	}
	return mautrix, nil
}

// checkMautrix refuses a connector for a newer mautrix than Causeway is made for: bridgev2 changes with every version, and
// what surrounds it here is tested with one.
func (b *build) checkMautrix(ctx context.Context, all []built) error {
	is, err := b.lookUp(ctx, MautrixModule)
	if err != nil {
		return err
	}
	if is.Version == b.mautrix && is.Replace == nil {
		return nil
	}
	var names []string
	for _, c := range all {
		names = append(names, c.module.Path+" "+c.module.describe())
	}
	return b.tooNew(strings.Join(names, ", or "), is.Version)
}

func (b *build) tooNew(who, needs string) error {
	return fmt.Errorf("%s needs mautrix %s, and this Causeway is made for mautrix %s: take an older version of the connector "+
		"(--with MODULE@VERSION), or a newer Causeway", who, needs, b.mautrix)
}

// newer says whether a version of a module is newer than another. Where they are not of three numbers, it is not.
func newer(version, than string) bool {
	var a, b [3]int
	if _, err := fmt.Sscanf(version, "v%d.%d.%d", &a[0], &a[1], &a[2]); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(than, "v%d.%d.%d", &b[0], &b[1], &b[2]); err != nil {
		return false
	}
	return slices.Compare(a[:], b[:]) > 0
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

var errNoConnector = errors.New("there is no connector in it")
