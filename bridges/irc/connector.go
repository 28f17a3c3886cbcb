package irc

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

// Connector is the bridgev2 network for all IRC networks of a configuration. Make it with New, and give it to
// bridges.New.
type Connector struct {
	cfg      Config
	br       *bridgev2.Bridge
	host     *bridges.Host
	networks map[string]*network
	boot     string
	// publicAddress is where outsiders find a file, or "" when there are no such addresses.
	publicAddress func(uri id.ContentURIString) string
	vault         *vault       // of people's secrets; set by Start
	clerk         *clerk       // set by Start
	identd        *identd      // set by Start, if one is configured
	metaMu        sync.Mutex   // guards the Metadata of logins and portals
	loginMu       sync.Mutex   // held while a login is made
	roomsMu       sync.RWMutex // held for writing while a portal is given another room
	links         *links       // set by Init
	names         *ghostNames
	strict        strictChoices
	started       time.Time
	timing        timing
	// holderCommand runs the holder of connections.
	holderCommand func(socket string) *exec.Cmd

	ctx    context.Context // of the clients and lanes; set by Start
	cancel context.CancelFunc
}

var (
	_ bridgev2.NetworkConnector = (*Connector)(nil)
	_ bridges.Hosted            = (*Connector)(nil)
	_ bridges.AliasQuerier      = (*Connector)(nil)
	_ bridges.MemberWatcher     = (*Connector)(nil)
	_ bridges.GhostNamer        = (*Connector)(nil)
	_ bridges.Drainer           = (*Connector)(nil)
	_ bridges.LoginEnder        = (*Connector)(nil)
)

// New returns a connector for a configuration, or the errors of Config.Validate.
func New(cfg Config) (*Connector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Connector{cfg: cfg, networks: map[string]*network{}, boot: strings.ToLower(rand.Text()[:12]), started: time.Now(), names: newGhostNames()}, nil
}

// SetHost implements bridges.Hosted.
func (c *Connector) SetHost(h *bridges.Host) { c.host = h }

// Init implements bridgev2.NetworkConnector.
func (c *Connector) Init(br *bridgev2.Bridge) {
	c.br = br
	c.links = newLinks(c)
	c.publicAddress = func(id.ContentURIString) string { return "" }
	if public, ok := br.Matrix.(bridgev2.MatrixConnectorWithPublicMedia); ok {
		c.publicAddress = func(uri id.ContentURIString) string { return c.addressOfText(public, uri) }
	}
	for name, cfg := range c.cfg.Networks {
		n := newNetwork(c, name, cfg)
		n.log = br.Log.With().Str("network", name).Logger()
		c.networks[name] = n
	}
}

// Start implements bridgev2.NetworkConnector. It makes the account that each network itself has.
func (c *Connector) Start(ctx context.Context) error {
	var err error
	if c.vault, err = openVault(c.host); err != nil {
		return err
	}
	c.ctx, c.cancel = context.WithCancel(c.br.BackgroundCtx)
	c.clerk = startClerk(c.ctx)
	for _, name := range slices.Sorted(maps.Keys(c.networks)) {
		login, err := c.login(ctx, c.networks[name], c.br.Bot.GetMXID())
		if err != nil {
			return fmt.Errorf("account of network %s: %w", name, err)
		}
		c.networks[name].login, c.networks[name].sts = login, c.meta(login).STS
		if err := c.networks[name].loadMasks(ctx); err != nil {
			return err
		}
	}
	c.addCommands()
	c.addModeCommands()
	c.addOwnCommands()
	c.addPlumbCommands()
	if err := c.strict.load(ctx, c.br.DB); err != nil {
		return err
	}
	if err := c.planTurns(ctx); err != nil {
		return err
	}
	if err := c.links.start(ctx, c.ctx); err != nil {
		return err
	}
	c.endStrict(ctx)
	if c.cfg.Identd.Listen != "" {
		c.identd, err = startIdentd(c.ctx, c.cfg.Identd, c.br.Log.With().Str("part", "identd").Logger())
	}
	return err
}

