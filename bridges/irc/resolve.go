package irc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

var (
	_ bridgev2.IdentifierResolvingNetworkAPI = (*account)(nil)
	_ bridgev2.GhostDMCreatingNetworkAPI     = (*account)(nil)
	_ bridgev2.IdentifierValidatingNetwork   = (*Connector)(nil)
)

// whoisWait bounds the question who a nick is. Without an answer a conversation begins all the same.
const whoisWait = 10 * time.Second

// ValidateUserID implements bridgev2.IdentifierValidatingNetwork.
func (c *Connector) ValidateUserID(user networkid.UserID) bool {
	network, name, ok := splitID(string(user))
	_, known := c.networks[network]
	return ok && known && (validDirect(name) || strings.HasPrefix(name, accountPrefix) && validGhost(name))
}

// ResolveIdentifier implements bridgev2.IdentifierResolvingNetworkAPI: "NICK" or "NICK on NETWORK", or what a ghost's ID is.
func (a *account) ResolveIdentifier(ctx context.Context, identifier string, createChat bool) (*bridgev2.ResolveIdentifierResponse, error) {
	if a.net == nil || a.isBot {
		return nil, bridgev2.ErrResolveIdentifierTryNext
	}
	if network, name, ok := splitID(identifier); ok && a.connector.ValidateUserID(networkid.UserID(identifier)) {
		if network != a.net.name {
			return nil, bridgev2.ErrResolveIdentifierTryNext
		}
		if strings.HasPrefix(name, accountPrefix) {
			return a.resolved(ctx, networkid.UserID(identifier), "", createChat)
		}
		identifier = name
	}
	nick, network, named := strings.Cut(strings.TrimSpace(identifier), " on ")
	nick, network = strings.TrimSpace(nick), strings.ToLower(strings.TrimSpace(network))
	if named && network != a.net.name {
		if _, known := a.connector.networks[network]; !known {
			return nil, fmt.Errorf("there is no network %q here; there is %s", network, a.connector.known())
		}
		login, err := a.connector.login(ctx, a.connector.networks[network], a.login.UserMXID)
		if err != nil {
			return nil, err
		}
		return login.Client.(*account).ResolveIdentifier(ctx, nick, createChat)
	}
	if !validDirect(nick) {
		return nil, fmt.Errorf("%q is no nick", plainText(nick))
	}
	answer, asked := a.net.whoIs(ctx, a.login.UserMXID, nick)
	if answer.gone {
		return nil, fmt.Errorf("nobody on %s is called %s at the moment", a.net.name, nick)
	}
	ghost := a.net.ghostOf(nick)
	if account := answer.account; asked && account != "" && a.net.cfg.Auth.Ghosts == GhostsByAccount && a.net.tracks(a.login.UserMXID) {
		ghost = a.net.ids.accountGhost(account)
	}
	return a.resolved(ctx, ghost, answer.nick, createChat)
}

// CreateChatWithGhost implements bridgev2.GhostDMCreatingNetworkAPI: a ghost was invited into a room for the two.
func (a *account) CreateChatWithGhost(ctx context.Context, ghost *bridgev2.Ghost) (*bridgev2.CreateChatResponse, error) {
	resp, err := a.ResolveIdentifier(ctx, string(ghost.ID), true)
	if err != nil {
		return nil, err
	}
	if resp.UserID != ghost.ID {
		resp.Chat.DMRedirectedTo = resp.UserID
	}
	return resp.Chat, nil
}

// resolved is the answer about a ghost. nick is what they are called now, or empty when that is not known.
func (a *account) resolved(ctx context.Context, user networkid.UserID, nick string, createChat bool) (*bridgev2.ResolveIdentifierResponse, error) {
	ghost, err := a.connector.br.GetGhostByID(ctx, user)
	if err != nil {
		return nil, err
	}
	if nick != "" {
		a.connector.names.set(ctx, ghost, nick, func(name string) bool { return name != "" && user != a.net.ids.ghost(nick) })
	}
	resp := &bridgev2.ResolveIdentifierResponse{Ghost: ghost, UserID: user}
	if called := a.connector.names.ensure(ctx, ghost); nick == "" {
		nick = called
	}
	if !createChat {
		return resp, nil
	}
	_, name, _ := splitID(string(user))
	key := a.net.ids.own(a.login.UserMXID, name)
	resp.Chat = &bridgev2.CreateChatResponse{PortalKey: key, PortalInfo: a.net.ownInfo(key, name)}
	return resp, a.net.ask(a.login.UserMXID, joinRequest{channel: name, nick: nick, mine: true, direct: true})
}

// whoIs asks the network who a nick is, and reports whether it has answered.
func (n *network) whoIs(ctx context.Context, user id.UserID, nick string) (answerOf, bool) {
	unknown := answerOf{nick: nick}
	client := n.running(user)
	if client == nil {
		return unknown, false
	}
	request := whoisRequest{nick: nick, answer: make(chan answerOf, 1)}
	if !client.box.add(request) {
		return unknown, false
	}
	timer := time.NewTimer(whoisWait)
	defer timer.Stop()
	select {
	case answer, ok := <-request.answer:
		if ok {
			return answer, true
		}
	case <-client.ended:
	case <-timer.C:
	case <-ctx.Done():
	}
	return unknown, false
}

// tracks reports whether a user's connection knows who has an account.
func (n *network) tracks(user id.UserID) bool {
	client := n.running(user)
	return client != nil && client.tracking.Load()
}

var errNoRoom = errors.New("the room could not be made")

// startDirect makes the room of a conversation, and returns it.
func (c *Connector) startDirect(ctx context.Context, n *network, user id.UserID, nick string) (*bridgev2.Portal, error) {
	login, err := c.login(ctx, n, user)
	if err != nil {
		return nil, err
	}
	resp, err := login.Client.(*account).ResolveIdentifier(ctx, nick, true)
	if err != nil {
		return nil, err
	}
	portal, err := c.br.GetPortalByKey(ctx, resp.Chat.PortalKey)
	if err != nil {
		return nil, err
	}
	if err := n.own(user, conversationOf(portal)).lane.makeRoomFor(ctx, portal, login, resp.Chat.PortalInfo); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return portal, nil
}
