package bridges

import (
	"context"
	"slices"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Loop is the network of these tests, for those that run against the homeserver.
type Loop struct{ *loopNetwork }

// NewLoop returns an empty network.
func NewLoop() Loop { return Loop{newLoopNetwork()} }

// SetHistory says what was said before. It comes before Run.
func (l Loop) SetHistory(history []*bridgev2.BackfillMessage) { l.history = history }

// Await is loopNetwork.await.
var Await = (*loopNetwork).await

// Network returns the network of a Loop.
func (l Loop) Network() *loopNetwork { return l.loopNetwork }

// Ready is closed when transactions can be handled.
func (b *Bridge) Ready() <-chan struct{} { return b.ready }

// OpenPortal makes a room for a chat, with a login of a user, whom it invites.
func (b *Bridge) OpenPortal(ctx context.Context, owner id.UserID, name networkid.PortalID) (id.RoomID, error) {
	user, err := b.v2.GetUserByMXID(ctx, owner)
	if err != nil {
		return "", err
	}
	login, err := user.NewLogin(ctx, &database.UserLogin{ID: loopLogin}, nil)
	if err != nil {
		return "", err
	}
	portal, err := b.v2.GetPortalByKey(ctx, networkid.PortalKey{ID: name})
	if err != nil {
		return "", err
	}
	if err := portal.CreateMatrixRoom(ctx, login, nil); err != nil {
		return "", err
	}
	login.MarkInPortal(ctx, portal)
	return portal.MXID, b.v2.Bot.EnsureInvited(ctx, portal.MXID, owner)
}

// Adopt makes a room that others have made that of a chat, with a login of a user.
func (b *Bridge) Adopt(ctx context.Context, owner id.UserID, name networkid.PortalID, room id.RoomID) error {
	if _, err := b.conn.Bot.JoinRoomByID(ctx, room); err != nil {
		return err
	}
	user, err := b.v2.GetUserByMXID(ctx, owner)
	if err != nil {
		return err
	}
	login, err := user.NewLogin(ctx, &database.UserLogin{ID: loopLogin}, nil)
	if err != nil {
		return err
	}
	portal, err := b.v2.GetPortalByKey(ctx, networkid.PortalKey{ID: name})
	if err != nil {
		return err
	}
	if err := portal.UpdateMatrixRoomID(ctx, room, bridgev2.UpdateMatrixRoomIDParams{ChatInfoSource: login}); err != nil {
		return err
	}
	login.MarkInPortal(ctx, portal)
	return nil
}

// Rooms are those of the bridge's portals, as its database has them.
func (b *Bridge) Rooms(ctx context.Context) ([]id.RoomID, error) {
	return column[id.RoomID](ctx, b, `SELECT mxid FROM portal WHERE mxid IS NOT NULL AND mxid <> ''`)
}

// Schemas are those of the PostgreSQL database that the bridge is in.
func (b *Bridge) Schemas(ctx context.Context) ([]string, error) {
	return column[string](ctx, b, `SELECT schema_name FROM information_schema.schemata ORDER BY schema_name`)
}

func column[T any](ctx context.Context, b *Bridge, query string) ([]T, error) {
	rows, err := b.raw.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var one T
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// People is that of Host.
func (b *Bridge) People(ctx context.Context, room id.RoomID) ([]id.UserID, error) {
	return (&Host{b: b}).People(ctx, room)
}

// Joins are those whose membership the network was told of.
func (l Loop) Joins() []id.UserID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.joins)
}

// ResyncPortal has the network say of a chat that there is one, which makes its room. It is OpenPortal without waiting for the room, for what
// stops the bridge meanwhile: bridgev2's waiting does not go together with that.
func (b *Bridge) ResyncPortal(ctx context.Context, owner id.UserID, name networkid.PortalID) error {
	user, err := b.v2.GetUserByMXID(ctx, owner)
	if err != nil {
		return err
	}
	login, err := user.NewLogin(ctx, &database.UserLogin{ID: loopLogin}, nil)
	if err != nil {
		return err
	}
	b.v2.QueueRemoteEvent(login, &simplevent.ChatResync{EventMeta: simplevent.EventMeta{
		Type: bridgev2.RemoteEventChatResync, PortalKey: networkid.PortalKey{ID: name}, CreatePortal: true,
	}})
	return nil
}

