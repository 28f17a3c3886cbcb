package room

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Bounds of one createRoom.
const (
	maxInvites      = 200
	maxInitialState = 200
)

// maxCreateTries bounds how often a room is made anew because another has its id, and createSpread by how much its time differs then, in
// milliseconds.
const (
	maxCreateTries = 100
	createSpread   = 20
)

// CreateRequest is the body of POST /createRoom (Client-Server API, "Creation").
type CreateRequest struct {
	Visibility      string          `json:"visibility"` // public or private
	AliasLocalpart  string          `json:"room_alias_name"`
	Name            string          `json:"name"`
	Topic           string          `json:"topic"`
	Invite          []id.UserID     `json:"invite"`
	Invite3PID      []AddressInvite `json:"invite_3pid"`
	RoomVersion     string          `json:"room_version"`
	CreationContent map[string]any  `json:"creation_content"`
	InitialState    []InitialState  `json:"initial_state"`
	Preset          string          `json:"preset"`
	IsDirect        bool            `json:"is_direct"`
	PowerLevels     json.RawMessage `json:"power_level_content_override"`
	ServiceCreate
}

// InitialState is a state event that a new room starts with.
type InitialState struct {
	Type     string          `json:"type"`
	StateKey string          `json:"state_key"`
	Content  json.RawMessage `json:"content"`
}

// preset is a row of the specification's table of presets.
type preset struct {
	joinRule, historyVisibility, guestAccess string
	trusted                                  bool // invited users get the creator's power
}

var presets = map[string]preset{
	"private_chat":         {"invite", "shared", "can_join", false},
	"trusted_private_chat": {"invite", "shared", "can_join", true},
	"public_chat":          {"public", "shared", "forbidden", false},
}

// Create makes a room with all its first events in one transaction.
func (s *Service) Create(ctx context.Context, by By, in CreateRequest) (id.RoomID, error) {
	unversioned := in.RoomVersion == ""
	if unversioned {
		in.RoomVersion = s.DefaultVersion
	}
	version, err := event.LookupVersion(in.RoomVersion)
	if err != nil {
		return "", matrixError(400, "M_UNSUPPORTED_ROOM_VERSION", "This server does not know room version %q", in.RoomVersion)
	}
	if unversioned && version.PrivilegedCreators {
		in.PowerLevels = withoutCreator(in.PowerLevels, by.User)
	}
	rules, err := in.check()
	if err != nil {
		return "", err
	}
	if err := in.checkMembers(by); err != nil {
		return "", err
	}
	var alias id.RoomAlias
	if in.AliasLocalpart != "" {
		alias = id.RoomAlias("#" + in.AliasLocalpart + ":" + s.ServerName)
		if err := s.mayChangeAlias(by, alias); err != nil {
			return "", err
		}
	}
	if err := in.checkAliases(alias); err != nil {
		return "", err
	}
	if err := s.checkAddresses(ctx, by, in.Invite3PID); err != nil {
		return "", err
	}
	if err := s.summonAll(ctx, by, slices.Concat(in.Invite, in.Members)...); err != nil {
		return "", err
	}
	// A room's id may be the hash of its create event, and one user's rooms that begin alike in one millisecond would be one.
	for range maxCreateTries {
		roomID, err := s.create(ctx, by, version, rules, alias, in)
		if err == nil {
			s.inviteAddresses(ctx, by, roomID, in.Invite3PID)
		}
		if !errors.Is(err, store.ErrExists) {
			return roomID, err
		}
		by.TS = s.ts(by) + 1 + rand.Int64N(createSpread) // others may be trying the same
	}
	return "", fmt.Errorf("create a room: %w", store.ErrExists)
}

