package builder

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Connector is a connector to put in, as the person who builds names it.
type Connector struct {
	ID          string // of the bridge, and its section of the configuration
	Path        string // of its module, or of its package
	Type        string // "" to look for it
	Version     string // "" for the latest
	Replacement string // a folder, or MODULE@VERSION, to take in the module's place
}

var (
	connectorType = regexp.MustCompile(`^(.+)\.([A-Z]\w*)$`)
	connectorID   = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)
	majorVersion  = regexp.MustCompile(`^v[0-9]+$`)
	notOfID       = regexp.MustCompile(`[^a-z0-9]+`)
)

// taken are the IDs of Causeway's own networks.
var taken = map[string]bool{"irc": true, "xmpp": true, "email": true}

// ParseConnector reads [ID:]MODULE[/PACKAGE][.Type][@VERSION][=REPLACEMENT]. The ID is by default the last word of the
// module's path, without "mautrix-".
func ParseConnector(text string) (Connector, error) {
	var c Connector
	rest, replacement, replaced := strings.Cut(text, "=")
	c.Replacement = replacement
	if replaced && replacement == "" {
		return c, fmt.Errorf("%q: what is to replace the module must follow the =", text)
	}
	rest, version, versioned := strings.Cut(rest, "@")
	c.Version = version
	if versioned && version == "" {
		return c, fmt.Errorf("%q: a version must follow the @", text)
	}
	if id, of, found := strings.Cut(rest, ":"); found {
		c.ID, rest = id, of
	}
	c.Path = rest
	if m := connectorType.FindStringSubmatch(rest); m != nil {
		c.Path, c.Type = m[1], m[2]
	}
	if c.Path == "" || strings.HasPrefix(c.Path, "-") || strings.HasPrefix(c.Path, ".") || path.IsAbs(c.Path) || path.Clean(c.Path) != c.Path {
		return c, fmt.Errorf("%q must begin with the path of a Go module, such as example.org/connector", text)
	}
	if c.ID == "" {
		c.ID = defaultID(c.Path)
	}
	switch {
	case !connectorID.MatchString(c.ID):
		return c, fmt.Errorf("%q: the network's name %q must match %s; put another before the path: NAME:%s", text, c.ID, connectorID, c.Path)
	case taken[c.ID]:
		return c, fmt.Errorf("%q: Causeway has a network %s of its own; put another name before the path: NAME:%s", text, c.ID, c.Path)
	}
	return c, nil
}

// defaultID makes an ID of a path: the first word from its end that says what the network is.
func defaultID(module string) string {
	elements := strings.Split(module, "/")
	for i := len(elements) - 1; i >= 0; i-- {
		switch element := elements[i]; {
		case majorVersion.MatchString(element), element == "connector", element == "pkg":
		default:
			element = strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(element), "mautrix-"), "matrix-")
			return notOfID.ReplaceAllString(element, "")
		}
	}
	return ""
}
