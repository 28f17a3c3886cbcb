package registration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFiles bounds the files of one directory.
const maxFiles = 1000

// LoadDir reads all registration files of a directory, which are those whose
// names end in .yaml or .yml and do not begin with a dot, in the order of names.
// When any of them has a fault, or two do not go together, the error is of type
// [Faults] and tells all that is wrong with all of them. Every other error is one
// of reading the directory.
func LoadDir(dir string) ([]*Registration, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read registrations: %w", err)
	}
	var all []*Registration
	var faults Faults
	files := 0
	for _, entry := range entries {
		extension := filepath.Ext(entry.Name())
		if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") || extension != ".yaml" && extension != ".yml" {
			continue
		}
		if files++; files > maxFiles {
			faults = append(faults, Fault{File: dir, Message: fmt.Sprintf("holds more than %d registration files", maxFiles)})
			break
		}
		r, err := loadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			faults = append(faults, faultsOf(entry.Name(), err)...)
			continue
		}
		all = append(all, r)
	}
	return all, append(faults, check(all)...).err()
}

// loadFile reads one file, and no more of it than Parse takes.
func loadFile(name string) (*Registration, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	return Parse(filepath.Base(name), data)
}

func faultsOf(name string, err error) Faults {
	if faults, ok := errors.AsType[Faults](err); ok {
		return faults
	}
	// The error of an *os.PathError names the file again.
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		err = pathError.Err
	}
	return Faults{{File: name, Message: err.Error()}}
}

// check compares registrations with each other, and adds to their warnings.
func check(all []*Registration) Faults {
	faults, warnings := conflicts(all)
	for _, warning := range warnings {
		for _, r := range all {
			if r.File == warning.File {
				r.Warnings = append(r.Warnings, warning)
			}
		}
	}
	return faults
}
