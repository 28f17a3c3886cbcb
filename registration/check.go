package registration

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// minTokenBytes is the length below which a token is warned of as guessable.
const minTokenBytes = 16

// maxIDBytes bounds an id, and is the specification's limit on user ids.
const maxIDBytes = 255

// check returns what is wrong and what is odd with r alone, by field.
func (r *Registration) check() (faults, warnings Faults) {
	c := &checker{r: r}
	c.id()
	c.url()
	c.token("as_token", r.ASToken)
	c.token("hs_token", r.HSToken)
	if r.ASToken != "" && r.ASToken == r.HSToken {
		c.warn("hs_token", "is the same as as_token; either side can then pose as the other")
	}
	c.sender()
	c.namespaces("users", r.Namespaces.Users)
	c.namespaces("aliases", r.Namespaces.Aliases)
	c.namespaces("rooms", r.Namespaces.Rooms)
	return c.faults, c.warnings
}

// hints say what to write where a field is missing.
var hints = map[string]string{
	"id":               "a name that never changes, such as mybot",
	"url":              "where the service listens, such as http://127.0.0.1:9000, or null for no traffic",
	"as_token":         "a long random text; causeway registration generate makes one",
	"hs_token":         "a long random text; causeway registration generate makes one",
	"sender_localpart": "the name of the service's own user without @ and server, such as mybot",
	"namespaces":       "users, aliases and rooms, each a list that may be []",
	"regex":            "an expression, such as '@mybot_.*'",
	"exclusive":        "true if nobody else may have such names, else false",
}

func missingField(field string) string { return "is missing; write " + hints[field] }

type checker struct {
	r                *Registration
	faults, warnings Faults
}

func (c *checker) fault(field, format string, args ...any) {
	c.faults = append(c.faults, c.r.fault(field, fmt.Sprintf(format, args...)))
}

func (c *checker) warn(field, format string, args ...any) {
	c.warnings = append(c.warnings, c.r.fault(field, fmt.Sprintf(format, args...)))
}

func (c *checker) id() {
	switch {
	case strings.TrimSpace(c.r.ID) == "":
		c.fault("id", "%s", missingField("id"))
	case len(c.r.ID) > maxIDBytes:
		c.fault("id", "is longer than %d bytes; shorten it", maxIDBytes)
	case strings.ContainsFunc(c.r.ID, func(r rune) bool { return r < ' ' || r == 0x7f }):
		c.fault("id", "holds control characters; take them out")
	}
}

// token wants what fits into an Authorization header (RFC 6750, section 2.1,
// but with any visible character).
func (c *checker) token(field, token string) {
	switch {
	case token == "":
		c.fault(field, "%s", missingField(field))
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		c.fault(field, "must consist of visible ASCII characters, without spaces")
	case len(token) < minTokenBytes:
		c.warn(field, "is shorter than %d characters and may be guessed", minTokenBytes)
	}
}

func (c *checker) url() {
	if c.r.URL == "" {
		return
	}
	u, err := url.Parse(c.r.URL)
	switch {
	case err != nil:
		c.fault("url", "is not a URL")
	case u.Scheme == "unix":
		if u.Host != "" || !path.IsAbs(u.Path) {
			c.fault("url", "must hold the absolute path of a socket, as in unix:///run/bridge.sock")
		}
	case u.Scheme != "http" && u.Scheme != "https":
		c.fault("url", "must begin with http://, https:// or unix:, or be null for no traffic")
	case u.Hostname() == "":
		c.fault("url", "has no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.fault("url", "must have no user, query or fragment, as paths are put behind it")
	}
}

// sender follows the grammar of localparts (Appendices, User Identifiers), but
// takes capitals, which historical user ids may have: mautrix bridges make up such
// senders, which nobody ever sees.
func (c *checker) sender() {
	localpart := c.r.SenderLocalpart
	switch {
	case localpart == "":
		c.fault("sender_localpart", "%s", missingField("sender_localpart"))
	case localpart[0] == '@' || strings.Contains(localpart, ":"):
		c.fault("sender_localpart", "must be what stands between @ and : in the user's id, such as bot")
	case strings.Trim(localpart, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=-/+") != "":
		c.fault("sender_localpart", "may hold only letters a-z, digits and . _ = - / +")
	case len(localpart) > maxIDBytes-len("@:a"):
		c.fault("sender_localpart", "is too long for a user id of %d bytes", maxIDBytes)
	}
}

func (c *checker) namespaces(kind string, namespaces []Namespace) {
	for i, n := range namespaces {
		field := fmt.Sprintf("namespaces.%s[%d].regex", kind, i)
		if n.Regex == "" {
			c.fault(field, "%s", missingField("regex"))
			continue
		}
		tree, err := parseExpression(n.Regex)
		if err == nil {
			_, err = compile(n.Regex)
		}
		if err != nil {
			c.fault(field, "%s", err)
			continue
		}
		if result := overlap(grammars[kind], automaton{tree: tree, open: true}); result.decided && !result.found {
			c.warn(field, "matches nothing, as %s look like %s", kind, examples[kind])
		}
	}
}

var examples = map[string]string{
	"users": "@name:server", "aliases": "#name:server", "rooms": "!id",
}

// sort puts faults into the order of lines.
func (f Faults) sort() {
	slices.SortStableFunc(f, func(a, b Fault) int { return a.Line - b.Line })
}
