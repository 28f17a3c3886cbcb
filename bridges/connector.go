package bridges

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// matrixConnector is bridgev2's own Matrix side with three things changed: the network may name its ghosts, a
// message to Matrix carries a transaction ID that is the same when it is sent again, and the history of a room is for
// who was there.
type matrixConnector struct {
	*matrix.Connector
	id    string
	namer GhostNamer
	tally *tally
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
		ASIntent: &matrix.ASIntent{Connector: c.Connector, Matrix: c.AS.Intent(c.FormatGhostMXID(user))},
		bridge:   c.id,
	}
}

// BotIntent implements bridgev2.MatrixConnector.
func (c *matrixConnector) BotIntent() bridgev2.MatrixAPI {
	return &intent{ASIntent: &matrix.ASIntent{Connector: c.Connector, Matrix: c.Bot}, bridge: c.id}
}

// intent is a ghost, or the bot, whose sends can be repeated without doubling.
type intent struct {
	*matrix.ASIntent
	bridge string
}

// CreateRoom implements bridgev2.MatrixAPI. Who enters a room has not been let in by the network yet, so what was said
// before is not shown to them.
func (i *intent) CreateRoom(ctx context.Context, req *mautrix.ReqCreateRoom) (id.RoomID, error) {
	req.InitialState = append(req.InitialState, &event.Event{
		Type: event.StateHistoryVisibility,
		Content: event.Content{
			Parsed: &event.HistoryVisibilityEventContent{HistoryVisibility: event.HistoryVisibilityJoined},
		},
	})
	return i.ASIntent.CreateRoom(ctx, req)
}

// SendMessage implements bridgev2.MatrixAPI. A message that stands for one of the network's is sent under a
// transaction ID made of that message's identity.
func (i *intent) SendMessage(ctx context.Context, room id.RoomID, eventType event.Type, content *event.Content,
	extra *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	if extra == nil || extra.MessageMeta == nil || extra.MessageMeta.ID == "" ||
		(eventType != event.EventMessage && eventType != event.EventSticker) {
		return i.ASIntent.SendMessage(ctx, room, eventType, content, extra)
	}
	if i.Matrix.IsCustomPuppet {
		return i.ASIntent.SendMessage(ctx, room, eventType, content, extra)
	}
	if message, ok := content.Parsed.(*event.MessageEventContent); ok && eventType == event.EventMessage {
		message.AddPerMessageProfileFallback()
	}
	eventType, err := i.encrypt(ctx, room, eventType, content)
	if err != nil {
		return nil, err
	}
	return i.Matrix.SendMessageEvent(ctx, room, eventType, content, mautrix.ReqSendEvent{
		Timestamp:     extra.Timestamp.UnixMilli(),
		TransactionID: i.transactionID(extra),
	})
}

// encrypt encrypts a message for a room in which all are, and returns the type that it then has.
func (i *intent) encrypt(ctx context.Context, room id.RoomID, eventType event.Type, content *event.Content) (event.Type, error) {
	encrypted, err := i.Connector.StateStore.IsEncrypted(ctx, room)
	if err != nil {
		return eventType, fmt.Errorf("ask whether %s is encrypted: %w", room, err)
	}
	if !encrypted && !i.Connector.Config.Encryption.Require {
		return eventType, nil
	}
	if i.Connector.Crypto == nil {
		return eventType, errNoEncryption
	}
	return event.EventEncrypted, i.Connector.Crypto.Encrypt(ctx, room, eventType, content)
}

// transactionID is a hash of bridge, portal, remote message and part.
func (i *intent) transactionID(extra *bridgev2.MatrixSendExtra) string {
	meta := extra.MessageMeta
	h := sha256.New()
	for _, part := range []string{
		i.bridge, string(meta.Room.ID), string(meta.Room.Receiver), string(meta.ID), string(meta.PartID),
	} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return i.bridge + "-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}