// planTurns loads all logins, as bridgev2 does next, and puts them in their order.
func (c *Connector) planTurns(ctx context.Context) error {
	// With the users, their logins come into the cache.
	if _, err := c.br.GetUsersToStart(ctx); err != nil {
		return fmt.Errorf("load the logins: %w", err)
	}
	if err := c.startKeeper(ctx); err != nil {
		return err
	}
	for name, n := range c.networks {
		if err := n.planTurns(ctx); err != nil {
			return fmt.Errorf("order of connections to %s: %w", name, err)
		}
	}
	return nil
}

// Drain implements bridges.Drainer.
func (c *Connector) Drain(ctx context.Context) {
	if c.cancel == nil {
		return // never started
	}
	for _, n := range c.networks {
		n.drain(ctx)
	}
	c.clerk.close(ctx)
	if c.identd != nil {
		c.identd.close()
	}
	c.cancel()
	if c.links.started {
		<-c.links.done
	}
	for _, n := range c.networks {
		n.presences.wait()
	}
}

// loginID is NETWORK/@user:server; that of the bot is the network's own account.
func loginID(network string, user id.UserID) networkid.UserLoginID {
	return networkid.UserLoginID(network + "/" + string(user))
}

// login returns the login of a user on a network, and makes it the first time.
func (c *Connector) login(ctx context.Context, n *network, user id.UserID) (*bridgev2.UserLogin, error) {
	c.loginMu.Lock()
	defer c.loginMu.Unlock()
	key := loginID(n.name, user)
	login, err := c.br.GetExistingUserLoginByID(ctx, key)
	if err != nil || login != nil {
		return login, err
	}
	if _, err := c.br.GetUserByMXID(ctx, user); err != nil {
		return nil, err
	}
	// By the table, and not by User.NewLogin, which leaves a login without its cache of portals, so that each
	// line would cost a write.
	err = c.br.DB.UserLogin.Insert(ctx, &database.UserLogin{
		ID: key, UserMXID: user, RemoteName: makeNick(n.cfg.withDefaults().Nick, user) + " on " + n.name,
	})
	if err != nil {
		return nil, err
	}
	return c.br.GetExistingUserLoginByID(ctx, key)
}

// LoadUserLogin implements bridgev2.NetworkConnector.
func (c *Connector) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	name, _, _ := splitID(string(login.ID))
	a := &account{
		connector: c, net: c.networks[name], login: login, isBot: login.UserMXID == c.br.Bot.GetMXID(),
	}
	if a.net != nil && !a.isBot {
		login.RemoteName = a.net.remoteName(login.UserMXID, c.meta(login).Nick)
	}
	login.Client = a
	return nil
}

// reportState is report, but in tests without bridgev2.
func (n *network) reportState(user id.UserID, state status.BridgeState) {
	if login := n.conn.br.GetCachedUserLoginByID(loginID(n.name, user)); login != nil {
		login.BridgeState.Send(state)
	}
}

// QueryAlias implements bridges.AliasQuerier: it makes the room of a channel. Whether the channel exists on IRC
// is not asked, because joining it is what makes it exist.
func (c *Connector) QueryAlias(ctx context.Context, alias id.RoomAlias) error {
	n, channel, err := c.parseAlias(alias)
	if err != nil {
		return err
	}
	if link, linked := c.links.of(n.ids.portal(channel).ID); linked {
		return c.host.AddAlias(ctx, alias, link.Room)
	}
	portal, err := c.br.GetPortalByKey(ctx, n.ids.portal(channel))
	if err != nil {
		return fmt.Errorf("portal of %s: %w", alias, err)
	}
	isNew := portal.MXID == ""
	if isNew && n.modeFor(channel) == modeBouncer {
		return &bridges.UnknownAlias{Reason: fmt.Sprintf("People join %s in rooms of their own: say `!irc join %s %s` to the bot", channel, n.name, channel)}
	}
	if isNew {
		if err := portal.CreateMatrixRoom(ctx, n.login, channelInfo(channel)); err != nil {
			return fmt.Errorf("room of %s: %w", alias, err)
		}
	}
	if err := c.host.AddAlias(ctx, alias, portal.MXID); err != nil {
		return err
	}
	if isNew {
		return c.host.SetCanonicalAlias(ctx, alias, portal.MXID)
	}
	return nil
}

