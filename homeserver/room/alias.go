package room

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

const typeCanonicalAlias = "m.room.canonical_alias"

// maxAliasBytes is the longest alias (Appendices, "Room Aliases").
const maxAliasBytes = 255

// ResolveAlias finds the room of an alias. An alias of this server that does not exist is asked of the application services, which
// may make it and its room; not for strangers, though, for whom by is empty. by.AppService, which would otherwise be asked what it
// asks itself, is left out.
func (s *Service) ResolveAlias(ctx context.Context, by By, alias id.RoomAlias) (id.RoomID, error) {
	server, err := s.checkAlias(alias)
	if err != nil {
		return "", err
	}
	roomID, err := s.localAlias(ctx, alias)
	if err != nil || roomID != "" {
		return roomID, err
	}
	if server != s.ServerName {
		return "", matrixError(404, "M_NOT_FOUND", "%s is an alias of %s, and this server does not federate yet", alias, server)
	}
	if s.Aliases != nil && by.User != "" {
		made, err := s.Aliases.QueryAlias(ctx, alias, by.AppService)
		if err != nil {
			return "", err
		}
		if made {
			roomID, err = s.localAlias(ctx, alias)
		}
		if err != nil || roomID != "" {
			return roomID, err
		}
	}
	return "", matrixError(404, "M_NOT_FOUND", "There is no room with the alias %s", alias)
}

func (s *Service) localAlias(ctx context.Context, alias id.RoomAlias) (id.RoomID, error) {
	var roomID id.RoomID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		a, err := tx.Alias(alias)
		roomID = a.RoomID
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return roomID, err
}

// checkAlias checks the form of an alias and returns its server.
func (s *Service) checkAlias(alias id.RoomAlias) (server string, err error) {
	localpart, server, found := strings.Cut(strings.TrimPrefix(string(alias), "#"), ":")
	if !found || alias[0] != '#' || localpart == "" || server == "" || len(alias) > maxAliasBytes || strings.ContainsRune(string(alias), 0) {
		return "", matrixError(400, "M_INVALID_PARAM", "%q is not a room alias: one looks like #name:%s", alias, s.ServerName)
	}
	return server, nil
}

// mayChangeAlias refuses names that are malformed, another server's, or an application service's own.
func (s *Service) mayChangeAlias(by By, alias id.RoomAlias) error {
	server, err := s.checkAlias(alias)
	if err != nil {
		return err
	}
	if server != s.ServerName {
		return matrixError(400, "M_INVALID_PARAM", "%s is not an alias of %s", alias, s.ServerName)
	}
	if s.AliasOwner == nil {
		return nil
	}
	if owner := s.AliasOwner(alias); owner != "" && owner != by.AppService {
		return matrixError(400, "M_EXCLUSIVE", "Only the application service %s may make or remove the alias %s", owner, alias)
	}
	return nil
}

// CreateAlias names a room.
func (s *Service) CreateAlias(ctx context.Context, by By, alias id.RoomAlias, roomID id.RoomID) error {
	if err := s.mayChangeAlias(by, alias); err != nil {
		return err
	}
	ts := s.Now().UnixMilli()
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		nid, err := joinedRoom(tx, roomID, by.User)
		if err != nil {
			return err
		}
		return tx.InsertAlias(alias, nid, by.User, ts)
	})
	if errors.Is(err, store.ErrExists) {
		return matrixError(409, "M_UNKNOWN", "The alias %s is taken", alias)
	}
	return err
}

// joinedRoom returns the integer of a room that a user is in.
func joinedRoom(tx *store.Tx, roomID id.RoomID, user id.UserID) (int64, error) {
	nid, err := tx.RoomNID(roomID)
	if err != nil {
		return 0, err
	}
	m, err := tx.Membership(nid, user)
	if errors.Is(err, store.ErrNotFound) || err == nil && m.Membership != event.MembershipJoin {
		err = notIn(roomID)
	}
	return nid, err
}

// DeleteAlias takes a name from a room: its creator may, and those who may change the room's canonical alias.
func (s *Service) DeleteAlias(ctx context.Context, by By, alias id.RoomAlias) error {
	if err := s.mayChangeAlias(by, alias); err != nil {
		return err
	}
	a, err := s.aliasRow(ctx, alias)
	if err != nil {
		return err
	}
	if a.Creator != by.User {
		may, err := s.maySetState(ctx, a.RoomID, by.User, typeCanonicalAlias)
		if err != nil {
			return err
		}
		if !may {
			return matrixError(403, "M_FORBIDDEN", "You may not remove the alias %s", alias)
		}
	}
	return s.deleteAlias(ctx, by, a)
}

// DeleteAnyAlias takes a name from a room, whosever it is: for administrators of the server.
func (s *Service) DeleteAnyAlias(ctx context.Context, by By, alias id.RoomAlias) error {
	a, err := s.aliasRow(ctx, alias)
	if err != nil {
		return err
	}
	return s.deleteAlias(ctx, by, a)
}

// aliasRow finds an alias of this server. 404 M_NOT_FOUND.
func (s *Service) aliasRow(ctx context.Context, alias id.RoomAlias) (a store.Alias, err error) {
	if _, err := s.checkAlias(alias); err != nil {
		return a, err
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		a, err = tx.Alias(alias)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = matrixError(404, "M_NOT_FOUND", "There is no room with the alias %s", alias)
	}
	return a, err
}

