package usersync

import (
	"context"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// typePresence is the type of the events that tell who is there. Client-Server API, "Presence".
const typePresence = "m.presence"

// maxPresence bounds the presences in one answer: the newest are shown.
const maxPresence = 2000

// Presence is told who syncs, and knows who is there.
type Presence interface {
	// Syncing says that a device begins to sync, and what it says of its user by set_presence. ended is called when it has its answer.
	Syncing(ctx context.Context, user id.UserID, device id.DeviceID, state string) (ended func())
	// LastActive returns when a user was last active, in milliseconds, 0 when that is not known to be later than what is stored.
	LastActive(user id.UserID) int64
}

// readPresence reads the presences that are new to the device: what has changed, and what there is of those with whom the user has come
// to share a room. It comes after the rooms.
func (p *pass) readPresence() error {
	members := p.s.presenceMembers
	limit := p.filter.Presence.limit(maxPresence, maxPresence)
	if p.s.presence == nil || limit == 0 || !p.filter.Presence.allowsType(typePresence) {
		return nil
	}
	var rows []store.Presence
	after := p.after
	if p.req.FullState {
		after = 0
	}
	if !p.tx.Quiet(store.FamilyPresence, after) {
		var err error
		if rows, err = p.tx.PresenceNear(p.userNID, after, p.upto, p.short(), members, maxPresence); err != nil {
			return err
		}
	}
	if after > 0 {
		more, err := p.newcomers.presence(p.tx, p.userNID, p.upto, members)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	return p.addPresences(rows, after == 0, limit)
}

// addPresences adds to the answer what the filter lets pass, each user once.
func (p *pass) addPresences(rows []store.Presence, initial bool, limit int) error {
	shown := make(map[int64]bool, len(rows))
	for _, row := range rows {
		// Who knows nothing takes everybody for offline.
		if shown[row.UserNID] || len(shown) >= limit || initial && row.State == "offline" && row.StatusMsg == "" {
			continue
		}
		user, err := p.tx.Text(row.UserNID)
		if err != nil {
			return err
		}
		ignored, err := p.ignores(id.UserID(user))
		if err != nil {
			return err
		}
		if ignored || !p.filter.Presence.allowsSender(id.UserID(user)) {
			continue
		}
		shown[row.UserNID] = true
		p.presences = p.s.appendPresenceEvent(appendComma(p.presences), id.UserID(user), row, p.nowTS)
		p.news = true
	}
	return nil
}

func (s *Service) appendPresenceEvent(dst []byte, user id.UserID, row store.Presence, nowTS int64) []byte {
	return event.AppendPresence(dst, event.Presence{
		User: user, State: row.State, StatusMsg: row.StatusMsg, LastActiveTS: max(row.LastActiveTS, s.presence.LastActive(user)),
	}, nowTS)
}

// appendPresence appends the presence of others, a member of the answer, with a comma after it.
func (p *pass) appendPresence(dst []byte) []byte {
	dst = append(append(dst, `"presence":{"events":[`...), p.presences...)
	return append(dst, `]},`...)
}

// newcomers is with whom a user has come to share a room since the last answer, perhaps.
type newcomers struct {
	rooms []int64 // into which the user has come
	users []int64 // who have come into rooms of the user
}

// presence reads the presences of a company.
func (c *newcomers) presence(tx *store.Tx, userNID, upto int64, members int) ([]store.Presence, error) {
	slices.Sort(c.users)
	all, err := tx.PresenceOf(userNID, slices.Compact(c.users), upto, members)
	if err != nil {
		return nil, err
	}
	for _, nid := range c.rooms {
		some, err := tx.PresenceIn(nid, upto, members, maxPresence)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// meet notes with whom the user has come to share the room. changes is what has changed of the room's state.
func (r *roomPass) meet(arrived bool, changes store.StateSet) error {
	if r.initial || r.s.presence == nil {
		return nil
	}
	if arrived {
		r.newcomers.rooms = append(r.newcomers.rooms, r.seat.RoomNID)
		return nil
	}
	for _, e := range r.t.scanned {
		if !e.IsState() || e.Type != event.TypeMember || e.Membership() != event.MembershipJoin {
			continue
		}
		nid, err := r.tx.LookupNID(*e.StateKey)
		if err != nil {
			return err
		}
		r.newcomers.users = append(r.newcomers.users, nid)
	}
	if len(changes) == 0 {
		return nil
	}
	members, err := r.tx.LookupNID(event.TypeMember)
	for place := range changes {
		if place.Type == members {
			r.newcomers.users = append(r.newcomers.users, place.Key)
		}
	}
	return err
}