// Remote queues a message of the network.
func (b *Bridge) Remote(portal networkid.PortalID, sender networkid.UserID, messageID networkid.MessageID, text string) {
	(&world{Bridge: b}).remote(portal, sender, messageID, text)
}

// RemoteEvent queues an event of the network in a chat, which it completes.
func (b *Bridge) RemoteEvent(evt bridgev2.RemoteEvent) error {
	return b.v2.GetCachedUserLoginByID(loopLogin).QueueRemoteEvent(evt).Error
}

// EventIDs are those of messages and reactions, as the bridge remembers them.
func (b *Bridge) EventIDs(ctx context.Context) (messages map[networkid.MessageID]id.EventID, reactions []id.EventID, err error) {
	messages = map[networkid.MessageID]id.EventID{}
	rows, err := b.raw.Query(ctx, `SELECT id, mxid FROM message UNION ALL SELECT '', mxid FROM reaction`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name networkid.MessageID
		var eventID id.EventID
		if err := rows.Scan(&name, &eventID); err != nil {
			return nil, nil, err
		}
		if name == "" {
			reactions = append(reactions, eventID)
			continue
		}
		messages[name] = eventID
	}
	return messages, reactions, rows.Err()
}

// NameInBatch is what bridgev2 calls a message in a batch.
func (b *Bridge) NameInBatch(room id.RoomID, message networkid.MessageID) id.EventID {
	return b.conn.GenerateDeterministicEventID(room, networkid.PortalKey{}, message, "")
}

// Redact has the bot redact an event.
func (b *Bridge) Redact(ctx context.Context, room id.RoomID, eventID id.EventID) error {
	_, err := b.v2.Bot.SendMessage(ctx, room, event.EventRedaction, &event.Content{
		Parsed: &event.RedactionEventContent{Redacts: eventID},
	}, nil)
	return err
}

// Device is the device of the bridge's bot.
func (b *Bridge) Device() id.DeviceID { return b.conn.Crypto.Client().DeviceID }

// AddAlias is that of Host.
func (b *Bridge) AddAlias(ctx context.Context, alias id.RoomAlias, room id.RoomID) error {
	return (&Host{b: b}).AddAlias(ctx, alias, room)
}

// HastenUnbridging lets ghosts leave one right after the other. It comes before Run.
func (b *Bridge) HastenUnbridging() { b.unbridger.pause = 0 }

// Reap is reapOnce.
func (b *Bridge) Reap(ctx context.Context, now time.Time) error { return b.reapOnce(ctx, now) }

// Count counts the rows of a table.
func (b *Bridge) Count(ctx context.Context, table string) (count int, err error) {
	err = b.raw.QueryRow(ctx, `SELECT COUNT(*) FROM `+table).Scan(&count)
	return count, err
}

// HasPortal says whether a room is one.
func (b *Bridge) HasPortal(ctx context.Context, room id.RoomID) bool {
	portal, err := b.v2.GetPortalByMXID(ctx, room)
	return err != nil || portal != nil
}

// Invite has the bot invite a user, whatever it remembers.
func (b *Bridge) Invite(ctx context.Context, room id.RoomID, user id.UserID) error {
	_, err := b.conn.Bot.InviteUser(ctx, room, &mautrix.ReqInviteUser{UserID: user})
	return err
}

// SetPower has the bot give a user a power level.
func (b *Bridge) SetPower(ctx context.Context, room id.RoomID, user id.UserID, level int) error {
	_, err := b.conn.Bot.SetPowerLevel(ctx, room, user, level)
	return err
}

// Excluded reports whether policy lists keep a user out.
func (b *Bridge) Excluded(user id.UserID) bool { return (&Host{b: b}).Excluded(user) }
