package bridges

import (
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Bounds of the rules of policy rooms.
const (
	// maxPolicyRules is how many rules are followed, of all rooms together.
	maxPolicyRules = 200000
	// maxEntityBytes bounds what a rule is about: no ID is longer. Longer ones match nothing.
	maxEntityBytes = 255
	// maxPolicyReason is how much of a reason is told, in characters.
	maxPolicyReason = 200
	// maxVerdicts is how many users are remembered with what the rules say of them.
	maxVerdicts = 10000
)

// policyKind is what a rule is about.
type policyKind int

const (
	aboutUsers policyKind = iota
	aboutServers
	aboutRooms
	policyKinds
)

// policyTypes are the types of rules: those of the specification, and those by which they were called before. Client-Server API,
// Moderation policy lists.
var policyTypes = map[string]policyKind{
	event.StatePolicyUser.Type: aboutUsers, event.StateLegacyPolicyUser.Type: aboutUsers, event.StateUnstablePolicyUser.Type: aboutUsers,
	event.StatePolicyServer.Type: aboutServers, event.StateLegacyPolicyServer.Type: aboutServers, event.StateUnstablePolicyServer.Type: aboutServers,
	event.StatePolicyRoom.Type: aboutRooms, event.StateLegacyPolicyRoom.Type: aboutRooms, event.StateUnstablePolicyRoom.Type: aboutRooms,
}

// policyRule is a rule that bans whom its entity matches.
type policyRule struct {
	kind   policyKind
	entity string
	reason string
}

// readPolicy reads a rule; false for one that bans nobody: it was taken back, recommends something else, or is broken.
func readPolicy(eventType string, content map[string]any) (policyRule, bool) {
	kind, ok := policyTypes[eventType]
	entity, _ := content["entity"].(string)
	recommended, _ := content["recommendation"].(string)
	reason, _ := content["reason"].(string)
	isBan := recommended == string(event.PolicyRecommendationBan) || recommended == string(event.PolicyRecommendationUnstableBan)
	if !ok || !isBan || entity == "" || len(entity) > maxEntityBytes {
		return policyRule{}, false
	}
	return policyRule{kind, entity, shortReason(reason)}, true
}

// shortReason is a reason on one line, of bounded length.
func shortReason(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxPolicyReason {
		return string(runes[:maxPolicyReason-1]) + "…"
	}
	return text
}

// globRule is a rule with wildcards.
type globRule struct {
	pattern []rune
	reason  string
}

// ruleSet are the rules of all policy rooms together. It does not change.
type ruleSet struct {
	exact [policyKinds]map[string]string // reasons by entity
	globs [policyKinds][]globRule
	// aboutAliases says that some rule may be about a room by an alias.
	aboutAliases bool

	mu    sync.Mutex // guards known
	known map[id.UserID]verdict
}

// verdict is what rules say of a user.
type verdict struct {
	reason string
	banned bool
}

// newRuleSet puts lists together, and reports false when there are more rules than are followed.
func newRuleSet(lists map[id.RoomID]map[[2]string]policyRule) (s *ruleSet, whole bool) {
	s = &ruleSet{known: map[id.UserID]verdict{}}
	for kind := range s.exact {
		s.exact[kind] = map[string]string{}
	}
	count := 0
	for _, room := range slices.Sorted(maps.Keys(lists)) {
		for _, rule := range lists[room] {
			if count++; count > maxPolicyRules {
				return s, false
			}
			s.aboutAliases = s.aboutAliases || rule.kind == aboutRooms && !strings.HasPrefix(rule.entity, "!")
			if strings.ContainsAny(rule.entity, "*?") {
				s.globs[rule.kind] = append(s.globs[rule.kind], globRule{[]rune(rule.entity), rule.reason})
				continue
			}
			if before, there := s.exact[rule.kind][rule.entity]; !there || before == "" {
				s.exact[rule.kind][rule.entity] = rule.reason
			}
		}
	}
	return s, true
}

// find looks for a rule about something.
func (s *ruleSet) find(kind policyKind, name string) (reason string, banned bool) {
	if reason, banned := s.exact[kind][name]; banned {
		return reason, true
	}
	if len(s.globs[kind]) == 0 {
		return "", false
	}
	text := []rune(name)
	for _, g := range s.globs[kind] {
		if matchesGlob(g.pattern, text) {
			return g.reason, true
		}
	}
	return "", false
}

// room looks for a rule about a room, by its ID or an alias.
func (s *ruleSet) room(name string) (reason string, banned bool) { return s.find(aboutRooms, name) }

// user looks for a rule about a user or their server, whose port may be left out in a rule.
func (s *ruleSet) user(user id.UserID) (reason string, banned bool) {
	s.mu.Lock()
	v, known := s.known[user]
	s.mu.Unlock()
	if known {
		return v.reason, v.banned
	}
	v.reason, v.banned = s.find(aboutUsers, string(user))
	if _, server, ok := strings.Cut(string(user), ":"); ok && !v.banned {
		if v.reason, v.banned = s.find(aboutServers, server); !v.banned {
			if host, _, err := net.SplitHostPort(server); err == nil {
				v.reason, v.banned = s.find(aboutServers, host)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxVerdicts {
		clear(s.known)
	}
	s.known[user] = v
	return v.reason, v.banned
}

// matchesGlob reports whether all of a text matches a pattern, in which * stands for any characters and ? for one.
// Appendices, Glob-style matching. It goes back to the last star alone, so that it takes no more steps than the product of both lengths.
func matchesGlob(pattern, text []rune) bool {
	p, star, mark := 0, -1, 0
	for t := 0; t < len(text); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
