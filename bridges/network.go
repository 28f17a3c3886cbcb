package bridges

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.mau.fi/util/configupgrade"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2"
)

// Network is a network of bridgev2 that a binary holds, whoever wrote it. It becomes a bridge where the configuration enables it.
type Network struct {
	// ID names the bridge as Options.ID does, and its section of the configuration.
	ID string
	// New makes the connector. It is called more than once: the configuration is checked with one of its own.
	New func() bridgev2.NetworkConnector
	// ConfigExample is an example of the network's section, by default the connector's own.
	ConfigExample string
	// Licence is that of the connector's module, as SPDX calls it; "" where it is not known.
	Licence string
}

// Example is the annotated example of the network's section.
func (n Network) Example() string {
	if n.ConfigExample != "" {
		return n.ConfigExample
	}
	example, _, _ := n.New().GetConfig()
	return example
}

// ConfigFault is something that is wrong with a network's section.
type ConfigFault struct {
	Line int    // in the file that the section is from; 0 when not known
	Key  string // below the section, with dots; "" for the section itself
	Text string
}

// ConfigFaults are all that were found.
type ConfigFaults []ConfigFault

// Error is the faults, one a line.
func (f ConfigFaults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = strings.TrimPrefix(fault.Key+": "+fault.Text, ": ")
	}
	return strings.Join(lines, "\n")
}

// Connect makes the network's connector and gives it its section of the configuration, nil for an empty one. It does
// with it what bridgev2's own main program does: what the section leaves out is as in the connector's example, and
// what an older version of the connector called otherwise is renamed. Errors are ConfigFaults.
func (n Network) Connect(section *yaml.Node) (bridgev2.NetworkConnector, error) {
	connector := n.New()
	example, target, upgrader := connector.GetConfig()
	if section != nil && section.ShortTag() == "!!null" {
		section = nil
	}
	if section != nil && section.Kind != yaml.MappingNode {
		return nil, ConfigFaults{{Line: section.Line, Text: "must be a section with keys of its own"}}
	}
	if section != nil && target == nil && len(section.Content) > 0 {
		return nil, ConfigFaults{{Line: section.Line, Text: "must be empty: this network has nothing to configure"}}
	}
	if target != nil {
		if err := fill(target, example, section, upgrader); err != nil {
			return nil, err
		}
	}
	if validating, ok := connector.(bridgev2.ConfigValidatingNetwork); ok {
		if err := validating.ValidateConfig(); err != nil {
			return nil, ConfigFaults{{Text: err.Error()}}
		}
	}
	return connector, nil
}

// fill decodes the example with what the section says in its place.
func fill(target any, example string, section *yaml.Node, upgrader configupgrade.Upgrader) error {
	var base yaml.Node
	if err := yaml.Unmarshal([]byte(example), &base); err != nil {
		return fmt.Errorf("parse the connector's example configuration: %w", err)
	}
	if base.Kind == 0 { // an example without a value
		base = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Tag: "!!map"}}}
	}
	if section == nil {
		return faultsOf(base.Decode(target), nil)
	}
	if upgrader == nil || upgrader == configupgrade.NoopUpgrader {
		// Nothing says how the two are put together: what the section has comes over the example.
		if err := base.Decode(target); err != nil {
			return faultsOf(err, nil)
		}
		return faultsOf(section.Decode(target), section)
	}
	// Types first, where lines are those of the person's own file.
	if err := faultsOf(section.Decode(target), section); err != nil {
		return err
	}
	document := yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{section}}
	upgrader.DoUpgrade(configupgrade.NewHelper(&base, &document))
	if faults := leftOut(section, base.Content[0], ""); len(faults) > 0 {
		return faults
	}
	return faultsOf(base.Decode(target), nil)
}

// leftOut names the keys of a section that the connector did not take over: it does not know them.
func leftOut(section, taken *yaml.Node, below string) ConfigFaults {
	if section.Kind != yaml.MappingNode || taken.Kind != yaml.MappingNode {
		return nil
	}
	var faults ConfigFaults
	for i := 0; i+1 < len(section.Content); i += 2 {
		name := section.Content[i]
		key := strings.TrimPrefix(below+"."+name.Value, ".")
		at := slices.IndexFunc(taken.Content, func(n *yaml.Node) bool { return n.Value == name.Value })
		if at < 0 || at%2 != 0 {
			faults = append(faults, ConfigFault{name.Line, key, "is not a known key of this network"})
			continue
		}
		faults = append(faults, leftOut(section.Content[i+1], taken.Content[at+1], key)...)
	}
	return faults
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// faultsOf finds the places in an error of the YAML library. Lines count only where they are those of the section.
func faultsOf(err error, section *yaml.Node) error {
	if err == nil {
		return nil
	}
	texts := []string{err.Error()}
	if typeError, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = typeError.Errors
	}
	var faults ConfigFaults
	for _, text := range texts {
		fault := ConfigFault{Text: strings.TrimPrefix(text, "yaml: ")}
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			fault.Text = m[2]
			if section != nil {
				fault.Line, _ = strconv.Atoi(m[1])
				fault.Key = keyAt(section, fault.Line)
			}
		}
		faults = append(faults, fault)
	}
	return faults
}

// keyAt is the key that is written on a line, "" when there is none.
func keyAt(section *yaml.Node, line int) string {
	if section.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(section.Content); i += 2 {
		name, value := section.Content[i], section.Content[i+1]
		if inner := keyAt(value, line); inner != "" {
			return name.Value + "." + inner
		}
		if name.Line == line || value.Line == line {
			return name.Value
		}
	}
	return ""
}
