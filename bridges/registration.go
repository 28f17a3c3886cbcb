package bridges

import (
	"regexp"

	"maunium.net/go/mautrix/appservice"
)

// makeRegistration describes the bridge to the homeserver. All ghosts and aliases are ours alone.
func (b *Bridge) makeRegistration(t tokens) (*appservice.Registration, error) {
	server := regexp.QuoteMeta(b.opts.ServerName)
	limited := false
	reg := &appservice.Registration{
		ID: b.opts.ID, URL: b.opts.URL, AppToken: t.AS, ServerToken: t.HS,
		SenderLocalpart: b.botLocalpart(), RateLimited: &limited,
	}
	reg.Namespaces.UserIDs.Register(regexp.MustCompile("@"+b.opts.ID+"_.*:"+server), true)
	reg.Namespaces.RoomAliases.Register(regexp.MustCompile("#"+b.opts.ID+"_.*:"+server), true)
	return reg, nil
}
