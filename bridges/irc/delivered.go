package irc

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

// owner is the user whose own a membership's room is, or empty.
func (m *membership) owner(c *client) id.UserID {
	if m.mine {
		return c.user
	}
	return ""
}

// portalOf is the key of the room of a channel: of a user's own, or without owner the one that is shared.
func (n *network) portalOf(owner id.UserID, channel string) networkid.PortalKey {
	if owner == "" {
		return n.ids.portal(channel)
	}
	return n.ids.own(owner, channel)
}

// historyKey is where it is noted since when we want what is said in a channel, in its shared room or in one of somebody's own.
func (n *network) historyKey(owner id.UserID, channel string) database.Key {
	key := "irc_history/" + n.name + "/"
	if owner != "" {
		key += string(owner) + "/" // no channel begins so
	}
	return database.Key(key + n.ids.fold.Fold(channel))
}

const lastDeliveredQuery = `
	SELECT id, timestamp FROM message
	WHERE bridge_id=$1 AND room_id=$2 AND room_receiver=$3 AND sender_id<>'' AND id LIKE $4
	ORDER BY rowid DESC LIMIT 1`

// lastDelivered is the line of a channel that Matrix has got last, or since when we want its lines. In a channel that nobody of
// us was in before, that is from now on: nothing, and the moment is noted.
func (n *network) lastDelivered(ctx context.Context, owner id.UserID, channel string, now time.Time) (delivered, error) {
	db, key, portal := n.conn.br.DB, n.historyKey(owner, channel), n.portalOf(owner, channel)
	from, err := time.Parse(serverTime, db.KV.Get(ctx, key))
	if err != nil {
		db.KV.Set(ctx, key, now.UTC().Format(serverTime))
		return delivered{}, nil
	}
	var id string
	var at int64
	err = db.QueryRow(ctx, lastDeliveredQuery, n.conn.br.ID, portal.ID, portal.Receiver, n.name+"/%").Scan(&id, &at)
	switch last := time.Unix(0, at); {
	case errors.Is(err, sql.ErrNoRows):
		return delivered{at: from}, nil
	case err != nil:
		return delivered{}, err
	case last.Before(from):
		return delivered{at: from}, nil
	default:
		return delivered{strings.TrimPrefix(string(lineIn(networkid.MessageID(id))), n.name+"/"), last}, nil
	}
}

// leftByAll notes that nobody of us wants what is said in a channel from now on, or its owner for a room of their own.
func (n *network) leftByAll(ctx context.Context, owner id.UserID, channel string) {
	n.conn.br.DB.KV.Delete(ctx, n.historyKey(owner, channel))
	if owner == "" {
		n.channel(channel).abandon()
		return
	}
	n.own(owner, channel).abandon()
}

// existing is the portal of a key, or nil. bridgev2 would also take the shared room of a channel for the one of somebody's own.
func (c *Connector) existing(ctx context.Context, key networkid.PortalKey) (*bridgev2.Portal, error) {
	portal, err := c.br.GetExistingPortalByKey(ctx, key)
	if err != nil || portal == nil || portal.PortalKey == key {
		return portal, err
	}
	row, err := c.br.DB.Portal.GetByKey(ctx, key)
	if err != nil || row == nil {
		return nil, err
	}
	return c.br.GetPortalByKey(ctx, key)
}
