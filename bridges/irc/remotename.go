package irc

import (
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

// What a login is called, for its owner: the nick and the network. It is made when somebody asks, since bridgev2 guards
// UserLogin.RemoteName by no lock: that one is set only before anybody else has the login.

var _ status.BridgeStateFiller = (*account)(nil)

// remoteName is what a user's login is called: by the nick that they have, or else the one that they are to have.
func (n *network) remoteName(user id.UserID, wanted string) string {
	nick := n.nickOf(user)
	switch {
	case nick != "":
	case wanted != "" && !n.cfg.Auth.FixedNicks:
		nick = wanted
	default:
		nick = makeNick(n.cfg.Nick, user)
	}
	return nick + " on " + n.name
}

// FillBridgeState implements status.BridgeStateFiller: the name of the login is that of now.
func (a *account) FillBridgeState(state status.BridgeState) status.BridgeState {
	if a.net != nil && !a.isBot {
		state.RemoteName = a.net.remoteName(a.login.UserMXID, a.connector.meta(a.login).Nick)
	}
	return state
}

// tellState tells bridgev2 how the connection fares.
func (c *client) tellState(state status.BridgeState) {
	c.told = state.StateEvent
	c.net.report(c.user, state)
}

// tellName has bridgev2 tell again how the connection fares, because the login is called otherwise now.
func (c *client) tellName() {
	if c.phase == up && c.told == status.StateConnected {
		c.net.report(c.user, status.BridgeState{StateEvent: status.StateConnected})
	}
}
