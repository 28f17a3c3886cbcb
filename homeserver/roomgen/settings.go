package roomgen

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// create is the first event.
func (w *world) create(creator id.UserID) *draft {
	v := w.room.Version
	content := object{"room_version": v.ID}
	if v.CreatorField {
		content["creator"] = creator
	}
	if more := w.additionalCreators(); len(more) > 0 {
		content["additional_creators"] = more
	}
	return state(creator, event.TypeCreate, "", content)
}

// additionalCreators are the first users of the servers after the first.
func (w *world) additionalCreators() []id.UserID {
	var more []id.UserID
	for _, s := range w.servers[1:] {
		if w.room.Version.PrivilegedCreators && len(more) < w.o.AdditionalCreators {
			more = append(more, s.users[0])
		}
	}
	return more
}

// firstLevels gives the first user of each server a level: two admins, then moderators and those in between.
func (w *world) firstLevels(creator id.UserID) *draft {
	users := object{}
	creators := append(w.additionalCreators(), creator)
	for i, s := range w.servers {
		level := 50
		switch i {
		case 0, 1:
			level = 100
		case 2:
			level = 90
		}
		if w.room.Version.PrivilegedCreators && slices.Contains(creators, s.users[0]) {
			continue
		}
		users[string(s.users[0])] = w.spell(int64(level))
	}
	return state(creator, event.TypePowerLevels, "", object{"users": users, "state_default": w.spell(50)})
}

// spell returns level as the version takes it.
func (w *world) spell(level int64) any {
	if !w.o.StringLevels || w.room.Version.IntegerPowerLevels || !w.chance(3) {
		return level
	}
	return strconv.FormatInt(level, 10)
}

// someJoinRule returns a join rule of the kind that the options ask for; nil to leave it public.
func (w *world) someJoinRule() object {
	v := w.room.Version
	rules := []string{"", event.JoinRuleInvite}
	knocks, restricted := w.o.Knocks && v.Knock, w.o.Restricted && v.Restricted
	switch {
	case knocks && restricted && v.KnockRestricted:
		rules = []string{event.JoinRuleKnockRestricted, event.JoinRuleKnock, event.JoinRuleRestricted}
	case knocks && restricted:
		rules = []string{event.JoinRuleKnock, event.JoinRuleRestricted}
	case knocks:
		rules = []string{event.JoinRuleKnock}
	case restricted:
		rules = []string{event.JoinRuleRestricted}
	}
	return joinRule(pick(w, rules))
}

func joinRule(rule string) object {
	switch rule {
	case "":
		return nil
	case event.JoinRuleRestricted, event.JoinRuleKnockRestricted:
		allow := []object{{"type": "m.room_membership", "room_id": "!space:s0.example"}}
		return object{"join_rule": rule, "allow": allow}
	}
	return object{"join_rule": rule}
}

func (w *world) changeJoinRule(s *server, st State) *draft {
	user := w.powerful(s, st)
	rule := w.someJoinRule()
	if user == "" {
		return nil
	}
	if rule == nil || w.chance(3) {
		rule = joinRule(event.JoinRulePublic)
	}
	return state(user, event.TypeJoinRules, "", rule)
}

// setting is a state event that the authorisation rules do not look at.
func (w *world) setting(s *server, st State) *draft {
	user := w.powerful(s, st)
	if user == "" {
		return nil
	}
	value := fmt.Sprintf("value %d", len(w.room.Events))
	switch w.rng.IntN(6) {
	case 0:
		return state(user, "m.room.name", "", object{"name": value})
	case 1:
		return state(user, "m.room.topic", "", object{"topic": value})
	case 2:
		visibility := pick(w, []string{event.VisibilityShared, event.VisibilityInvited, event.VisibilityJoined, event.VisibilityWorldReadable})
		return state(user, event.TypeHistoryVisibility, "", object{"history_visibility": visibility})
	case 3:
		return state(user, event.TypeAliases, s.name, object{"aliases": []string{"#" + value[6:] + ":" + s.name}})
	case 4:
		return state(user, "org.example.own", string(user), object{"value": value})
	}
	return state(user, "org.example.place", strconv.Itoa(w.rng.IntN(4)), object{"value": value})
}

