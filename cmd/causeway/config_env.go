package main

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	envPrefix = "CAUSEWAY_"
	envConfig = envPrefix + "CONFIG" // the path of the configuration file
)

// foreignVariables begin like ours but are not: what container platforms set
// for a service that is called "causeway", and what only tests read.
var foreignVariables = []string{"PORT", "SERVICE_", "TEST_", "BENCH_"}

// decodeEnv overrides keys by variables of the environment. The name of a
// variable is CAUSEWAY_ and the key in upper case with dots as underscores:
// log.level is CAUSEWAY_LOG_LEVEL. Lists are separated by commas or written
// as YAML; other values, whole sections too, are YAML. A key's own variable
// counts more than its section's. A variable that names no key is a problem.
func (d *decoder) decodeEnv(environ []string, out any) {
	fields := envFields("", reflect.ValueOf(out).Elem())
	// In this order a section comes before its keys.
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		variable, value, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, envPrefix)
		if !ours || variable == envConfig {
			continue
		}
		field, known := fields[variable]
		if !known {
			if !slices.ContainsFunc(foreignVariables, func(p string) bool { return strings.HasPrefix(name, p) }) {
				d.add(origin{variable: variable}, "", "is not a known setting%s", suggest(variable, fields))
			}
			continue
		}
		node, err := envNode(value, field.value)
		if err != nil {
			d.yamlError(origin{variable: variable}, field.key, err)
			continue
		}
		if node != nil {
			d.decode(source{node: node, at: origin{variable: variable}}, field.key, field.value)
		}
	}
}

// envField is a key that a variable can set.
type envField struct {
	key   string
	value reflect.Value
}

// envFields maps the names of variables to keys. The
// entries of a map or a list have none: it is set as a whole.
func envFields(key string, v reflect.Value) map[string]envField {
	all := map[string]envField{}
	for name, field := range structFields(v) {
		key := join(key, name)
		if field.Kind() == reflect.Struct {
			maps.Copy(all, envFields(key, field))
		}
		name := strings.NewReplacer(".", "_", "-", "_").Replace(key)
		all[envPrefix+strings.ToUpper(name)] = envField{key, field}
	}
	return all
}

// envNode makes a YAML node of a variable's value: text as it is, a list of
// text split at commas, everything else by YAML's rules. It is nil for an
// empty value of a kind that has no empty form.
func envNode(value string, out reflect.Value) (*yaml.Node, error) {
	if out.Kind() == reflect.String {
		return textNode(value), nil
	}
	if out.Kind() == reflect.Slice && !strings.HasPrefix(value, "[") {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list.Content = append(list.Content, textNode(item))
			}
		}
		return list, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

func textNode(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

// suggest names the known key that name probably was meant to be.
func suggest[V any](name string, known map[string]V) string {
	best, bestDistance := "", 3 // more than two wrong letters is another word
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if dist := editDistance(name, candidate); dist < bestDistance && dist < len(candidate) {
			best, bestDistance = candidate, dist
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the letters to insert, delete or replace to get from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
