package accountpages

import (
	"errors"
	"html/template"
	"strings"
)

// fieldError is an error that is shown next to the field of a form that it is about.
type fieldError struct {
	field string // its id
	err   error
}

// Error implements error.
func (e *fieldError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong with the field.
func (e *fieldError) Unwrap() error { return e.err }

// at says which field an error is about, unless that is known already.
func at(field string, err error) error {
	if err == nil || field == "" || fieldOf(err) != "" {
		return err
	}
	return &fieldError{field, err}
}

// fieldOf returns the id of the field that an error is about, "" for none.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*fieldError](err); ok {
		return e.field
	}
	return ""
}

// fieldProblem is what a template shows next to a field.
type fieldProblem struct{ Field, Text string }

// wrong returns what is wrong with a field of a page, nil for nothing.
func wrong(v view, field string) *fieldProblem {
	if v.Field != field || v.Error == "" {
		return nil
	}
	return &fieldProblem{Field: field, Text: v.Error}
}

// describe returns the attributes by which those who do not see a page hear what belongs to a field: hints, ids of other parts, and what is
// wrong with it. The field that something is wrong with has the focus. All of it is the templates' own.
func describe(v view, field string, hints ...string) template.HTMLAttr {
	faulty := wrong(v, field) != nil
	if faulty {
		hints = append([]string{field + "-problem"}, hints...)
	}
	var attributes string
	if len(hints) > 0 {
		attributes = ` aria-describedby="` + strings.Join(hints, " ") + `"`
	}
	if faulty {
		attributes += ` aria-invalid="true" autofocus`
	}
	return template.HTMLAttr(attributes)
}

// browsers are the names of browsers by what they call themselves, the more special in front: each calls itself like others, too.
var browsers = []struct{ sign, name string }{
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
	{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
}

// systems are the names of operating systems, in the same way.
var systems = []struct{ sign, name string }{
	{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
}

// maxAgentShown bounds what is shown of what a browser calls itself that nobody knows, in bytes.
const maxAgentShown = 60

// browserName makes of what a browser calls itself a name that people know.
func browserName(agent string) string {
	name := "A browser"
	for _, b := range browsers {
		if strings.Contains(agent, b.sign) {
			name = b.name
			break
		}
	}
	for _, s := range systems {
		if strings.Contains(agent, s.sign) {
			return name + " on " + s.name
		}
	}
	if name == "A browser" && agent != "" {
		return strings.ToValidUTF8(agent[:min(len(agent), maxAgentShown)], "")
	}
	return name
}

// unsent is the address of the page for asking for a mail, of that of the page that says that it was sent.
func unsent(here string) string {
	return strings.Replace(strings.Replace(here, "&sent=yes", "", 1), "sent=yes", "", 1)
}
