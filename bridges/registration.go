package bridges

import (
	"regexp"

	"causeway/registration"
)

// makeRegistration describes the bridge to the homeserver. All ghosts and aliases are ours alone, and what people
// on the network say is not rate-limited: it was where they said it.
func (b *Bridge) makeRegistration(t tokens) (*registration.Registration, error) {
	rest := b.opts.ID + "_.*:" + regexp.QuoteMeta(b.opts.ServerName) + "$"
	reg := &registration.Registration{
		ID: b.opts.ID, URL: b.opts.URL, ASToken: t.AS, HSToken: t.HS, SenderLocalpart: b.botLocalpart(),
		ReceiveEphemeral: true, MSC3202: b.opts.Encryption.Allow, MSC4190: b.opts.Encryption.Allow,
		Namespaces: registration.Namespaces{
			Users:   []registration.Namespace{{Regex: "^@" + rest, Exclusive: true}},
			Aliases: []registration.Namespace{{Regex: "^#" + rest, Exclusive: true}},
		},
	}
	// As if it were a file, so that what could not be one is found here.
	return registration.Parse("registration of bridge "+b.opts.ID, reg.Marshal())
}
