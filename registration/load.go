package registration

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFiles bounds the files of one directory.
const maxFiles = 1000

// LoadDir reads all registration files of a directory, which are those whose
// names end in .yaml or .yml and do not begin with a dot, in the order of names.
// When any of them has a fault, or two do not go together, the error is of type
// [Faults] and tells all that is wrong with all of them; the registrations that
// have no fault of their own are returned all the same. Every other error is one
// of reading the directory.
func LoadDir(dir string) ([]*Registration, error) {
	names, err := FilesIn(dir)
	if err != nil {
		return nil, err
	}
	return load(dir, names, tooMany(dir, len(names)))
}

// LoadFiles is LoadDir for files by their names, which messages call them by.
func LoadFiles(names ...string) ([]*Registration, error) { return load("", names, nil) }

// parseAll returns the registrations in files that have no fault of their own, and adds the faults of the others.
func parseAll(dir string, names []string, faults Faults) ([]*Registration, Faults) {
	var all []*Registration
	for _, name := range names[:min(len(names), maxFiles)] {
		data, err := readFile(filepath.Join(dir, name))
		var r *Registration
		if err == nil {
			r, err = Parse(name, data)
		}
		if err != nil {
			faults = append(faults, faultsOf(name, err)...)
			continue
		}
		all = append(all, r)
	}
	return all, faults
}

func load(dir string, names []string, faults Faults) ([]*Registration, error) {
	all, faults := parseAll(dir, names, faults)
	between, warnings := conflicts(all)
	for _, warning := range warnings {
		for _, r := range all {
			if r.File == warning.File {
				r.Warnings = append(r.Warnings, warning)
			}
		}
	}
	return all, append(faults, between...).err()
}

// FilesIn returns the names of the registration files in a directory, sorted.
func FilesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read registrations: %w", err)
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		extension := filepath.Ext(name)
		if !entry.IsDir() && !strings.HasPrefix(name, ".") && (extension == ".yaml" || extension == ".yml") {
			names = append(names, name)
		}
	}
	return names, nil
}

func tooMany(dir string, files int) Faults {
	if files <= maxFiles {
		return nil
	}
	return Faults{{File: dir, Message: fmt.Sprintf("holds more than %d registration files; take away those that are not needed", maxFiles)}}
}

// readFile reads one file, and no more of it than Parse takes. What is no file,
// but for example a pipe, is not opened: nobody may ever write into it.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is not a regular file; take it away")}
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFileBytes+1))
}

// faultsOf tells of a file that cannot be read, or not be parsed.
func faultsOf(name string, err error) Faults {
	if faults, ok := errors.AsType[Faults](err); ok {
		return faults
	}
	message := err.Error()
	// The error of an *os.PathError names the file again.
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		message = pathError.Err.Error()
		switch {
		case errors.Is(err, fs.ErrPermission):
			message = "cannot be read: let the user that Causeway runs as read it (chmod, chown)"
		case errors.Is(err, fs.ErrNotExist):
			message = "is not there"
		}
	}
	return Faults{{File: name, Message: message}}
}
