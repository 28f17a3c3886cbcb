package bridges

import (
	"strings"
	"testing"

	"go.mau.fi/util/configupgrade"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2"
)

// configured is a network with a configuration, as bridgev2's connectors have it.
type configured struct {
	*loopNetwork
	Config struct {
		Name   string `yaml:"name"`
		Limits struct {
			Lines int `yaml:"lines"`
		} `yaml:"limits"`
	}
	noUpgrader bool
}

func (c *configured) GetConfig() (string, any, configupgrade.Upgrader) {
	upgrader := configupgrade.Upgrader(configupgrade.SimpleUpgrader(func(helper configupgrade.Helper) {
		helper.Copy(configupgrade.Str, "name")
		helper.Copy(configupgrade.Int, "limits", "lines")
	}))
	if c.noUpgrader {
		upgrader = nil
	}
	return "# What it is called.\nname: example\nlimits:\n    lines: 7\n", &c.Config, upgrader
}

func (c *configured) ValidateConfig() error {
	if c.Config.Name == "bad" {
		return ConfigFaults{{Text: "the name is bad"}}
	}
	return nil
}

func TestNetworkConfig(t *testing.T) {
	for _, test := range []struct {
		name, section string
		noUpgrader    bool
		wantName      string
		wantLines     int
		wantLine      int    // of the first fault
		want          string // in the error
	}{
		{name: "nothing", wantName: "example", wantLines: 7},
		{name: "empty", section: "network:", wantName: "example", wantLines: 7},
		{name: "one key", section: "network:\n  name: mine", wantName: "mine", wantLines: 7},
		{name: "nested", section: "network:\n  limits:\n    lines: 9", wantName: "example", wantLines: 9},
		{name: "no upgrader", section: "network:\n  limits:\n    lines: 9", noUpgrader: true, wantName: "example", wantLines: 9},
		{name: "wrong type", section: "network:\n  name: mine\n  limits:\n    lines: many", wantLine: 4, want: "limits.lines: "},
		{name: "wrong type, no upgrader", section: "network:\n  limits:\n    lines: many", noUpgrader: true, wantLine: 3, want: "limits.lines: "},
		{name: "unknown key", section: "network:\n  limits:\n    line: 9", wantLine: 3, want: "limits.line: is not a known key"},
		{name: "a list", section: "network: [1]", wantLine: 1, want: "must be a section"},
		{name: "invalid", section: "network:\n  name: bad", want: "the name is bad"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var file struct{ Network yaml.Node }
			if err := yaml.Unmarshal([]byte(test.section), &file); err != nil {
				t.Fatal(err)
			}
			section := &file.Network
			if section.Kind == 0 {
				section = nil
			}
			network := Network{ID: "x", New: func() bridgev2.NetworkConnector {
				return &configured{loopNetwork: newLoopNetwork(), noUpgrader: test.noUpgrader}
			}}
			connector, err := network.Connect(section)
			if test.want != "" {
				faults, ok := err.(ConfigFaults)
				if !ok || !strings.Contains(err.Error(), test.want) || faults[0].Line != test.wantLine {
					t.Errorf("got %#v, want one at line %d with %q", err, test.wantLine, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := connector.(*configured).Config
			if got.Name != test.wantName || got.Limits.Lines != test.wantLines {
				t.Errorf("got %+v, want %s and %d", got, test.wantName, test.wantLines)
			}
		})
	}
}
