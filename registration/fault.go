package registration

import (
	"strconv"
	"strings"
)

// Fault is one thing that is wrong, or in a list of warnings odd, with a file.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`  // from 1, or 0 when it is not known
	Field   string `json:"field,omitempty"` // such as "namespaces.users[0].regex", or "" for the whole file
	Message string `json:"message"`         // never holds a token
}

// Error returns the fault in one line, as "irc.yaml:7: as_token: is missing".
func (f Fault) Error() string {
	var text strings.Builder
	text.WriteString(f.File)
	if f.Line > 0 {
		text.WriteString(":" + strconv.Itoa(f.Line))
	}
	text.WriteString(": ")
	if f.Field != "" {
		text.WriteString(f.Field + ": ")
	}
	text.WriteString(f.Message)
	return text.String()
}

// Faults are all faults that were found, in the order of files and lines.
type Faults []Fault

// Error returns the faults, one in each line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// err returns f as an error, which an empty f is not.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// fault makes a Fault of one of r's fields.
func (r *Registration) fault(field, message string) Fault {
	file := r.File
	if file == "" {
		file = "registration " + strconv.Quote(r.ID)
	}
	return Fault{File: file, Line: r.lines[field], Field: field, Message: message}
}
