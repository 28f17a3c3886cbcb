package registration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Limits on a registration file. They are far from what people write.
const (
	maxFileBytes  = 1 << 20
	maxNamespaces = 1000 // of one kind in one file
	maxProtocols  = 1000
	maxRegexBytes = 4096
	maxFields     = 100 // of one mapping
)

// Parse reads a registration file. name stands in messages only. The error is of
// type [Faults] and names everything that is wrong; what is merely odd, unknown
// fields among it, ends up in Warnings.
func Parse(name string, data []byte) (*Registration, error) {
	d := &decoder{r: &Registration{File: name, RateLimited: true, lines: make(map[string]int)}}
	root, err := readDocument(data)
	if err != nil {
		return nil, Faults{yamlFault(name, err)}
	}
	if root = resolve(root); root.Kind != yaml.MappingNode {
		return nil, Faults{{File: name, Line: root.Line, Message: "must be a mapping of names to values"}}
	}
	d.fields(root, "", topFields)
	for _, field := range required {
		if d.r.lines[field] == 0 {
			d.fault(field, "%s", missingField(field))
		}
	}
	faults, warnings := d.r.check()
	for _, fault := range faults {
		// What could not even be read is not judged once more.
		if !d.faulted(fault.Field) {
			d.faults = append(d.faults, fault)
		}
	}
	d.faults.sort()
	d.r.Warnings = append(d.r.Warnings, warnings...)
	d.r.Warnings.sort()
	if len(d.faults) > 0 {
		return nil, d.faults
	}
	return d.r.compiled(), nil
}

// required are the fields that the specification requires. null will do for url.
var required = []string{"id", "url", "as_token", "hs_token", "sender_localpart", "namespaces"}

// readDocument returns the root of the only document in data.
func readDocument(data []byte) (*yaml.Node, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes; a registration needs no hundredth of that", maxFileBytes)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err == io.EOF || err == nil && len(document.Content) == 0 {
		return nil, errors.New("is empty; write a registration into it, or take it away")
	} else if err != nil {
		return nil, noYAML(err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("yaml: line %d: a file holds one registration, and here a second document begins", second.Line)
	} else if err != io.EOF {
		return nil, noYAML(err)
	}
	return document.Content[0], nil
}

// noYAML says what the parser's errors are about, behind the line that they may begin with.
func noYAML(err error) error {
	message := err.Error()
	line := yamlLine.FindString(message)
	return fmt.Errorf("%sis not YAML: %s", line, strings.TrimPrefix(message[len(line):], "yaml: "))
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// yamlFault puts the line that the YAML package tells into its place.
func yamlFault(name string, err error) Fault {
	message := err.Error()
	if match := yamlLine.FindStringSubmatch(message); match != nil {
		line, _ := strconv.Atoi(match[1])
		return Fault{File: name, Line: line, Message: message[len(match[0]):]}
	}
	return Fault{File: name, Message: message}
}

// decoder fills a Registration from a tree of YAML and collects what is wrong.
type decoder struct {
	r      *Registration
	faults Faults
}

func (d *decoder) fault(field, format string, args ...any) {
	d.faults = append(d.faults, d.r.fault(field, fmt.Sprintf(format, args...)))
}

// faulted tells whether a fault is known of a field, or of one that it is in.
func (d *decoder) faulted(field string) bool {
	for _, fault := range d.faults {
		if field == fault.Field || strings.HasPrefix(field, fault.Field+".") {
			return true
		}
	}
	return false
}

// field reads the value of one key. It gets the path of the field for messages.
type field func(d *decoder, path string, value *yaml.Node)

// topFields are the fields of a file.
var topFields = map[string]field{
	"id":               text(func(r *Registration) *string { return &r.ID }),
	"url":              nullable(text(func(r *Registration) *string { return &r.URL })),
	"as_token":         text(func(r *Registration) *string { return &r.ASToken }),
	"hs_token":         text(func(r *Registration) *string { return &r.HSToken }),
	"sender_localpart": text(func(r *Registration) *string { return &r.SenderLocalpart }),
	"namespaces": func(d *decoder, path string, value *yaml.Node) {
		d.fields(value, path+".", namespaceKinds)
	},
	"rate_limited":                       nullable(boolean(func(r *Registration) *bool { return &r.RateLimited })),
	"protocols":                          nullable((*decoder).protocols),
	"receive_ephemeral":                  nullable(ephemeral),
	"push_ephemeral":                     nullable(ephemeral), // of an early draft of MSC2409; hookshot's
	"de.sorunome.msc2409.push_ephemeral": nullable(ephemeral),
	"org.matrix.msc3202":                 nullable(boolean(func(r *Registration) *bool { return &r.MSC3202 })),
	"io.element.msc4190":                 nullable(boolean(func(r *Registration) *bool { return &r.MSC4190 })),
}

var namespaceKinds = map[string]field{
	"users":   nullable(namespaces(func(r *Registration) *[]Namespace { return &r.Namespaces.Users })),
	"aliases": nullable(namespaces(func(r *Registration) *[]Namespace { return &r.Namespaces.Aliases })),
	"rooms":   nullable(namespaces(func(r *Registration) *[]Namespace { return &r.Namespaces.Rooms })),
}

// fields reads a mapping by a table of its keys.
func (d *decoder) fields(node *yaml.Node, prefix string, table map[string]field) {
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		d.mustBe(strings.TrimSuffix(prefix, "."), node, "a mapping of names to values")
		return
	}
	if len(node.Content) > 2*maxFields {
		d.fault(strings.TrimSuffix(prefix, "."), "has more than %d fields", maxFields)
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := resolve(node.Content[i]), resolve(node.Content[i+1])
		path := prefix + key.Value
		if _, twice := d.r.lines[path]; twice {
			d.faults = append(d.faults, Fault{d.r.File, key.Line, path, "is there twice"})
			continue
		}
		d.r.lines[path] = key.Line
		if read, known := table[key.Value]; known {
			read(d, path, value)
		} else {
			d.r.Warnings = append(d.r.Warnings, d.r.fault(path, "is not a field that is known here"))
		}
	}
}

