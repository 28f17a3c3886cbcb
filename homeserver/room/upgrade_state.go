package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// maxHeirlooms bounds the bans that a new room takes over from the one that it replaces, the newest first, and the children of a space:
// all of them are written in one transaction, for which other rooms wait.
const maxHeirlooms = 2000

const (
	typeSpace      = "m.space"
	typeSpaceChild = "m.space.child"
)

// transferable is the state, with an empty state key, that a new room takes over as it is. Client-Server API, "Room Upgrades", "Server
// behaviour", step 3.
var transferable = []string{
	event.TypeServerACL, "m.room.encryption", typeName, typeAvatar, typeTopic, typeGuestAccess,
	event.TypeHistoryVisibility, event.TypeJoinRules,
}

// oldRoom is a room that is to be replaced, as far as its replacement depends on it.
type oldRoom struct {
	*store.Room
	create    *event.Create
	state     map[string]*store.Event // by type, with an empty state key
	children  []*store.Event          // of a space
	bans      []*store.Event
	aliases   []id.RoomAlias
	tombstone int64 // what the new one takes the place of, 0 for none
	last      id.EventID
}

// upgradable reads a room that is to be replaced. 403 M_FORBIDDEN when it has been replaced already.
func (s *Service) upgradable(ctx context.Context, roomID id.RoomID) (*oldRoom, error) {
	old := &oldRoom{state: make(map[string]*store.Event)}
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if old.Room, err = tx.Room(roomID); err != nil {
			return err
		}
		types := append([]string{event.TypeCreate, event.TypePowerLevels, typeCanonicalAlias, typeTombstone}, transferable...)
		events, err := tx.StateOfRooms([]int64{old.NID}, types)
		if err != nil {
			return err
		}
		for _, e := range events {
			old.state[e.Type] = e
		}
		create := old.state[event.TypeCreate]
		if create == nil {
			return fmt.Errorf("create event of %s: %w", roomID, store.ErrNotFound)
		}
		if old.create, err = create.Create(); err != nil {
			return err
		}
		if e := old.state[typeTombstone]; e != nil {
			if to := tombstoneTarget(e.Content); to != "" {
				return matrixError(403, "M_FORBIDDEN", "%s has been replaced by %s already", roomID, to)
			}
			old.tombstone = e.NID
		}
		return old.readMore(tx)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = unknownRoom(roomID)
	}
	return old, err
}

func (old *oldRoom) readMore(tx *store.Tx) (err error) {
	if old.create.RoomType == typeSpace {
		if old.children, err = tx.CurrentStateOfType(old.NID, typeSpaceChild); err != nil {
			return err
		}
		old.children = old.children[:min(len(old.children), maxHeirlooms)]
	}
	if old.bans, err = tx.BannedMembers(old.NID, maxHeirlooms); err != nil {
		return err
	}
	if len(old.bans) == maxHeirlooms {
		zerolog.Ctx(tx.Context()).Warn().Stringer("room_id", old.RoomID).Int("bans", maxHeirlooms).
			Msg("An upgraded room has many bans, and its older ones are left behind")
	}
	if old.aliases, err = tx.AliasesOf(old.NID); err != nil {
		return err
	}
	tips, err := tx.Extremities(old.NID)
	if err == nil && len(tips) > 0 {
		old.last = tips[len(tips)-1].EventID
	}
	return err
}

// foundations are the events without which a new room is none: the first ones, and one that follows all others.
type foundations struct {
	drafts []draft
	last   draft
}

