package builder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// licences are recognised by what their texts say first. That of the AGPL names the GPL further down, and the other way round.
var licences = []struct{ id, text string }{
	{"AGPL-3.0", "gnu affero general public license"},
	{"LGPL", "gnu lesser general public license"},
	{"GPL", "gnu general public license"},
	{"MPL-2.0", "mozilla public license"},
	{"Apache-2.0", "apache license"},
	{"MIT", "permission is hereby granted, free of charge"},
	{"BSD", "redistribution and use in source and binary forms"},
	{"ISC", "permission to use, copy, modify, and/or distribute"},
}

// copyleft are the licences that a program as a whole is under if a part is.
var copyleft = []string{"AGPL-3.0", "GPL"}

// licenceOf recognises the licence in a module's folder, "" when it does not.
func licenceOf(dir string) string {
	for _, pattern := range []string{"LICEN[CS]E*", "licen[cs]e*", "COPYING*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				if id := recognise(string(text)); id != "" {
					return id
				}
			}
		}
	}
	return ""
}

// recognise is the licence that a text names first.
func recognise(text string) string {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	first, id := len(text), ""
	for _, l := range licences {
		if at := strings.Index(text, l.text); at >= 0 && at < first {
			first, id = at, l.id
		}
	}
	return id
}

// sayLicence says under which licence the whole is, by those of all modules in it.
func (b *build) sayLicence(parts []module) {
	of := map[string][]string{}
	for _, part := range parts {
		id := licenceOf(part.Dir)
		of[id] = append(of[id], part.Path)
	}
	b.say("%s", verdict(of))
	if unknown := of[""]; len(unknown) > 0 {
		b.say("The licence of these was not recognised, so look yourself: %s", strings.Join(unknown, ", "))
	}
}

// verdict is what the licences of the parts make of the whole.
func verdict(of map[string][]string) string {
	for _, id := range copyleft {
		if because := of[id]; len(because) > 0 {
			text := fmt.Sprintf("Licence: the program as a whole is under the %s, because of %s.", id, strings.Join(because, ", "))
			if id == "AGPL-3.0" {
				text += " Whoever uses it over a network must be offered its source."
			}
			return text
		}
	}
	if len(of[""]) > 0 {
		return "Licence: nothing whose licence was recognised puts the whole under another than Causeway's own."
	}
	return "Licence: nothing in the program puts the whole under a licence other than Causeway's own."
}
