package bridges

import (
	"regexp"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

// What a rule is about, and whether it bans. Client-Server API, Moderation policy lists.
func TestPolicyRules(t *testing.T) {
	ban := func(entity string) map[string]any {
		return map[string]any{"entity": entity, "recommendation": "m.ban", "reason": "spam"}
	}
	long := strings.Repeat("a", maxEntityBytes)
	for _, test := range []struct {
		name, eventType string
		content         map[string]any
		user            id.UserID
		room            string
		out             bool
	}{
		{"user", "m.policy.rule.user", ban("@a:x.org"), "@a:x.org", "", true},
		{"another", "m.policy.rule.user", ban("@a:x.org"), "@a:x.orga", "", false},
		{"wildcard", "m.policy.rule.user", ban("@spam*:x.org"), "@spammer:x.org", "", true},
		{"characters", "m.policy.rule.user", ban("@a??:x.org"), "@aüü:x.org", "", true},
		{"too few characters", "m.policy.rule.user", ban("@a??:x.org"), "@ab:x.org", "", false},
		{"no expression", "m.policy.rule.user", ban("@[ab].*:x.org"), "@a:x.org", "", false},
		{"mjolnir's type", "org.matrix.mjolnir.rule.user", ban("@a:x.org"), "@a:x.org", "", true},
		{"the type of before", "m.room.rule.user", ban("@a:x.org"), "@a:x.org", "", true},
		{"mjolnir's word", "org.matrix.mjolnir.rule.user", map[string]any{"entity": "@a:x.org", "recommendation": "org.matrix.mjolnir.ban"}, "@a:x.org", "", true},
		{"another word", "m.policy.rule.user", map[string]any{"entity": "@a:x.org", "recommendation": "m.mute"}, "@a:x.org", "", false},
		{"taken back", "m.policy.rule.user", map[string]any{}, "@a:x.org", "", false},
		{"no entity", "m.policy.rule.user", ban(""), "@a:x.org", "", false},
		{"no text", "m.policy.rule.user", map[string]any{"entity": 1, "recommendation": "m.ban"}, "@a:x.org", "", false},
		{"too long", "m.policy.rule.user", ban(long + "*"), id.UserID(long + "a"), "", false},
		{"server", "m.policy.rule.server", ban("x.org"), "@a:x.org", "", true},
		{"server below", "m.policy.rule.server", ban("*.x.org"), "@a:b.x.org", "", true},
		{"server and not below", "m.policy.rule.server", ban("*.x.org"), "@a:x.org", "", false},
		{"server with a port", "m.policy.rule.server", ban("x.org"), "@a:x.org:8448", "", true},
		{"that port", "m.policy.rule.server", ban("x.org:8448"), "@a:x.org:8448", "", true},
		{"IPv6", "m.policy.rule.server", ban("[::1]"), "@a:[::1]", "", true},
		{"server is no user", "m.policy.rule.server", ban("@a:x.org"), "@a:x.org", "", false},
		{"user is no server", "m.policy.rule.user", ban("x.org"), "@a:x.org", "", false},
		{"room", "m.policy.rule.room", ban("!r:x.org"), "", "!r:x.org", true},
		{"alias", "org.matrix.mjolnir.rule.room", ban("#r*:x.org"), "", "#room:x.org", true},
		{"another room", "m.policy.rule.room", ban("!r:x.org"), "", "!s:x.org", false},
		{"another type", "m.room.topic", ban("@a:x.org"), "@a:x.org", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := map[[2]string]policyRule{}
			if rule, ok := readPolicy(test.eventType, test.content); ok {
				list[[2]string{test.eventType, "key"}] = rule
			}
			rules, whole := newRuleSet(map[id.RoomID]map[[2]string]policyRule{"!p": list})
			for range 2 { // the second time from memory
				_, out := rules.user(test.user)
				if test.room != "" {
					_, out = rules.room(test.room)
				}
				if out != test.out || !whole {
					t.Errorf("got %v, want %v", out, test.out)
				}
			}
		})
	}
}

// A reason is told on one line, and not at any length.
func TestPolicyReason(t *testing.T) {
	if got := shortReason(" a\r\nQUIT\t:b "); got != "a QUIT :b" {
		t.Errorf("got %q", got)
	}
	if got := []rune(shortReason(strings.Repeat("ü", 500))); len(got) != maxPolicyReason {
		t.Errorf("got %d characters", len(got))
	}
}

// FuzzGlob compares with an expression that means the same.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b?c", "axxbyc"}, {"**a", "bba"}, {"?*?", "a"}, {"*ab*ab", "abaab"}, {"[a]", "a"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > maxEntityBytes || len(text) > maxEntityBytes {
			return
		}
		pattern, text = strings.ToValidUTF8(pattern, "?"), strings.ToValidUTF8(text, "x")
		same := strings.NewReplacer(`\*`, "(?s:.*)", `\?`, "(?s:.)").Replace(regexp.QuoteMeta(pattern))
		if want := regexp.MustCompile(`\A` + same + `\z`).MatchString(text); matchesGlob([]rune(pattern), []rune(text)) != want {
			t.Errorf("%q matches %q: want %v", pattern, text, want)
		}
	})
}

func TestPolicyRoomsConfig(t *testing.T) {
	for _, test := range []struct {
		room string
		good bool
	}{
		{"!abc:x.org", true}, {"!room-of-version-12", true}, {"#bans:x.org", true},
		{"", false}, {"!", false}, {"#bans", false}, {"@a:x.org", false}, {"#a b:x.org", false}, {"!" + strings.Repeat("a", maxFieldBytes), false},
	} {
		if err := (PolicyRooms{test.room}).Validate(); (err == nil) != test.good {
			t.Errorf("%q: got %v", test.room, err)
		}
	}
	if (make(PolicyRooms, maxPolicyRooms+1)).Validate() == nil {
		t.Error("any number of rooms is taken")
	}
}
