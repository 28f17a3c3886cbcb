package bridges

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"causeway/registration"
)

// makeRegistration describes the bridge to the homeserver. All ghosts and aliases are ours alone, and what people
// on the network say is not rate-limited: it was where they said it.
func (b *Bridge) makeRegistration(t tokens) (*registration.Registration, error) {
	rest := b.opts.ID + "_.*:" + regexp.QuoteMeta(b.opts.ServerName) + "$"
	reg := &registration.Registration{
		ID: b.opts.ID, URL: b.opts.URL, ASToken: t.AS, HSToken: t.HS, SenderLocalpart: b.botLocalpart(),
		ReceiveEphemeral: true, // typing, receipts and presence
		MSC3202:          b.opts.Encryption.Allow, MSC4190: b.opts.Encryption.Allow,
		Namespaces: registration.Namespaces{
			Users:   []registration.Namespace{{Regex: "^@" + rest, Exclusive: true}},
			Aliases: []registration.Namespace{{Regex: "^#" + rest, Exclusive: true}},
		},
	}
	if querier, ok := b.opts.Network.(ThirdPartyQuerier); ok {
		reg.Protocols = []string{querier.ThirdParty().Name}
	}
	// As if it were a file, so that what could not be one is found here.
	return registration.Parse("registration of bridge "+b.opts.ID, reg.Marshal())
}

// Register returns the registration of a bridge that another process runs, as its Bridge.Registration does, and makes its
// database and tokens the first time.
func Register(opts Options) (reg *registration.Registration, err error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	db, err := openDatabase(opts)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", opts.ID, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx := opts.Log.WithContext(context.Background())
	if err := upgradeHostTables(ctx, db); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", opts.ID, err)
	}
	tokens, err := loadTokens(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", opts.ID, err)
	}
	return (&Bridge{opts: opts}).makeRegistration(tokens)
}