// mustBe reports a value of the wrong kind.
func (d *decoder) mustBe(path string, value *yaml.Node, what string) {
	if _, ok := d.r.lines[path]; !ok {
		d.r.lines[path] = value.Line
	}
	d.fault(path, "must be %s", what)
}

// resolve follows a reference to an anchor.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// nullable leaves the field as it is when its value is null.
func nullable(read field) field {
	return func(d *decoder, path string, value *yaml.Node) {
		if !isNull(value) {
			read(d, path, value)
		}
	}
}

// text reads a string. Numbers are taken as they are written: people have
// tokens of digits.
func text(of func(*Registration) *string) field {
	return func(d *decoder, path string, value *yaml.Node) {
		if value.Kind != yaml.ScalarNode || isNull(value) {
			d.mustBe(path, value, "text")
			return
		}
		*of(d.r) = value.Value
	}
}

func boolean(of func(*Registration) *bool) field {
	return func(d *decoder, path string, value *yaml.Node) { d.flag(path, value, of(d.r)) }
}

func (d *decoder) flag(path string, value *yaml.Node, into *bool) {
	// Decode takes the yes and no of YAML 1.1 too.
	if value.Kind != yaml.ScalarNode || isNull(value) || value.Decode(into) != nil {
		d.mustBe(path, value, "true or false")
	}
}

// ephemeral reads any name of receive_ephemeral: one that is true is enough.
func ephemeral(d *decoder, path string, value *yaml.Node) {
	var set bool
	d.flag(path, value, &set)
	d.r.ReceiveEphemeral = d.r.ReceiveEphemeral || set
}

// items returns the items of a list, with their paths in lines.
func (d *decoder) items(path string, value *yaml.Node, limit int) []*yaml.Node {
	if value.Kind != yaml.SequenceNode {
		d.mustBe(path, value, "a list")
		return nil
	}
	if len(value.Content) > limit {
		d.fault(path, "has more than %d entries", limit)
		return nil
	}
	return value.Content
}

func (d *decoder) protocols(path string, value *yaml.Node) {
	for i, item := range d.items(path, value, maxProtocols) {
		item = resolve(item)
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		d.r.lines[itemPath] = item.Line
		if item.Kind != yaml.ScalarNode || isNull(item) || item.Value == "" {
			d.mustBe(itemPath, item, "text")
			continue
		}
		d.r.Protocols = append(d.r.Protocols, item.Value)
	}
}

func namespaces(of func(*Registration) *[]Namespace) field {
	return func(d *decoder, path string, value *yaml.Node) {
		for i, item := range d.items(path, value, maxNamespaces) {
			itemPath := fmt.Sprintf("%s[%d]", path, i)
			d.r.lines[itemPath] = item.Line
			var n Namespace
			d.fields(item, itemPath+".", namespaceFields(&n))
			for _, name := range []string{"regex", "exclusive"} {
				path := itemPath + "." + name
				if resolve(item).Kind == yaml.MappingNode && d.r.lines[path] == 0 {
					d.r.lines[path] = item.Line
					d.fault(path, "%s", missingField(name))
				}
			}
			*of(d.r) = append(*of(d.r), n)
		}
	}
}

func namespaceFields(n *Namespace) map[string]field {
	return map[string]field{
		"regex":     text(func(*Registration) *string { return &n.Regex }),
		"exclusive": boolean(func(*Registration) *bool { return &n.Exclusive }),
		// Once made every user of the namespace a member of a group, in Synapse.
		"group_id": func(*decoder, string, *yaml.Node) {},
	}
}