// levelsNow returns the content of the power levels in st, to be changed.
func (w *world) levelsNow(st State) object {
	content := object{}
	if p := w.room.StateMap(st).Get(eventauth.StateKey{Type: event.TypePowerLevels}); p != nil {
		if json.Unmarshal(p.Content, &content) != nil {
			return object{}
		}
	}
	return content
}

// withLevel returns content with the level of user changed.
func withLevel(content object, user id.UserID, level any) object {
	users, _ := content["users"].(object)
	users = maps.Clone(users)
	if users == nil {
		users = object{}
	}
	users[string(user)] = level
	changed := maps.Clone(content)
	changed["users"] = users
	return changed
}

func (w *world) changeLevels(s *server, st State) *draft {
	user := w.powerful(s, st)
	if user == "" {
		return nil
	}
	content := w.levelsNow(st)
	level := w.spell(pick(w, []int64{0, 10, 25, 50, 50, 75, 90, 100}))
	switch w.rng.IntN(5) {
	case 0:
		content[pick(w, event.LevelNames[:])] = w.spell(pick(w, []int64{0, 0, 25, 50}))
	case 1:
		events, _ := content["events"].(object)
		events = maps.Clone(events)
		if events == nil {
			events = object{}
		}
		events[pick(w, []string{"m.room.name", "m.room.topic", "org.example.place", event.TypeJoinRules})] = level
		content["events"] = events
	default:
		content = withLevel(content, pick(w, w.users), level)
	}
	return state(user, event.TypePowerLevels, "", content)
}

// redact redacts some event of the past.
func (w *world) redact(s *server, st State) *draft {
	user := w.powerful(s, st)
	if user == "" {
		return nil
	}
	target := w.room.Events[w.rng.IntN(len(w.room.Events))].PDU.EventID
	return &draft{sender: user, evType: event.TypeRedaction, content: object{}, redacts: target}
}

// repeat says again what is the state already.
func (w *world) repeat(s *server, st State) *draft {
	var own []*event.PDU
	for i := range w.room.Events {
		p := w.room.Events[i].PDU
		if p.StateKey != nil && event.ServerOf(p.Sender) == s.name && st[eventauth.StateKey{Type: p.Type, Key: *p.StateKey}] == p.EventID {
			own = append(own, p)
		}
	}
	p := pick(w, own)
	if p == nil || p.Type == event.TypeCreate {
		return nil
	}
	content := object{}
	if json.Unmarshal(p.Content, &content) != nil {
		return nil
	}
	d := state(p.Sender, p.Type, *p.StateKey, content)
	d.vouching = event.ServerOf(p.AuthorisedVia())
	return d
}

// invitation is an invite to an email address.
type invitation struct {
	token   string
	inviter id.UserID
	key     ed25519.PrivateKey // of the identity server
}

// identityServer signs that an email address is a user's.
const identityServer = "identity.example"

func (w *world) inviteThirdParty(s *server, st State) *draft {
	user := w.joined(s, st)
	if user == "" {
		return nil
	}
	token := w.randomText()
	seed := sha256.Sum256([]byte(token))
	key := ed25519.NewKeyFromSeed(seed[:])
	public := base64.RawStdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	w.secrets = append(w.secrets, invitation{token, user, key})
	return state(user, event.TypeThirdPartyInvite, token, object{
		"display_name": "somebody", "key_validity_url": "https://identity.example/valid", "public_key": public,
		"public_keys": []object{{"public_key": public}},
	})
}

// redeem turns an invite to an email address into one to a user.
func (w *world) redeem(_ *server, _ State) *draft {
	if len(w.secrets) == 0 {
		return nil
	}
	secret := pick(w, w.secrets)
	target := pick(w, w.users)
	signed, err := json.Marshal(object{"mxid": target, "token": secret.token})
	if err != nil {
		return nil
	}
	signed, err = event.SignJSON(signed, &event.Key{ServerName: identityServer, KeyID: keyID, Private: secret.key})
	if err != nil {
		return nil
	}
	d := w.member(secret.inviter, target, event.MembershipInvite)
	d.content["third_party_invite"] = object{"display_name": "somebody", "signed": json.RawMessage(signed)}
	return d
}
