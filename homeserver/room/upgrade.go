package room

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const typeTombstone = "m.room.tombstone"

// maxAdditionalCreators bounds those of one request.
const maxAdditionalCreators = 200

// UpgradeRequest is the body of POST /rooms/{roomId}/upgrade.
type UpgradeRequest struct {
	NewVersion         string      `json:"new_version"`
	AdditionalCreators []id.UserID `json:"additional_creators"`
}

// Upgrade replaces a room by one of another version and returns the new one. Client-Server API, "Room Upgrades", "Server behaviour".
//
// The new room with what it takes over, the tombstone in the old one, and the move of the aliases and directory entries are one
// transaction: of two who upgrade a room at once, one finds that the other has. What is left to do in the old room, which is to take
// its aliases out of its state and to raise its power levels, is done afterwards as far as the user may.
//
// Errors: 400 M_UNSUPPORTED_ROOM_VERSION; 404 M_NOT_FOUND for a room that this server does not know; 403 M_FORBIDDEN for who may not
// send the tombstone, and when there is one already.
func (s *Service) Upgrade(ctx context.Context, by By, roomID id.RoomID, in UpgradeRequest) (id.RoomID, error) {
	version, err := event.LookupVersion(in.NewVersion)
	if err != nil {
		return "", matrixError(400, "M_UNSUPPORTED_ROOM_VERSION", "This server does not know room version %q", in.NewVersion)
	}
	creators, err := in.creators(by, version)
	if err != nil {
		return "", err
	}
	now, err := s.findMembership(ctx, roomID, by.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", unknownRoom(roomID)
	case err != nil:
		return "", err
	case now != event.MembershipJoin:
		return "", notIn(roomID)
	}
	if may, err := s.maySetState(ctx, roomID, by.User, typeTombstone); err != nil || !may {
		return "", errors.Join(err, matrixError(403, "M_FORBIDDEN", "You may not upgrade %s", roomID))
	}
	s.collapse(ctx, roomID) // a room with too many branches takes nothing that goes with a second room
	// Others who are refused at the same moment may keep the tombstone from being stored: what they ran into shows in the next try.
	for range maxAppendTries {
		replacement, err := s.upgrade(ctx, by, roomID, version, creators)
		if !errors.Is(err, errStale) {
			return replacement, err
		}
	}
	return "", fmt.Errorf("upgrade %s: %w", roomID, errStale)
}

// upgrade is one attempt to replace a room.
func (s *Service) upgrade(ctx context.Context, by By, roomID id.RoomID, version *event.RoomVersion, creators []id.UserID) (id.RoomID, error) {
	old, err := s.upgradable(ctx, roomID)
	if err != nil {
		return "", err
	}
	h, fresh, err := s.replacement(ctx, by, old, version, creators)
	if err != nil {
		return "", err
	}
	if err := s.replace(ctx, by, old, h, fresh); err != nil {
		return "", err
	}
	s.retire(context.WithoutCancel(ctx), by, old)
	return h.roomID, nil
}

// creators returns the creators of the new room besides the user, none in versions that have no such thing.
func (in *UpgradeRequest) creators(by By, version *event.RoomVersion) ([]id.UserID, error) {
	if !version.PrivilegedCreators {
		return nil, nil
	}
	if len(in.AdditionalCreators) > maxAdditionalCreators {
		return nil, matrixError(400, "M_LIMIT_EXCEEDED", "additional_creators has more than %d users", maxAdditionalCreators)
	}
	var creators []id.UserID
	for _, user := range in.AdditionalCreators {
		if !event.ValidUserID(string(user)) {
			return nil, matrixError(400, "M_INVALID_PARAM", "additional_creators: %q is not a user id", user)
		}
		if user != by.User && !slices.Contains(creators, user) {
			creators = append(creators, user)
		}
	}
	return creators, nil
}

// checkTombstone refuses a room that would be its own replacement.
func checkTombstone(roomID id.RoomID, content json.RawMessage) error {
	if tombstoneTarget(content) == roomID {
		return matrixError(400, "M_INVALID_PARAM", "A room cannot be replaced by itself")
	}
	return nil
}

// tombstoneTarget returns the room that the content of a tombstone names as the replacement, "" when it names none.
func tombstoneTarget(content json.RawMessage) id.RoomID {
	var fields map[string]json.RawMessage
	if json.Unmarshal(content, &fields) != nil {
		return "" // an object that cannot be sent is refused elsewhere
	}
	var target id.RoomID
	if json.Unmarshal(fields["replacement_room"], &target) != nil {
		return ""
	}
	return target
}