// parseAlias finds the channel of #irc_NETWORK_CHANNEL:server.
func (c *Connector) parseAlias(alias id.RoomAlias) (*network, string, error) {
	unknown := func(format string, args ...any) error {
		return &bridges.UnknownAlias{Reason: fmt.Sprintf(format, args...)}
	}
	localpart, server, _ := strings.Cut(strings.TrimPrefix(string(alias), "#"), ":")
	rest, ours := strings.CutPrefix(localpart, c.host.Prefix())
	if !ours || server != c.host.ServerName() {
		return nil, "", unknown("%s is not an alias of the IRC bridge", alias)
	}
	name, channel, ok := splitAlias(rest)
	if !ok {
		return nil, "", unknown("%s is not of the form #%sNETWORK_#channel:%s, with NETWORK in lower case", alias, c.host.Prefix(), server)
	}
	n, ok := c.networks[name]
	if !ok {
		return nil, "", unknown("There is no IRC network %q here; there is %s", name, c.known())
	}
	if !validChannel(channel) {
		return nil, "", unknown("%q is not the name of an IRC channel: it begins with one of %s and has no space, comma or colon",
			channel, channelPrefixes)
	}
	return n, channel, nil
}

// known lists the networks for people.
func (c *Connector) known() string {
	if len(c.networks) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(c.networks)), ", ")
}

// channelInfo is what a new room is made of: public, and anybody may try to set the topic, because whether they
// may is the channel's to say.
func channelInfo(channel string) *bridgev2.ChatInfo {
	return &bridgev2.ChatInfo{
		Name:     &channel,
		JoinRule: &event.JoinRulesEventContent{JoinRule: event.JoinRulePublic},
		Members: &bridgev2.ChatMemberList{PowerLevels: &bridgev2.PowerLevelOverrides{
			// The modes of the channel say who may set the topic, and an operator of it may change its modes, but
			// who may read what was said is not theirs to decide.
			Events: map[event.Type]int{
				event.StateTopic: 0, event.StatePowerLevels: standardLevels["o"], event.StateHistoryVisibility: maxLevel,
				event.StateCanonicalAlias: maxLevel,
			},
		}},
	}
}

// GetName implements bridgev2.NetworkConnector.
func (c *Connector) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{
		DisplayName: "IRC", NetworkURL: "https://www.rfc-editor.org/rfc/rfc1459", NetworkID: "irc",
		BeeperBridgeType: "causeway/bridges/irc", DefaultCommandPrefix: "!irc",
	}
}

// GetDBMetaTypes implements bridgev2.NetworkConnector.
func (c *Connector) GetDBMetaTypes() database.MetaTypes {
	return database.MetaTypes{
		UserLogin: func() any { return &loginMeta{} }, Portal: func() any { return &portalMeta{} },
	}
}

// GetCapabilities implements bridgev2.NetworkConnector.
func (c *Connector) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}

// GetBridgeInfoVersion implements bridgev2.NetworkConnector.
func (c *Connector) GetBridgeInfoVersion() (info, capabilities int) { return 1, 1 }

// GetConfig implements bridgev2.NetworkConnector. The configuration comes to New instead.
func (c *Connector) GetConfig() (string, any, configupgrade.Upgrader) {
	return "", nil, configupgrade.NoopUpgrader
}

// memberTimeout bounds the database work for one member event.
const memberTimeout = 30 * time.Second