// create is one attempt to make a room. ErrExists when there is a room of the same id.
func (s *Service) create(ctx context.Context, by By, version *event.RoomVersion, rules preset, alias id.RoomAlias, in CreateRequest) (id.RoomID, error) {
	drafts, err := s.firstEvents(ctx, by, version, rules, alias, in)
	if err != nil {
		return "", err
	}
	h := &head{
		version: version, create: true, published: in.Visibility == "public", loaded: true, refs: 1,
		generation: s.DB.Generation(),
		last:       &entry{}, state: make(map[eventauth.StateKey]*entry),
	}
	if !version.RoomIDIsCreateHash {
		h.roomID = id.RoomID("!" + cryptorand.Text()[:18] + ":" + s.ServerName)
	}
	ts := s.ts(by)
	_, err = s.appendOnce(ctx, h, drafts, func(tx *store.Tx) error {
		if alias == "" {
			return nil
		}
		err := tx.InsertAlias(alias, h.nid, by.User, ts)
		if errors.Is(err, store.ErrExists) {
			return matrixError(400, "M_ROOM_IN_USE", "The alias %s is taken", alias)
		}
		return err
	})
	var refused mautrix.RespError
	if errors.As(err, &refused) && refused.ErrCode == "M_FORBIDDEN" { // by the authorisation rules: the request is at odds with itself
		return "", matrixError(400, "M_INVALID_ROOM_STATE", "%s", refused.Err)
	}
	if err != nil {
		return "", err
	}
	return h.roomID, nil
}

func (in *CreateRequest) check() (preset, error) {
	if in.Visibility != "" && in.Visibility != "public" && in.Visibility != "private" {
		return preset{}, matrixError(400, "M_BAD_JSON", "visibility is %q: it must be public or private", in.Visibility)
	}
	if in.Preset == "" {
		in.Preset = "private_chat"
		if in.Visibility == "public" {
			in.Preset = "public_chat"
		}
	}
	rules, ok := presets[in.Preset]
	switch {
	case !ok:
		return rules, matrixError(400, "M_BAD_JSON", "preset is %q: it must be private_chat, trusted_private_chat or public_chat", in.Preset)
	case len(in.InitialState) > maxInitialState:
		return rules, matrixError(400, "M_LIMIT_EXCEEDED", "initial_state has more than %d events", maxInitialState)
	}
	for _, user := range in.Invite {
		if _, _, err := user.Parse(); err != nil {
			return rules, matrixError(400, "M_INVALID_PARAM", "invite: %q is not a user id", user)
		}
	}
	return rules, nil
}

// checkAliases refuses an m.room.canonical_alias event that names other aliases than the new room's own: they lead elsewhere, or nowhere.
func (in *CreateRequest) checkAliases(own id.RoomAlias) error {
	for _, e := range in.InitialState {
		if e.Type != typeCanonicalAlias || len(e.Content) == 0 {
			continue
		}
		aliases, err := canonicalAliases(e.Content)
		if err != nil {
			return matrixError(400, "M_BAD_JSON", "alias must be a string and alt_aliases a list of strings")
		}
		for _, alias := range aliases {
			if alias != "" && alias != own {
				return matrixError(400, "M_BAD_ALIAS", "The alias %s does not lead to this room", alias)
			}
		}
	}
	return nil
}

// firstEvents are the events of a new room, in the order that the specification gives.
func (s *Service) firstEvents(ctx context.Context, by By, version *event.RoomVersion, rules preset, alias id.RoomAlias, in CreateRequest) ([]draft, error) {
	b := &draftList{by: by, ts: s.ts(by), set: make(map[eventauth.StateKey]bool)}
	if err := b.create(version, rules, in); err != nil {
		return nil, err
	}
	member, err := s.memberContent(ctx, by.User, "join", nil)
	if err != nil {
		return nil, err
	}
	b.add(event.TypeMember, string(by.User), member)
	if err := b.powerLevels(version, rules, in); err != nil {
		return nil, err
	}
	if alias != "" {
		b.addMap(typeCanonicalAlias, map[string]any{"alias": alias})
	}
	for _, e := range in.InitialState {
		b.set[eventauth.StateKey{Type: e.Type, Key: e.StateKey}] = true
	}
	for _, d := range []struct{ eventType, key, value string }{
		{event.TypeJoinRules, "join_rule", rules.joinRule},
		{event.TypeHistoryVisibility, "history_visibility", rules.historyVisibility},
		{typeGuestAccess, "guest_access", rules.guestAccess},
	} {
		if !b.set[eventauth.StateKey{Type: d.eventType}] {
			b.addMap(d.eventType, map[string]any{d.key: d.value})
		}
	}
	for _, e := range in.InitialState {
		if e.Type == "" || len(e.Content) == 0 {
			return nil, matrixError(400, "M_BAD_JSON", "initial_state: an event of type %q lacks its type or content", e.Type)
		}
		b.add(e.Type, e.StateKey, e.Content)
	}
	if in.Name != "" {
		b.addMap("m.room.name", map[string]any{"name": in.Name})
	}
	if in.Topic != "" {
		b.addMap("m.room.topic", map[string]any{"topic": in.Topic, "m.topic": map[string]any{
			"m.text": []any{map[string]any{"body": in.Topic}}, // Client-Server API, "m.room.topic"
		}})
	}
	if err := s.addArrivals(ctx, b, in); err != nil {
		return nil, err
	}
	return b.drafts, b.err
}