// heirlooms are the events of the new room: those that it must have, and what it takes over besides as far as its version lets it.
func (old *oldRoom) heirlooms(by By, version *event.RoomVersion, creators []id.UserID, ts int64, member json.RawMessage) (must foundations, may *draftList, err error) {
	first, last := &draftList{by: by, ts: ts}, &draftList{by: by, ts: ts}
	may = &draftList{by: by, ts: ts}
	first.addMap(event.TypeCreate, old.createContent(by, version, creators))
	first.add(event.TypeMember, string(by.User), member)
	for _, eventType := range transferable {
		e := old.state[eventType]
		switch {
		case e == nil || string(e.Content) == "{}": // which is what a redaction may have left
		case eventType == event.TypeJoinRules && !knowsJoinRule(version, e.JoinRule()):
			may.addMap(eventType, map[string]any{"join_rule": event.JoinRuleInvite})
		default:
			may.add(eventType, "", fitting(version, e.Content))
		}
	}
	for _, e := range old.children {
		if string(e.Content) != "{}" { // which takes a child out
			may.add(e.Type, *e.StateKey, e.Content)
		}
	}
	for _, e := range slices.Backward(old.bans) {
		content := map[string]string{"membership": event.MembershipBan}
		if reason := e.ContentString("reason"); reason != "" {
			content["reason"] = reason
		}
		raw, err := json.Marshal(content)
		if err != nil {
			return must, nil, err
		}
		may.add(event.TypeMember, *e.StateKey, raw)
	}
	if moved := old.aliasContent(true); len(moved) > 0 {
		may.addMap(typeCanonicalAlias, moved)
	}
	last.addMap(event.TypePowerLevels, old.levels(by, version, creators))
	return foundations{first.drafts, last.drafts[0]}, may, errors.Join(first.err, may.err, last.err)
}

// fitting returns what of the content of an event the events of a version can hold.
func fitting(version *event.RoomVersion, content json.RawMessage) json.RawMessage {
	if _, err := version.Canonical(content); err == nil {
		return content
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		return content
	}
	for name, raw := range fields {
		if _, err := version.Canonical([]byte(`{"":` + string(raw) + `}`)); err != nil {
			delete(fields, name)
		}
	}
	fit, err := json.Marshal(fields)
	if err != nil {
		return content
	}
	return fit
}

func (old *oldRoom) createContent(by By, version *event.RoomVersion, creators []id.UserID) map[string]any {
	predecessor := map[string]any{"room_id": old.RoomID}
	if !version.RoomIDIsCreateHash { // where the new room's id depends on it, it may be left out
		predecessor["event_id"] = old.last
	}
	content := map[string]any{"room_version": version.ID, "predecessor": predecessor}
	if old.create.RoomType != "" {
		content["type"] = old.create.RoomType
	}
	if !old.create.Federate {
		content["m.federate"] = false
	}
	if version.CreatorField {
		content["creator"] = by.User
	}
	if len(creators) > 0 {
		content["additional_creators"] = creators
	}
	return content
}

// knowsJoinRule tells whether a room of a version can be joined by a rule.
func knowsJoinRule(v *event.RoomVersion, rule string) bool {
	switch rule {
	case event.JoinRuleKnock:
		return v.Knock
	case event.JoinRuleRestricted:
		return v.Restricted
	case event.JoinRuleKnockRestricted:
		return v.KnockRestricted
	}
	return true
}

// aliasContent returns the content of an m.room.canonical_alias event with those of the aliases that go to the new room, or with those
// that do not.
func (old *oldRoom) aliasContent(moved bool) map[string]any {
	content := make(map[string]any)
	e := old.state[typeCanonicalAlias]
	if e == nil {
		return content
	}
	all, err := canonicalAliases(e.Content)
	if err != nil || len(all) == 0 {
		return content
	}
	goes := func(alias id.RoomAlias) bool { return slices.Contains(old.aliases, alias) == moved }
	if main := all[len(all)-1]; main != "" && goes(main) {
		content["alias"] = main
	}
	var others []id.RoomAlias
	for _, alias := range all[:len(all)-1] {
		if goes(alias) {
			others = append(others, alias)
		}
	}
	if len(others) > 0 {
		content["alt_aliases"] = others
	}
	return content
}

// aliasesLeft is the content of the old room's m.room.canonical_alias event when its aliases are gone; nil when it need not change.
func (old *oldRoom) aliasesLeft() (json.RawMessage, error) {
	if len(old.aliasContent(true)) == 0 {
		return nil, nil
	}
	return json.Marshal(old.aliasContent(false))
}

// powerLevels returns what the room's m.room.power_levels event says; nil when it has none.
func (old *oldRoom) powerLevels() (*store.Event, *event.PowerLevels) {
	e := old.state[event.TypePowerLevels]
	if e == nil {
		return nil, nil
	}
	levels, err := e.PowerLevels()
	if err != nil {
		return nil, nil
	}
	return e, levels
}
