package eventauth

import (
	"encoding/json"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestPermitInvite(t *testing.T) {
	const bob, eve = "@bob:good.org", "@eve:bad.org:8448"
	for _, test := range []struct {
		name, content string
		bob, eve      InvitePermission
	}{
		{"nothing", ``, InviteAllowed, InviteAllowed},
		{"no JSON", `{`, InviteAllowed, InviteAllowed},
		{"an array", `[]`, InviteAllowed, InviteAllowed},
		{"empty", `{}`, InviteAllowed, InviteAllowed},
		{"default", `{"default_action":"block"}`, InviteBlocked, InviteBlocked},
		{"another default", `{"default_action":"allow"}`, InviteAllowed, InviteAllowed},
		{"a default of the wrong type", `{"default_action":["block"]}`, InviteAllowed, InviteAllowed},
		{"switched off", `{"enabled":false,"default_action":"block"}`, InviteAllowed, InviteAllowed},
		{"a user is blocked", `{"blocked_users":["@bob:good.org"]}`, InviteBlocked, InviteAllowed},
		{"a user is ignored", `{"ignored_users":["@bob:good.org"]}`, InviteIgnored, InviteAllowed},
		{"a server, by its name without the port", `{"blocked_servers":["bad.org"]}`, InviteAllowed, InviteBlocked},
		{"a server is ignored", `{"ignored_servers":["bad.org"]}`, InviteAllowed, InviteIgnored},
		{"globs", `{"blocked_servers":["*d.or?"]}`, InviteBlocked, InviteBlocked},
		{"a glob of users", `{"blocked_users":["@e?*:bad*"]}`, InviteAllowed, InviteBlocked},
		{"allowed users come first", `{"allowed_users":["@bob:*"],"ignored_users":["*"],"blocked_users":["*"],"blocked_servers":["*"]}`, InviteAllowed, InviteIgnored},
		{"users before servers", `{"blocked_users":["@bob:good.org"],"allowed_servers":["good.org"],"blocked_servers":["*"]}`, InviteBlocked, InviteBlocked},
		{"allowed servers before blocked ones", `{"allowed_servers":["good.org"],"blocked_servers":["*"]}`, InviteAllowed, InviteBlocked},
		{"allowed against the default", `{"allowed_servers":["good.org"],"default_action":"block"}`, InviteAllowed, InviteBlocked},
		{"null and wrong types", `{"allowed_users":null,"blocked_users":7,"ignored_users":[7,"",null],"blocked_servers":{"x":1}}`, InviteAllowed, InviteAllowed},
		{"one of the wrong type", `{"blocked_users":[7,"@bob:good.org"]}`, InviteBlocked, InviteAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			for sender, want := range map[id.UserID]InvitePermission{bob: test.bob, eve: test.eve} {
				if got := PermitInvite(json.RawMessage(test.content), sender); got != want {
					t.Errorf("%s: got %d, want %d", sender, got, want)
				}
			}
		})
	}
}

func FuzzPermitInvite(f *testing.F) {
	f.Add(`{"blocked_users":["@*"],"default_action":"block"}`, "@a:b")
	f.Add(`{"allowed_servers":["*?*?*?"]}`, "@a:[::1]:80")
	f.Fuzz(func(t *testing.T, content, sender string) {
		PermitInvite(json.RawMessage(content), id.UserID(sender))
	})
}
