package irc

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/id"
)

// helpIRC is the section of `!irc help` for what follows.
var helpIRC = commands.HelpSection{Name: "IRC", Order: 15}

// chatCommands are what people can say to the bot beside bridgev2's own commands.
func (c *Connector) chatCommands() []commands.CommandHandler {
	row := func(name, args, description string, f func(ce *commands.Event)) commands.CommandHandler {
		return &commands.FullHandler{
			Func: f, Name: name, RequiresLoginPermission: true,
			Help: commands.HelpMeta{Section: helpIRC, Description: description, Args: args},
		}
	}
	return []commands.CommandHandler{
		c.alone(commands.CommandLogin), c.alone(commands.CommandRelogin),
		row("nick", "_network_ _nick_", "Change your nick on a network; - is the one the bridge would give you", c.cmdNick),
		row("status", "", "Show your nick and account on each network, and what is stored for it", c.cmdStatus),
		row("whois", "_network_ _nick or Matrix ID_", "Tell which Matrix user a nick is, or what a Matrix user is called on IRC", c.cmdWhois),
		row("forget-password", "_network_", "Forget the password and the certificate that are stored for a network", c.cmdForget),
		row("fingerprint", "_network_", "Show the fingerprint of your certificate", c.cmdFingerprint),
		row("reconnect", "_network_", "Connect anew to a network, also after it has banned you", c.cmdReconnect),
	}
}

// alone is one of bridgev2's commands that is not for the room of a channel: a password would be said to everybody there, and
// on IRC too, when it is the answer to a question.
func (c *Connector) alone(command *commands.FullHandler) commands.CommandHandler {
	copied := *command
	copied.Func = func(ce *commands.Event) {
		if ce.Portal == nil {
			if c.mistyped(ce) {
				ce.Redact()
			}
			command.Func(ce)
			return
		}
		if len(ce.Args) > 1 {
			ce.Redact()
		}
		ce.Reply("Not here, where others read it. Start a chat with `%s` and say `login` there.", ce.Bridge.Bot.GetMXID())
	}
	return &copied
}

// mistyped reports whether a login that was said in one line may have a password and has a mistake: bridgev2 removes only
// what it goes on with.
func (c *Connector) mistyped(ce *commands.Event) bool {
	args := ce.Args
	if ce.Command == commands.CommandRelogin.Name && len(args) > 0 {
		args = args[1:]
	}
	if len(args) < 2 || len(c.networks) == 0 {
		return false
	}
	flow, args := strings.ToLower(args[0]), args[1:]
	step, err := (&loginProcess{connector: c, user: ce.User, flow: flow}).Start(ce.Ctx)
	if err != nil || !slices.Contains([]string{flowPassword, flowCertificate, flowNick}, flow) {
		return true
	}
	fields := step.UserInputParams.Fields
	if len(args) != len(fields) {
		return true
	}
	for i, field := range fields {
		if _, err := field.Validate(args[i]); err != nil {
			return flow == flowPassword
		}
	}
	return false
}

// addCommands adds them to bridgev2's.
func (c *Connector) addCommands() {
	if processor, ok := c.br.Commands.(*commands.Processor); ok {
		processor.AddHandlers(c.chatCommands()...)
	}
}

// networkArg is the network that a command names, or nil after an answer that says what is wrong. Where only one is
// configured, it may be left out.
func (c *Connector) networkArg(ce *commands.Event, args int, usage string) (*network, []string) {
	if len(ce.Args) == args+1 {
		if n, ok := c.networks[ce.Args[0]]; ok {
			return n, ce.Args[1:]
		}
		ce.Reply("There is no network of that name here; there is %s", c.known())
		return nil, nil
	}
	if len(ce.Args) == args && len(c.networks) == 1 {
		for _, n := range c.networks {
			return n, ce.Args
		}
	}
	ce.Reply("Usage: `$cmdprefix %s`", usage)
	return nil, nil
}

func (c *Connector) cmdNick(ce *commands.Event) {
	n, args := c.networkArg(ce, 1, "nick NETWORK NICK")
	if n == nil {
		return
	}
	nick, err := optionalNick(args[0])
	switch {
	case err != nil:
		ce.Reply("%v", err)
		return
	case n.cfg.Auth.FixedNicks && nick != "":
		ce.Reply("On %s nobody can choose their nick", n.name)
		return
	}
	login, err := c.login(ce.Ctx, n, ce.User.MXID)
	if err == nil {
		err = c.change(ce.Ctx, login, func(meta *loginMeta) { meta.Nick = nick })
	}
	if err == nil {
		err = c.apply(ce.Ctx, n, login, false)
	}
	if err != nil {
		ce.Reply("Your nick could not be stored: %v", err)
		return
	}
	if nick == "" {
		nick = makeNick(n.cfg.Nick, ce.User.MXID)
	}
	ce.Reply("You will be `%s` on %s, if nobody else is", nick, n.name)
}

