package sender

import (
	"context"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// mail takes the messages to devices of accounts that the service made, and with each what the device has left of its keys: messages
// are what follows when keys were taken. MSC4203; MSC3202.
func (c *choice) mail() error {
	for _, m := range c.s.mail {
		if m.Pos > c.s.upto {
			break
		}
		user, ours, err := c.own(m.UserNID)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		left, err := c.tx.KeyCounts(m.UserNID, m.DeviceID)
		if err != nil {
			return err
		}
		c.items = append(c.items,
			item{pos: m.Pos, kind: kindMail, json: mailEvent(user, m)},
			item{pos: m.Pos, kind: kindKeys, user: user, device: m.DeviceID, left: left})
	}
	return nil
}

// keys takes what is left of their keys of the devices of which somebody took one (MSC3202).
func (c *choice) keys() error {
	for _, k := range c.s.keys {
		if k.Pos > c.s.upto {
			break
		}
		user, ours, err := c.own(k.UserNID)
		if err != nil {
			return err
		}
		if ours {
			c.items = append(c.items, item{pos: k.Pos, kind: kindKeys, user: user, device: k.DeviceID, left: k.KeyCounts})
		}
	}
	return nil
}

// own returns the name of a user whose account the service made, and whether that is still in its namespaces.
func (c *choice) own(nid int64) (id.UserID, bool, error) {
	ours, err := c.w.interest.user(c.tx, nid)
	if err != nil || !ours {
		return "", false, err
	}
	name, err := c.tx.Text(nid)
	return id.UserID(name), true, err
}

// deviceLists takes the users of whom the service's devices have to look again, and those whom they need not follow any more: whose
// devices changed, who is in a room into which the first user of the service came, who came after that, and who left the last such room.
// A service of which no device has keys follows nobody.
// MSC3202; Client-Server API, "Extensions to /sync": DeviceLists.
func (c *choice) deviceLists(events loadedEvents) error {
	b := &c.w.beside
	if !b.askedKeys {
		var err error
		if b.hasKeys, err = c.tx.ServiceHasKeys(c.w.client.reg.ID); err != nil {
			return err
		}
		b.askedKeys = true
	}
	for _, change := range c.s.changes {
		if change.Pos > c.s.upto {
			break
		}
		if err := c.devicesChanged(change); err != nil {
			return err
		}
	}
	if !b.hasKeys {
		return nil
	}
	for _, row := range events.rows {
		if e := events.events[row.NID]; e != nil && e.IsState() && e.Type == event.TypeMember {
			if err := c.moved(row, e, events.related[e.Replaces]); err != nil {
				return err
			}
		}
	}
	return nil
}

// devicesChanged looks at one change of a user's devices.
func (c *choice) devicesChanged(change store.DeviceChange) error {
	b := &c.w.beside
	ours, err := c.w.interest.user(c.tx, change.UserNID)
	if err != nil {
		return err
	}
	if ours && !b.hasKeys {
		if b.hasKeys, err = c.tx.MadeBy(c.w.client.reg.ID, change.UserNID); err != nil {
			return err
		}
	}
	if !b.hasKeys {
		return nil
	}
	if !ours {
		if shares, err := c.shares(change.UserNID); err != nil || !shares {
			return err
		}
	}
	return c.list(change.Pos, kindChanged, change.UserNID)
}

// maxArrival bounds the members of a room of whom a service is told when its first user comes into it. Of larger rooms it has to ask.
const maxArrival = 500

// moved looks at a member event.
func (c *choice) moved(row store.EventIDs, e, before *store.Event) error {
	now, was := isMember(e, before)
	if now == was {
		return nil
	}
	ours, err := c.w.interest.user(c.tx, row.StateKeyNID)
	if err != nil {
		return err
	}
	if ours {
		return c.arrived(row, now)
	}
	here, err := c.w.interest.inAny(c.tx, []int64{row.RoomNID}, c.s.upto)
	if err != nil || !here {
		return err
	}
	shares, err := c.shares(row.StateKeyNID)
	switch {
	case err != nil:
		return err
	case shares && now:
		return c.list(row.Pos, kindChanged, row.StateKeyNID)
	case !shares && was:
		return c.list(row.Pos, kindLeft, row.StateKeyNID)
	}
	return nil
}

// arrived looks at a user of the service who came into a room, or left it. Whom it then does not share a room with any more it may go on
// to follow, which does no harm; who is in the room now is none of its business.
func (c *choice) arrived(row store.EventIDs, came bool) error {
	if !came {
		return nil
	}
	if still, err := c.tx.IsJoined(row.RoomNID, row.StateKeyNID); err != nil || !still {
		return err
	}
	if large, err := c.tx.HasMoreMembers(row.RoomNID, maxArrival); err != nil || large {
		return err
	}
	members, err := c.tx.Members(row.RoomNID, event.MembershipJoin)
	if err != nil {
		return err
	}
	var others []int64
	for _, m := range members {
		ours, err := c.w.interest.user(c.tx, m.UserNID)
		if err != nil {
			return err
		}
		switch {
		case !ours:
			others = append(others, m.UserNID)
		case m.Pos < row.Pos:
			return nil // they are not the first: the members have been told
		}
	}
	slices.Sort(others)
	for _, nid := range others {
		if err := c.list(row.Pos, kindChanged, nid); err != nil {
			return err
		}
	}
	return nil
}

// shares tells whether a user is in a room where a user of the service is.
func (c *choice) shares(userNID int64) (bool, error) {
	rooms, err := c.tx.JoinedRooms(userNID)
	if err != nil {
		return false, err
	}
	return c.w.interest.inAny(c.tx, rooms, c.s.upto)
}

func (c *choice) list(pos int64, k kind, userNID int64) error {
	name, err := c.tx.Text(userNID)
	c.items = append(c.items, item{pos: pos, kind: k, user: id.UserID(name)})
	return err
}

// forget deletes the messages for some devices up to the end of an acknowledged transaction. Those for a device that asks /sync stay
// until that has them: the service has had a copy (MSC4203, "when to delete a to-device message").
func (w *worker) forget(tx *store.Tx, all map[id.UserID][]id.DeviceID, upto int64) error {
	for _, user := range slices.Sorted(maps.Keys(all)) {
		nid, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		for _, device := range all[user] {
			if err := tx.DeleteServiceMail(w.client.reg.ID, store.ServiceDevice{UserNID: nid, DeviceID: device}, upto); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle stores whether each service takes messages to devices with its transactions, by the registrations that hold now.
func (s *Sender) settle(ctx context.Context, all []*client) error {
	takes := make(map[string]bool)
	for _, c := range all {
		takes[c.reg.ID] = c.base != "" && c.reg.MSC3202
	}
	return s.opt.DB.Write(ctx, func(tx *store.Tx) error {
		before, err := tx.TakersOfToDevice()
		if err != nil {
			return err
		}
		for _, serviceID := range before {
			if !takes[serviceID] {
				if err := tx.TakesToDevice(serviceID, false); err != nil {
					return err
				}
			}
		}
		for _, serviceID := range slices.Sorted(maps.Keys(takes)) {
			if takes[serviceID] {
				if err := tx.TakesToDevice(serviceID, true); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