func (s *Service) deleteAlias(ctx context.Context, by By, a store.Alias) error {
	err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.DeleteAlias(a.Alias) })
	if errors.Is(err, store.ErrNotFound) {
		return nil // another removed it at the same moment
	}
	if err != nil {
		return err
	}
	// The alias is gone, whatever becomes of what the room says of it.
	if err := s.forgetAlias(context.WithoutCancel(ctx), by, a); err != nil {
		zerolog.Ctx(ctx).Debug().Err(err).Stringer("room_id", a.RoomID).Msg("A room keeps an alias in its state that is gone")
	}
	return nil
}

// forgetAlias takes an alias out of a room's m.room.canonical_alias event when the user may. Client-Server API,
// DELETE /directory/room/{roomAlias}.
func (s *Service) forgetAlias(ctx context.Context, by By, a store.Alias) error {
	var content json.RawMessage
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := joinedRoom(tx, a.RoomID, by.User)
		if err != nil {
			return err
		}
		e, err := tx.CurrentStateEvent(nid, typeCanonicalAlias, "")
		if err == nil {
			content, err = withoutAlias(e.Content, a.Alias)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && content == nil {
		return nil
	}
	if err != nil {
		return err
	}
	stateKey := ""
	_, err = s.send(ctx, a.RoomID, draft{Type: typeCanonicalAlias, StateKey: &stateKey, Sender: by.User, Content: content, TS: s.ts(by)}, nil)
	return err
}

// withoutAlias returns the content of an m.room.canonical_alias event without an alias; nil when it does not name it.
func withoutAlias(content json.RawMessage, alias id.RoomAlias) (json.RawMessage, error) {
	all, err := canonicalAliases(content)
	if err != nil || !slices.Contains(all, alias) {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, err
	}
	others := all[:len(all)-1]
	if all[len(all)-1] == alias {
		delete(fields, "alias")
	}
	if slices.Contains(others, alias) {
		raw, err := json.Marshal(slices.DeleteFunc(others, func(a id.RoomAlias) bool { return a == alias }))
		if err != nil {
			return nil, err
		}
		fields["alt_aliases"] = raw
	}
	return json.Marshal(fields)
}

// RoomAliases lists the aliases of a room for one of its members, or for anybody when the room is world_readable (Client-Server
// API, GET /rooms/{roomId}/aliases).
func (s *Service) RoomAliases(ctx context.Context, by By, roomID id.RoomID) ([]id.RoomAlias, error) {
	var all []id.RoomAlias
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		m, err := tx.Membership(nid, by.User)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if m.Membership != "join" {
			// A room that everybody may read tells everybody its aliases.
			e, err := tx.CurrentStateEvent(nid, event.TypeHistoryVisibility, "")
			if errors.Is(err, store.ErrNotFound) || err == nil && e.HistoryVisibility() != event.VisibilityWorldReadable {
				return notIn(roomID)
			}
			if err != nil {
				return err
			}
		}
		all, err = tx.AliasesOf(nid)
		return err
	})
	return all, err
}

// maySetState tells whether a joined user has the power to send a type of state event.
func (s *Service) maySetState(ctx context.Context, roomID id.RoomID, user id.UserID, eventType string) (bool, error) {
	h := s.head(roomID)
	defer s.release(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(ctx, s.DB); err != nil {
		return false, err
	}
	if err := h.need(ctx, s.DB, []eventauth.StateKey{createKey, powerKey, memberKey(user)}); err != nil {
		return false, err
	}
	member := h.Get(memberKey(user))
	return member != nil && member.Membership() == "join" &&
		eventauth.UserLevel(h, user) >= eventauth.RequiredLevel(h, eventType, true), nil
}

// checkCanonicalAlias refuses aliases that do not lead to the room (Client-Server API, "m.room.canonical_alias"), but for those
// that the current event has already.
func (s *Service) checkCanonicalAlias(ctx context.Context, by By, roomID id.RoomID, content json.RawMessage) error {
	next, err := canonicalAliases(content)
	if err != nil {
		return matrixError(400, "M_BAD_JSON", "alias must be a string and alt_aliases a list of strings")
	}
	return s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := joinedRoom(tx, roomID, by.User)
		if err != nil {
			return err
		}
		var now []id.RoomAlias
		if e, err := tx.CurrentStateEvent(nid, typeCanonicalAlias, ""); err == nil {
			now, _ = canonicalAliases(e.Content) // an odd event of old allows nothing
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for _, alias := range next {
			if alias == "" || slices.Contains(now, alias) {
				continue
			}
			if _, err := s.checkAlias(alias); err != nil {
				return err
			}
			a, err := tx.Alias(alias)
			if errors.Is(err, store.ErrNotFound) || err == nil && a.RoomID != roomID {
				return matrixError(400, "M_BAD_ALIAS", "The alias %s does not lead to this room", alias)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// canonicalAliases returns the aliases in the content of an m.room.canonical_alias event: the alternative ones, and last the main one,
// which is "" when there is none. The keys are compared exactly, as those
// who read the event will: to decode into a struct would take "Alias" for alias.
func canonicalAliases(content json.RawMessage) ([]id.RoomAlias, error) {
	var (
		fields map[string]json.RawMessage
		alias  id.RoomAlias
		all    []id.RoomAlias
	)
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, err
	}
	for key, into := range map[string]any{"alias": &alias, "alt_aliases": &all} {
		if raw, ok := fields[key]; ok {
			if err := json.Unmarshal(raw, into); err != nil {
				return nil, err
			}
		}
	}
	return append(all, alias), nil
}