// HandleMember implements bridges.MemberWatcher: who enters a room gets a connection and joins the channel, who
// leaves it parts. The errors are those of the database.
func (c *Connector) HandleMember(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error {
	return c.inAllChannels(ctx, portal, evt, c.handleMember)
}

// inAllChannels does something about a membership for each channel of a room.
func (c *Connector) inAllChannels(ctx context.Context, portal *bridgev2.Portal, evt *event.Event,
	handle func(context.Context, *bridgev2.Portal, *event.Event) error) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	if err := handle(ctx, portal, evt); err != nil {
		return err
	}
	for _, key := range c.links.furtherOf(portal.MXID) {
		further, err := c.br.GetPortalByKey(ctx, networkid.PortalKey{ID: key})
		if err != nil {
			return err
		}
		if err := handle(ctx, further, evt); err != nil {
			return err
		}
	}
	return nil
}

// handleMember is HandleMember for one of the channels of a room.
func (c *Connector) handleMember(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error {
	name, _, _ := splitID(string(portal.ID))
	n, ok := c.networks[name]
	if !ok {
		return nil
	}
	if ownerOf(portal.PortalKey) != "" {
		return c.handleOwn(ctx, n, portal, evt)
	}
	user := id.UserID(evt.GetStateKey())
	content := evt.Content.AsMember()
	n.strictChanged(portal.Name)
	switch content.Membership {
	case event.MembershipJoin:
		return c.userJoined(ctx, n, portal, user)
	case event.MembershipInvite:
		n.channel(portal.Name).expect(user, evt.Sender)
	case event.MembershipLeave, event.MembershipBan:
		reason := content.Reason
		if c.isStrict(n, portal.Name) {
			reason = ""
		}
		return c.userLeft(ctx, n, portal, user, reason)
	}
	return nil
}

func (c *Connector) userJoined(ctx context.Context, n *network, portal *bridgev2.Portal, user id.UserID) error {
	if done, err := c.enterBy(ctx, n, portal, user); done {
		return err
	}
	if !c.br.Config.Permissions.Get(user).Login {
		n.channel(portal.Name).lane.put(noticeItem{
			text: "You are not allowed to use this bridge; nobody on IRC sees you.", to: user,
		})
		return nil
	}
	login, err := c.login(ctx, n, user)
	if err != nil {
		return err
	}
	// This row is what a restart joins again, and how bridgev2 finds whose login speaks in the room.
	if _, err := c.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, portal.PortalKey); err != nil {
		return err
	}
	return n.ask(user, joinRequest{
		channel: portal.Name, key: c.channelKey(ctx, n, user, portal.Name), fresh: true,
	})
}

func (c *Connector) userLeft(ctx context.Context, n *network, portal *bridgev2.Portal, user id.UserID, reason string) error {
	login, err := c.br.GetExistingUserLoginByID(ctx, loginID(n.name, user))
	if err != nil || login == nil {
		return err
	}
	if err := c.br.DB.UserPortal.Delete(ctx, database.UserPortalFor(login.UserLogin, portal.PortalKey)); err != nil {
		return err
	}
	if done, err := c.leaveBy(ctx, n, portal); done {
		return err
	}
	if kindOf(portal.PortalKey) == shared {
		others, err := c.br.DB.UserPortal.GetAllInPortal(ctx, portal.PortalKey)
		if err != nil {
			return err
		}
		others = slices.DeleteFunc(others, func(row *database.UserPortal) bool { return row.UserMXID == c.br.Bot.GetMXID() })
		if len(others) == 0 {
			n.leftByAll(ctx, "", portal.Name)
		}
	}
	if kindOf(portal.PortalKey) == bouncer {
		n.leftByAll(ctx, user, portal.Name)
	}
	if client := n.running(user); client != nil {
		name, own := target(portal)
		client.box.add(partRequest{channel: name, reason: reason, mine: own})
	}
	return nil
}
