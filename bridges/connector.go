package bridges

import (
	"context"
	"slices"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// matrixConnector is bridgev2's own Matrix side with five things changed: the network may name its ghosts, they are
// registered on the way (registering.go), what is sent to Matrix again is not there twice (sends.go), what is imported is known
// by the IDs that it has here (batch.go), and the history of a room is for who was there.
type matrixConnector struct {
	*matrix.Connector
	id     string
	namer  GhostNamer
	tally  *tally
	ghosts *registrar
}

func newMatrixConnector(b *Bridge, cfg *bridgeconfig.Config) *matrixConnector {
	c := &matrixConnector{Connector: matrix.NewConnector(cfg), id: b.opts.ID, tally: newTally()}
	c.namer, _ = b.opts.Network.(GhostNamer)
	if c.namer == nil {
		c.namer = encodedNames{prefix: b.opts.ID + "_"}
	}
	return c
}

// encodedNames is the GhostNamer of networks that have none.
type encodedNames struct{ prefix string }

func (n encodedNames) GhostLocalpart(user networkid.UserID) string {
	return n.prefix + id.EncodeUserLocalpart(string(user))
}

func (n encodedNames) ParseGhostLocalpart(localpart string) (networkid.UserID, bool) {
	encoded, ok := strings.CutPrefix(localpart, n.prefix)
	if !ok || encoded == "" {
		return "", false
	}
	decoded, err := id.DecodeUserLocalpart(encoded)
	return networkid.UserID(decoded), err == nil
}

// FormatGhostMXID implements bridgev2.MatrixConnector.
func (c *matrixConnector) FormatGhostMXID(user networkid.UserID) id.UserID {
	return id.NewUserID(c.namer.GhostLocalpart(user), c.Config.Homeserver.Domain)
}

// ParseGhostMXID implements bridgev2.MatrixConnector.
func (c *matrixConnector) ParseGhostMXID(user id.UserID) (networkid.UserID, bool) {
	localpart, server, err := user.Parse()
	if err != nil || server != c.Config.Homeserver.Domain || user == c.Bot.UserID {
		return "", false
	}
	return c.namer.ParseGhostLocalpart(localpart)
}

// GhostIntent implements bridgev2.MatrixConnector.
func (c *matrixConnector) GhostIntent(user networkid.UserID) bridgev2.MatrixAPI {
	return &intent{
		ASIntent: &matrix.ASIntent{Connector: c.Connector, Matrix: c.ghosts.intent(c.FormatGhostMXID(user))},
		c:        c,
	}
}

// NewUserIntent implements bridgev2.MatrixConnector.
func (c *matrixConnector) NewUserIntent(ctx context.Context, user id.UserID, token string) (bridgev2.MatrixAPI, string, error) {
	api, token, err := c.Connector.NewUserIntent(ctx, user, token)
	if puppet, ok := api.(*matrix.ASIntent); ok {
		api = &intent{ASIntent: puppet, c: c}
	}
	return api, token, err
}

// BotIntent implements bridgev2.MatrixConnector.
func (c *matrixConnector) BotIntent() bridgev2.MatrixAPI {
	return &intent{ASIntent: &matrix.ASIntent{Connector: c.Connector, Matrix: c.Bot}, c: c}
}

// intent is a ghost, a person's double puppet, or the bot, whose sends can be repeated without doubling.
type intent struct {
	*matrix.ASIntent
	c *matrixConnector
}

// CreateRoom implements bridgev2.MatrixAPI. Rooms of networks that know the host are entered by whoever likes, before the
// network has let them in: what was said before is not shown to them. All other rooms, and one that is one person's own,
// are for those who are invited because they are in the chat already, and often get to know of the room by what was said in it.
// What the room is made for is in it before they have joined.
func (i *intent) CreateRoom(ctx context.Context, req *mautrix.ReqCreateRoom) (id.RoomID, error) {
	visibility := event.HistoryVisibilityInvited
	if _, hosted := i.c.Bridge.Network.(Hosted); hosted && !req.IsDirect && !hasOwner(req) && !i.c.importsHistory() {
		visibility = event.HistoryVisibilityJoined
	}
	req.InitialState = append(req.InitialState, &event.Event{
		Type:    event.StateHistoryVisibility,
		Content: event.Content{Parsed: &event.HistoryVisibilityEventContent{HistoryVisibility: visibility}},
	})
	room, err := i.ASIntent.CreateRoom(ctx, req)
	if err == nil && req.BeeperAutoJoinInvites {
		i.c.enterByPuppets(ctx, room, req.Invite)
	}
	return room, err
}

// hasOwner reports whether a new room is one person's own: of its portal, each who has the bridge has another.
func hasOwner(req *mautrix.ReqCreateRoom) bool {
	return slices.ContainsFunc(req.InitialState, func(e *event.Event) bool {
		info, ok := e.Content.Parsed.(*event.BridgeEventContent)
		return ok && info.Channel.Receiver != ""
	})
}
