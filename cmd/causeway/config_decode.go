package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// maxConfigDepth bounds how deep the configuration nests. It also ends a
// YAML alias that contains itself.
const maxConfigDepth = 32

// decoder fills structs from YAML strictly: an unknown key, a key given twice
// or a value of another type is a problem, and every problem is found in one
// go. (yaml.v3's own strict mode reports Go types and has no keys.)
type decoder struct{ problems }

func newDecoder(file string) *decoder {
	return &decoder{problems{file: file, origins: map[string]origin{}}}
}

var yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// decodeFile decodes a whole file into the struct that out points to.
func (d *decoder) decodeFile(raw []byte, out any) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		d.yamlError(origin{}, "", err)
		return
	}
	if len(doc.Content) > 0 { // an empty file has no document
		d.decode(source{node: doc.Content[0]}, "", reflect.ValueOf(out).Elem())
	}
}

// source is a value and where its key was written.
type source struct {
	node  *yaml.Node
	at    origin
	depth int
}

// below is the source of a node inside s.
func (s source) below(node *yaml.Node) source {
	at := s.at
	if at.variable == "" {
		at.line = node.Line
	}
	return source{node: node, at: at, depth: s.depth + 1}
}

var durationType = reflect.TypeFor[time.Duration]()

// decode puts the value of src into out, which is addressable.
func (d *decoder) decode(src source, key string, out reflect.Value) {
	for src.node.Kind == yaml.AliasNode {
		src.node, src.depth = src.node.Alias, src.depth+1
		if src.depth > maxConfigDepth {
			break
		}
	}
	if src.depth > maxConfigDepth {
		d.add(src.at, key, "is nested more than %d deep", maxConfigDepth)
		return
	}
	if key != "" {
		d.origins[key] = src.at
	}
	if src.node.ShortTag() == "!!null" {
		return // a key without a value leaves the default
	}
	if out.Type() == nodeType {
		d.place(src, key)
		out.Set(reflect.ValueOf(*src.node))
		return
	}
	switch out.Kind() {
	case reflect.Struct:
		d.decodeStruct(src, key, out)
	case reflect.Map:
		d.decodeMap(src, key, out)
	case reflect.Slice:
		d.decodeSlice(src, key, out)
	default:
		d.decodeScalar(src, key, out)
	}
}

// nodeType is a section that somebody else reads.
var nodeType = reflect.TypeFor[yaml.Node]()

// place notes where the keys of a section are written that somebody else reads.
func (d *decoder) place(src source, key string) {
	if src.depth > maxConfigDepth {
		d.add(src.at, key, "is nested more than %d deep", maxConfigDepth)
		return
	}
	d.origins[key] = src.at
	if src.node.Kind == yaml.MappingNode {
		d.eachPair(src, key, func(name string, value source) { d.place(value, join(key, name)) })
	}
}

// decodeStruct takes a mapping whose keys are the struct's yaml tags.
func (d *decoder) decodeStruct(src source, key string, out reflect.Value) {
	fields := structFields(out)
	d.eachPair(src, key, func(name string, value source) {
		field, ok := fields[name]
		if !ok {
			d.add(value.at, join(key, name), "is not a known key%s", suggest(name, fields))
			return
		}
		d.decode(value, join(key, name), field)
	})
}

// decodeMap takes a mapping with free keys.
func (d *decoder) decodeMap(src source, key string, out reflect.Value) {
	if out.IsNil() {
		out.Set(reflect.MakeMap(out.Type()))
	}
	d.eachPair(src, key, func(name string, value source) {
		elem := reflect.New(out.Type().Elem()).Elem()
		d.decode(value, join(key, name), elem)
		out.SetMapIndex(reflect.ValueOf(name).Convert(out.Type().Key()), elem)
	})
}

