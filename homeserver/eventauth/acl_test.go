package eventauth

import (
	"path"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/event"
)

// Client-Server API, m.room.server_acl.
func TestServerAllowed(t *testing.T) {
	r := newRoom(t, "12", "")
	for _, tc := range []struct {
		name, acl string
		allowed   string
		denied    string
	}{
		{"everyone", `{"allow":["*"]}`, "a.org A.ORG evil.com:8448 1.2.3.4 [::1] [::1]:8448", ""},
		{
			"the specification's example", `{"allow":["*"],"allow_ip_literals":false,"deny":["*.evil.com","evil.com"]}`,
			"good.com notevil.com evil.com.org good.com:8448", "evil.com evil.com:8448 evil.com:1234 a.evil.com a.b.evil.com EVIL.com 1.2.3.4 1.2.3.4:80 [1234::abcd] [::1]:8448",
		},
		{"empty", `{}`, "", "a.org here 1.2.3.4"},
		{"nobody is listed", `{"allow":[]}`, "", "a.org here"},
		{"deny alone", `{"deny":["evil.com"]}`, "", "evil.com a.org"},
		{"deny is above allow", `{"allow":["a.org","b.org"],"deny":["a.org"]}`, "b.org", "a.org c.org"},
		{"letters of any case", `{"allow":["A.Org"],"deny":["*.EVIL.A.org"]}`, "a.org A.ORG", "x.evil.a.org"},
		{"IP literals by default", `{"allow":["*"],"allow_ip_literals":true}`, "1.2.3.4 [::1]", ""},
		{"IP literals, when that is no boolean", `{"allow":["*"],"allow_ip_literals":"false"}`, "1.2.3.4 [::1]", ""},
		{"IP literals, when that is null", `{"allow":["*"],"allow_ip_literals":null}`, "1.2.3.4", ""},
		{"what is an IP literal", `{"allow":["*"],"allow_ip_literals":false}`, "1.2.3 1.2.3.4.5 a.2.3.4 1.2.3.1234 localhost", "0.0.0.0 01.2.3.4 999.1.1.1 [::ffff:1.2.3.4]:1"},
		{"an IP literal by name", `{"allow":["1.2.3.*","[::1]"]}`, "1.2.3.4 1.2.3.200:99 [::1]:1", "1.2.4.4 [::2]"},
		{"question marks", `{"allow":["a?.org"]}`, "ab.org a1.org", "a.org abc.org"},
		{"stars", `{"allow":["*a*b*"]}`, "ab xaxbx a.b ab.ab", "ba b a"},
		{"patterns match the whole", `{"allow":["a.org"]}`, "a.org", "xa.org a.orgx a.org.x"},
		{"a port in a pattern", `{"allow":["a.org:8448"]}`, "", "a.org a.org:8448"},
		{"no other wildcards", `{"allow":["[ab].org","a.+"]}`, "", "a.org b.org"},
		{"allow is no list", `{"allow":"*"}`, "", "a.org"},
		{"deny is no list", `{"allow":["*"],"deny":"*"}`, "a.org", ""},
		{"entries that are no strings", `{"allow":[1,null,["*"],{"a":"*"},"a.org"],"deny":[2,"b.org"]}`, "a.org", "b.org c.org"},
		{"empty patterns", `{"allow":["","a.org"]}`, "a.org", "b.org"},
		{"names that are none", `{"allow":["*"]}`, "", "a_b a.org:port a.org: [::1 a/b"},
		{"an absurd pattern", `{"allow":["` + strings.Repeat("x", 400) + `","a.org"]}`, "a.org", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			acl := r.build(ev{"@creator:here", event.TypeServerACL, "", tc.acl}, nil)
			for _, server := range strings.Fields(tc.allowed) {
				if !ServerAllowed(acl, server) {
					t.Errorf("%s is denied", server)
				}
			}
			for _, server := range append(strings.Fields(tc.denied), "") {
				if ServerAllowed(acl, server) {
					t.Errorf("%q is allowed", server)
				}
			}
		})
	}
	for _, server := range []string{"a.org", "1.2.3.4", ""} {
		if !ServerAllowed(nil, server) {
			t.Errorf("without an ACL: %q is denied", server)
		}
	}
	if ServerAllowed(r.create, "here") {
		t.Error("an event that is no ACL allows a server")
	}
}

// A pattern as bad as an event has room for takes no time to speak of.
func TestGlobIsBounded(t *testing.T) {
	host := strings.Repeat("a", 254) + "b"
	acl := `{"allow":["` + strings.Repeat(strings.Repeat("*a", 120)+`c","`, 240) + `"]}`
	p := newRoom(t, "12", "").build(ev{"@creator:here", event.TypeServerACL, "", acl}, nil)
	start := time.Now()
	if ServerAllowed(p, host) {
		t.Error("it matches")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// FuzzServerAllowed compares our globs with the standard library's, on patterns that mean the same to both, and checks that nothing
// breaks on others.
func FuzzServerAllowed(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", "a.org"}, {"*.evil.com", "x.evil.com:8448"}, {"a?c", "abc"}, {"*a*b", "aab"}, {"**", ""}, {"", "a"}, {"[::1]", "[::1]"}, {"é*", "a"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, server string) {
		for _, acl := range []string{`{"allow":[` + pattern + `]}`, `{"deny":` + pattern + `,"allow":["*"]}`, pattern} {
			if p := newACL(acl); p != nil {
				ServerAllowed(p, server)
			}
		}
		if strings.ContainsAny(pattern, `[]\/`) || strings.ContainsRune(server, '/') || !ascii(server) || !ascii(pattern) {
			return
		}
		want, err := path.Match(pattern, server)
		if got := glob(pattern, server); err == nil && got != want {
			t.Fatalf("%q on %q: got %v, want %v", pattern, server, got, want)
		}
	})
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// newACL returns an m.room.server_acl with the content, or nil when it cannot have that.
func newACL(content string) *event.PDU {
	v, err := event.LookupVersion("12")
	if err != nil {
		return nil
	}
	obj, err := v.Canonical([]byte(content))
	if err != nil || obj[0] != '{' {
		return nil
	}
	return &event.PDU{Version: v, Type: event.TypeServerACL, Content: obj}
}