// addArrivals adds the invitations to a new room, and the joins of those who come at once.
func (s *Service) addArrivals(ctx context.Context, b *draftList, in CreateRequest) error {
	invited, joining := in.arrivals(ctx, b.by)
	for _, user := range invited {
		var extra map[string]any
		if in.IsDirect {
			extra = map[string]any{"is_direct": true}
		}
		content, err := s.memberContent(ctx, user, event.MembershipInvite, extra)
		if err != nil {
			return err
		}
		b.add(event.TypeMember, string(user), content)
		if !joining[user] {
			continue
		}
		if content, err = s.memberContent(ctx, user, event.MembershipJoin, nil); err != nil {
			return err
		}
		b.addJoin(user, content)
	}
	return nil
}

// draftList collects the drafts of state events.
type draftList struct {
	by     By
	ts     int64
	drafts []draft
	set    map[eventauth.StateKey]bool
	err    error
}

func (b *draftList) add(eventType, stateKey string, content json.RawMessage) {
	b.drafts = append(b.drafts, draft{Type: eventType, StateKey: &stateKey, Sender: b.by.User, Content: content, TS: b.ts})
}

func (b *draftList) addMap(eventType string, content map[string]any) {
	raw, err := json.Marshal(content)
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("%s: %w", eventType, err))
	}
	b.add(eventType, "", raw)
}

func (b *draftList) create(version *event.RoomVersion, rules preset, in CreateRequest) error {
	content := make(map[string]any, len(in.CreationContent)+2)
	for k, v := range in.CreationContent {
		content[k] = v
	}
	content["room_version"] = version.ID
	if version.CreatorField {
		content["creator"] = b.by.User
	} else {
		delete(content, "creator")
	}
	if version.PrivilegedCreators && rules.trusted && len(in.Invite) > 0 {
		var given []any
		if v, ok := content["additional_creators"]; ok {
			if given, ok = v.([]any); !ok {
				return matrixError(400, "M_BAD_JSON", "creation_content.additional_creators must be a list of user ids")
			}
		}
		for _, user := range in.Invite {
			given = append(given, string(user))
		}
		content["additional_creators"] = given
	}
	b.addMap(event.TypeCreate, content)
	return nil
}

func (b *draftList) powerLevels(version *event.RoomVersion, rules preset, in CreateRequest) error {
	users := map[string]any{}
	if !version.PrivilegedCreators { // creators of later versions have all power and must not be listed
		users[string(b.by.User)] = 100
		if rules.trusted {
			for _, user := range in.Invite {
				users[string(user)] = 100
			}
		}
	}
	tombstone, invite := 100, 0
	if version.PrivilegedCreators {
		tombstone = 150
	}
	if in.Preset == "public_chat" {
		invite = 50
	}
	events := map[string]any{
		"m.room.name": 50, "m.room.avatar": 50, "m.room.canonical_alias": 50, "m.room.power_levels": 100,
		"m.room.history_visibility": 100, "m.room.encryption": 100, "m.room.server_acl": 100, "m.room.tombstone": tombstone,
	}
	content := map[string]any{
		"users": users, "users_default": 0, "events_default": 0, "state_default": 50,
		"ban": 50, "kick": 50, "redact": 50, "invite": invite, "events": events,
	}
	if len(in.PowerLevels) > 0 {
		var override map[string]json.RawMessage
		if err := json.Unmarshal(in.PowerLevels, &override); err != nil {
			return matrixError(400, "M_BAD_JSON", "power_level_content_override must be an object")
		}
		for k, v := range override {
			content[k] = v
		}
	}
	allowCalls(content)
	b.addMap(event.TypePowerLevels, content)
	return nil
}
