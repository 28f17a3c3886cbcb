package irc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

// The fields by which clients ask about IRC, as in the specification's examples.
const (
	fieldNetwork = "network"
	fieldNick    = "nickname"
	fieldChannel = "channel"
)

// maxAliasBytes bounds an alias. Matrix appendices, Room aliases.
const maxAliasBytes = 255

var _ bridges.ThirdPartyQuerier = (*Connector)(nil)

// ThirdParty implements bridges.ThirdPartyQuerier.
func (c *Connector) ThirdParty() bridges.ThirdParty {
	about := bridges.ThirdParty{
		Name: "irc", UserFields: []string{fieldNetwork, fieldNick}, LocationFields: []string{fieldNetwork, fieldChannel},
		FieldTypes: map[string]bridges.ThirdPartyField{
			fieldNetwork: {Regexp: `[a-z0-9][a-z0-9.-]*`, Placeholder: "libera"},
			fieldNick:    {Regexp: `[^\x00-\x20\x7f]+`, Placeholder: "nick"},
			fieldChannel: {Regexp: `[#&+!][^\x00-\x20\x7f,:]+`, Placeholder: "#channel"},
		},
		Instances: []bridges.ThirdPartyInstance{},
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Networks)) {
		desc := name
		if n := c.networks[name]; n != nil { // not before Init
			if announced := n.announced.Load(); announced != nil && *announced != "" {
				desc = *announced
			}
		}
		about.Instances = append(about.Instances, bridges.ThirdPartyInstance{
			NetworkID: name, Desc: desc, Fields: map[string]string{fieldNetwork: name},
		})
	}
	return about
}

// asked are the networks that a question is about: the one that it names, or all.
func (c *Connector) asked(fields map[string]string) []*network {
	if name, given := fields[fieldNetwork]; given {
		if n := c.networks[name]; n != nil {
			return []*network{n}
		}
		return nil
	}
	var all []*network
	for _, name := range slices.Sorted(maps.Keys(c.networks)) {
		all = append(all, c.networks[name])
	}
	return all
}

// FindLocations implements bridges.ThirdPartyQuerier: the aliases of a channel, which need not be there to be entered. Without a
// channel nothing is found, because which channels there are is not for everybody to know.
func (c *Connector) FindLocations(ctx context.Context, fields map[string]string) (found []bridges.ThirdPartyLocation, err error) {
	channel := fields[fieldChannel]
	if !validChannel(channel) {
		return nil, nil
	}
	for _, n := range c.asked(fields) {
		l, err := c.location(ctx, n, channel, c.alias(n, n.ids.fold.Fold(channel)))
		if err != nil {
			return nil, err
		}
		found = append(found, l...)
	}
	return found, nil
}

// LocationsOf implements bridges.ThirdPartyQuerier.
func (c *Connector) LocationsOf(ctx context.Context, alias id.RoomAlias) ([]bridges.ThirdPartyLocation, error) {
	n, channel, err := c.parseAlias(alias)
	if err != nil {
		return nil, nil // an UnknownAlias
	}
	return c.location(ctx, n, channel, alias)
}

// location is a channel with its alias, nothing where that leads nowhere.
func (c *Connector) location(ctx context.Context, n *network, channel string, alias id.RoomAlias) ([]bridges.ThirdPartyLocation, error) {
	if len(alias) > maxAliasBytes {
		return nil, nil
	}
	if _, linked := c.links.of(n.ids.portal(channel).ID); !linked && n.modeFor(channel) == modeBouncer {
		portal, err := c.br.GetExistingPortalByKey(ctx, n.ids.portal(channel))
		if err != nil {
			return nil, fmt.Errorf("portal of %s: %w", alias, err)
		}
		if portal == nil || portal.MXID == "" {
			return nil, nil
		}
	}
	return []bridges.ThirdPartyLocation{{Alias: alias, Fields: map[string]string{fieldNetwork: n.name, fieldChannel: channel}}}, nil
}

// FindUsers implements bridges.ThirdPartyQuerier: the ghosts that a nick has, or would have. Whether somebody has the nick is not
// asked of the network.
func (c *Connector) FindUsers(_ context.Context, fields map[string]string) (found []bridges.ThirdPartyUser, err error) {
	nick := fields[fieldNick]
	if !validNick(nick) {
		return nil, nil
	}
	for _, n := range c.asked(fields) {
		found = append(found, bridges.ThirdPartyUser{
			UserID: id.NewUserID(c.GhostLocalpart(n.ghostOf(nick)), c.host.ServerName()), Fields: map[string]string{fieldNetwork: n.name, fieldNick: nick},
		})
	}
	return found, nil
}

// UsersOf implements bridges.ThirdPartyQuerier. The ghost of an account has the nicks that it is seen with.
func (c *Connector) UsersOf(_ context.Context, user id.UserID) (found []bridges.ThirdPartyUser, err error) {
	localpart, _, err := user.Parse()
	if err != nil {
		return nil, nil
	}
	ghost, ok := c.ParseGhostLocalpart(localpart)
	network, name, _ := splitID(string(ghost))
	n := c.networks[network]
	if !ok || n == nil || strings.HasPrefix(name, ownPrefix) {
		return nil, nil
	}
	nicks := []string{name}
	if account, isAccount := strings.CutPrefix(name, accountPrefix); isAccount {
		nicks = n.nicksOfAccount(account)
	}
	for _, nick := range nicks {
		found = append(found, bridges.ThirdPartyUser{UserID: user, Fields: map[string]string{fieldNetwork: n.name, fieldNick: nick}})
	}
	return found, nil
}

// nicksOfAccount are the nicks of an account in all channels, folded.
func (n *network) nicksOfAccount(account string) []string {
	nicks := make(map[string]bool)
	for _, l := range n.lanes() {
		for _, nick := range l.nicksOf(n.ids.accountGhost(account)) {
			nicks[n.ids.fold.Fold(nick)] = true
		}
	}
	return slices.Sorted(maps.Keys(nicks))
}