func (c *Connector) cmdStatus(ce *commands.Event) {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(c.networks)) {
		lines = append(lines, "* "+name+": "+c.statusOf(ce.Ctx, c.networks[name], ce.User.MXID))
	}
	ce.Reply("%s", strings.Join(lines, "\n"))
}

// statusOf is how a user fares on a network, in words.
func (c *Connector) statusOf(ctx context.Context, n *network, user id.UserID) string {
	words := "not connected"
	if nick := n.nickOf(user); nick != "" {
		words = "connected as `" + nick + "`"
	}
	login, err := c.br.GetExistingUserLoginByID(ctx, loginID(n.name, user))
	if err != nil || login == nil {
		return words
	}
	meta := c.meta(login)
	if meta.Password != "" {
		words += ", a password is stored"
	}
	if meta.Certificate != "" {
		words += ", a certificate is stored"
	}
	if meta.Account != "" {
		words += ", account `" + meta.Account + "`"
	}
	if meta.Mechanism != "" {
		words += " (" + meta.Mechanism + ")"
	}
	return words
}

// cmdWhois tells what everybody on IRC sees as well, unless the network's real names do not show it: then it is for those who
// share a room, who see both sides.
func (c *Connector) cmdWhois(ce *commands.Event) {
	n, args := c.networkArg(ce, 1, "whois NETWORK NICK")
	if n == nil {
		return
	}
	if user := id.UserID(args[0]); strings.HasPrefix(args[0], "@") {
		if nick := n.nickOf(user); nick != "" {
			ce.Reply("`%s` is `%s` on %s", user, nick, n.name)
		} else {
			ce.Reply("`%s` is not connected to %s by this bridge", user, n.name)
		}
		return
	}
	if client := n.puppet(args[0], ""); client != nil {
		ce.Reply("`%s` on %s is `%s`", client.currentNick(), n.name, client.user)
		return
	}
	ce.Reply("No connection of this bridge to %s is called `%s`", n.name, plainText(args[0]))
}

func (c *Connector) cmdForget(ce *commands.Event) {
	n, login := c.ownLogin(ce, "forget-password NETWORK")
	if login == nil {
		return
	}
	err := c.change(ce.Ctx, login, func(meta *loginMeta) {
		*meta = loginMeta{Nick: meta.Nick, SpokeTS: meta.SpokeTS}
	})
	if err == nil {
		err = c.apply(ce.Ctx, n, login, false)
	}
	if err != nil {
		ce.Reply("It could not be forgotten: %v", err)
		return
	}
	ce.Reply("Forgotten. You are on %s without an account from now on", n.name)
}

// ownLogin is the sender's login on the network that a command names, or nil after an answer.
func (c *Connector) ownLogin(ce *commands.Event, usage string) (*network, *bridgev2.UserLogin) {
	n, _ := c.networkArg(ce, 0, usage)
	if n == nil {
		return nil, nil
	}
	login, err := c.br.GetExistingUserLoginByID(ce.Ctx, loginID(n.name, ce.User.MXID))
	if err != nil || login == nil {
		ce.Reply("Nothing is stored for you on %s", n.name)
		return nil, nil
	}
	return n, login
}

func (c *Connector) cmdFingerprint(ce *commands.Event) {
	n, login := c.ownLogin(ce, "fingerprint NETWORK")
	if login == nil {
		return
	}
	i, err := c.open(login)
	switch {
	case err != nil:
		ce.Reply("Your certificate cannot be read any more; make another with `$cmdprefix login certificate`")
	case i.certificate == nil:
		ce.Reply("You have no certificate on %s; make one with `$cmdprefix login certificate`", n.name)
	default:
		ce.Reply("%s", strings.TrimSpace(fingerprintWords(i.certificate)))
	}
}

// fingerprintWords tells what to do with a certificate.
func fingerprintWords(pair *tls.Certificate) string {
	short, long := fingerprints(pair)
	return fmt.Sprintf(" The fingerprint of your certificate is `%s` by SHA-256 (`%s` by SHA-512). "+
		"Once you are logged in otherwise, tell the network of it: /msg NickServ CERT ADD and the one that the network uses.", short, long)
}

func (c *Connector) cmdReconnect(ce *commands.Event) {
	n, login := c.ownLogin(ce, "reconnect NETWORK")
	if login == nil {
		return
	}
	client := n.running(ce.User.MXID)
	if client == nil || !client.box.add(reconnectRequest{}) {
		ce.Reply("You are in no room of %s, so there is nothing to connect for", n.name)
		return
	}
	ce.Reply("Connecting to %s", n.name)
}