// replacement builds the new room, of which nothing is stored yet.
func (s *Service) replacement(ctx context.Context, by By, old *oldRoom, version *event.RoomVersion, creators []id.UserID) (*head, []*entry, error) {
	member, err := s.memberContent(ctx, by.User, event.MembershipJoin, nil)
	if err != nil {
		return nil, nil, err
	}
	must, may, err := old.heirlooms(by, version, creators, s.ts(by), member)
	if err != nil {
		return nil, nil, err
	}
	h := &head{
		version: version, create: true, loaded: true, refs: 1, generation: s.DB.Generation(),
		last: &entry{}, state: make(map[eventauth.StateKey]*entry),
	}
	if !version.RoomIDIsCreateHash {
		h.roomID = id.RoomID("!" + rand.Text()[:18] + ":" + s.ServerName)
	}
	h.mu.Lock() // nobody else has it yet
	defer h.mu.Unlock()
	var fresh []*entry
	add := func(d draft) error {
		e, isNew, err := s.build(ctx, h, d)
		if err == nil && isNew {
			h.roomID = e.pdu.RoomID // it may be the hash of the create event
			h.apply(e)
			fresh = append(fresh, e)
		}
		return err
	}
	for _, d := range must.drafts {
		if err := add(d); err != nil {
			return nil, nil, err
		}
	}
	left := 0
	for _, d := range may.drafts {
		var refused mautrix.RespError
		switch err := add(d); {
		case errors.As(err, &refused):
			left++ // what the new version does not take stays behind
		case err != nil:
			return nil, nil, err
		}
	}
	if left > 0 {
		zerolog.Ctx(ctx).Info().Stringer("room_id", old.RoomID).Int("events", left).Msg("State that the new version of a room does not take")
	}
	// The power levels come last: until then the creator may do all, whatever power the user has in the old room and will have here.
	return h, fresh, add(must.last)
}

// replace sends the tombstone and stores the new room with it.
func (s *Service) replace(ctx context.Context, by By, old *oldRoom, h *head, fresh []*entry) error {
	content, err := json.Marshal(map[string]any{"body": "This room has been replaced", "replacement_room": h.roomID})
	if err != nil {
		return err
	}
	replaced := matrixError(403, "M_FORBIDDEN", "%s has been replaced by another room already", old.RoomID)
	stateKey := ""
	d := draft{Type: typeTombstone, StateKey: &stateKey, Sender: by.User, Content: content, TS: s.ts(by)}
	_, err = s.append(ctx, old.RoomID, []draft{d}, func(tx *store.Tx) error {
		tombstone, err := tx.CurrentStateEvent(old.NID, typeTombstone, "")
		if err != nil {
			return err
		}
		if tombstone.Replaces != old.tombstone {
			return replaced
		}
		r, err := tx.RoomByNID(old.NID)
		if err != nil {
			return err
		}
		h.published = r.Published
		if err := s.write(tx, h, fresh, nil); err != nil {
			return err
		}
		if err := tx.SetPublished(old.NID, false); err != nil {
			return err
		}
		if s.Follow != nil {
			if err := s.Follow(tx, by.User, r, &store.Room{NID: h.nid, RoomID: h.roomID}); err != nil {
				return err
			}
		}
		return tx.MoveNames(old.NID, h.nid)
	})
	if errors.Is(err, store.ErrExists) { // the very same room, made at the very same moment
		return replaced
	}
	if err != nil {
		return err
	}
	s.wrote(h, fresh, nil)
	return nil
}

// retire does what is left to do in the old room. The upgrade does not depend on it.
func (s *Service) retire(ctx context.Context, by By, old *oldRoom) {
	for _, last := range []struct {
		eventType string
		content   func() (json.RawMessage, error)
	}{{typeCanonicalAlias, old.aliasesLeft}, {event.TypePowerLevels, old.raisedLevels}} {
		raw, err := last.content()
		if err == nil && raw != nil {
			stateKey := ""
			_, err = s.send(ctx, old.RoomID, draft{Type: last.eventType, StateKey: &stateKey, Sender: by.User, Content: raw, TS: s.ts(by)}, nil)
		}
		var refused mautrix.RespError
		if errors.As(err, &refused) {
			zerolog.Ctx(ctx).Debug().Err(err).Stringer("room_id", old.RoomID).Str("type", last.eventType).Msg("An upgraded room keeps its state")
		} else if err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("room_id", old.RoomID).Str("type", last.eventType).Msg("Closing an upgraded room")
		}
	}
}