// eachPair calls f for the pairs of a mapping, and reports keys given twice.
func (d *decoder) eachPair(src source, key string, f func(name string, value source)) {
	if src.node.Kind != yaml.MappingNode {
		d.add(src.at, key, "must be a section with keys of its own, not %s", describe(src.node))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(src.node.Content); i += 2 {
		name := src.node.Content[i]
		value := src.below(src.node.Content[i+1])
		value.at = src.below(name).at
		if seen[name.Value] {
			d.add(value.at, join(key, name.Value), "is given twice")
			continue
		}
		seen[name.Value] = true
		f(name.Value, value)
	}
}

func (d *decoder) decodeSlice(src source, key string, out reflect.Value) {
	if src.node.Kind != yaml.SequenceNode {
		d.add(src.at, key, "must be a list, not %s", describe(src.node))
		return
	}
	list := reflect.MakeSlice(out.Type(), len(src.node.Content), len(src.node.Content))
	for i, item := range src.node.Content {
		d.decode(src.below(item), fmt.Sprintf("%s[%d]", key, i), list.Index(i))
	}
	out.Set(list)
}

func (d *decoder) decodeScalar(src source, key string, out reflect.Value) {
	node := src.node
	wrong := func(want string) {
		d.add(src.at, key, "must be %s, not %s", want, describe(node))
	}
	tag := node.ShortTag()
	switch {
	case out.Type() == durationType:
		if t, err := parseDuration(node.Value); err == nil && node.Kind == yaml.ScalarNode {
			out.SetInt(int64(t))
		} else {
			wrong("a duration such as 30s, 5m or 7d")
		}
	case out.Kind() == reflect.String:
		// A number is taken as the text that was written: passwords and names may look like one.
		if node.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!int" || tag == "!!float") {
			out.SetString(node.Value)
		} else {
			wrong("text (put it in quotes)")
		}
	case out.Kind() == reflect.Bool:
		var v bool
		if tag == "!!bool" && node.Decode(&v) == nil {
			out.SetBool(v)
		} else {
			wrong("true or false")
		}
	case out.CanInt():
		if n, err := strconv.ParseInt(node.Value, 10, out.Type().Bits()); tag == "!!int" && err == nil {
			out.SetInt(n)
		} else {
			wrong("a whole number")
		}
	case out.CanUint():
		if n, err := strconv.ParseUint(node.Value, 10, out.Type().Bits()); tag == "!!int" && err == nil {
			out.SetUint(n)
		} else {
			wrong("a whole number that is not negative")
		}
	case out.CanFloat():
		if n, err := strconv.ParseFloat(node.Value, 64); (tag == "!!int" || tag == "!!float") && err == nil {
			out.SetFloat(n)
		} else {
			wrong("a number")
		}
	default:
		d.add(src.at, key, "cannot be set: the program has no way to read a %s", out.Type())
	}
}

const day = 24 * time.Hour

// parseDuration is time.ParseDuration with days, which come first: 7d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of days", days)
	}
	t := time.Duration(n) * day
	if rest == "" {
		return t, nil
	}
	more, err := time.ParseDuration(rest)
	if err == nil && more < 0 {
		err = fmt.Errorf("%q is negative", rest)
	}
	return t + more, err
}

// yamlError notes an error of the YAML library, which holds lines as text.
func (d *decoder) yamlError(at origin, key string, err error) {
	texts := []string{err.Error()}
	var typeError *yaml.TypeError
	if errors.As(err, &typeError) {
		texts = typeError.Errors
	}
	for _, text := range texts {
		at := at
		if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
			text = m[2]
			if at.variable == "" {
				at.line, _ = strconv.Atoi(m[1])
			}
		}
		d.add(at, key, "%s", strings.TrimPrefix(text, "yaml: "))
	}
}

// structFields maps yaml tags to the fields of a struct; the fields of an
// inlined struct count as its own, and so do the entries of a map of "others",
// which point to structs.
func structFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(options, "inline"):
			for name, field := range structFields(v.Field(i)) {
				fields[name] = field
			}
		case strings.Contains(options, "others"):
			for name, field := range v.Field(i).Seq2() {
				fields[name.String()] = field.Elem()
			}
		case name != "" && name != "-":
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// describe names what a node is, in words for the person who wrote it.
func describe(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a section"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Value == "":
		return "empty"
	}
	return strconv.Quote(node.Value)
}
