package event

import "strings"

// ServerACL is what an m.room.server_acl event says. What is malformed counts as absent. Client-Server API, m.room.server_acl.
type ServerACL struct {
	DenyIPLiterals bool
	// Allow and Deny are glob patterns, with ASCII letters in lower case.
	Allow, Deny []string
}

// ServerACL returns what an m.room.server_acl event says, nil for other types. It must not be changed.
func (p *PDU) ServerACL() *ServerACL { return p.views().acl }

func parseServerACL(content []byte) *ServerACL {
	return &ServerACL{
		DenyIPLiterals: string(Field(content, "allow_ip_literals")) == "false",
		Allow:          parsePatterns(Field(content, "allow")),
		Deny:           parsePatterns(Field(content, "deny")),
	}
}

// parsePatterns reads an array of patterns. Those that nothing could match, for being longer than any server name without their
// wildcards, are left out.
func parsePatterns(list []byte) []string {
	if !isArray(list) {
		return nil
	}
	var patterns []string
	for e := range Elements(list) {
		pattern, ok := Text(e)
		if ok && len(pattern)-strings.Count(pattern, "*") <= maxServerNameBytes {
			patterns = append(patterns, strings.Map(lowerASCII, pattern))
		}
	}
	return patterns
}

// lowerASCII maps the letters of server names, which have no others.
func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
