package eventauth

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// FuzzCheck puts strangers' contents into the events that authorisation and visibility read, and checks that nothing breaks, that the
// answer is always the same, that it depends on no more of the state than Needed names, and that nobody who is not in the room can do
// more than to come in.
func FuzzCheck(f *testing.F) {
	for _, version := range []string{"1", "5", "10", "11", "12"} {
		f.Add(version, "@mod:here", event.TypePowerLevels, "", `{"users":{"@bob:here":1},"notifications":{"room":5}}`, `{"ban":"50","events":{}}`)
		f.Add(version, "@bob:here", event.TypeMember, "@stranger:there", `{"membership":"invite","third_party_invite":{"signed":{"mxid":"@stranger:there","token":""}}}`, `{"public_keys":[{"public_key":"x"}]}`)
		f.Add(version, "@left:there", event.TypeMember, "@left:there", `{"membership":"join","join_authorised_via_users_server":"@bob:here"}`, `{"join_rule":"restricted"}`)
		f.Add(version, "@carol:there", event.TypeMember, "@carol:there", `{"membership":"leave"}`, `{"m.federate":false}`)
		f.Add(version, "@carol:there", event.TypeRedaction, "", `{}`, `{"redact":-1}`)
		f.Add(version, "@carol:there", event.TypeAliases, "there", `{}`, `{}`)
		f.Add(version, "@carol:there", event.TypeCreate, "", `{"creator":1,"additional_creators":["@a:b"],"room_version":"1"}`, `{}`)
		f.Add(version, "@mod:here", event.TypeHistoryVisibility, "", `{"history_visibility":"joined"}`, `{"history_visibility":[]}`)
		f.Add(version, "@mod:here", event.TypeServerACL, "", `{"allow":["*"],"deny":[1]}`, `{"users_default":1e2,"users":{"@mod:here":"1"}}`)
	}
	rooms := make(map[string]*testRoom)
	for _, v := range event.Versions() {
		rooms[v.ID] = newRoom(f, v.ID, "")
	}
	f.Fuzz(func(t *testing.T, version, sender, evType, key, content, current string) {
		if rooms[version] == nil || !event.ValidUserID(sender) {
			return
		}
		r := *rooms[version]
		r.state = maps.Clone(r.state)
		for _, place := range []StateKey{{evType, key}, {Type: event.TypePowerLevels}, {Type: event.TypeJoinRules}, {Type: event.TypeThirdPartyInvite}} {
			if p := r.tryBuild(ev{"@bob:here", place.Type, place.Key, current}); p != nil && place.Type != event.TypeCreate {
				r.state[place] = p
			}
		}
		p := r.tryBuild(ev{sender, evType, key, content})
		if p == nil {
			return
		}
		err := Check(p, r.state)
		var denied *NotAllowed
		if err != nil && !errors.As(err, &denied) {
			t.Fatalf("got %v, which is no NotAllowed", err)
		}
		least := StateMap{{Type: event.TypeCreate}: r.create}
		var listed []*event.PDU
		for _, k := range NeededBy(p) {
			if e := r.state[k]; e != nil {
				least[k] = e
				listed = append(listed, e)
			}
		}
		if again := Check(p, least); (again == nil) != (err == nil) {
			t.Fatalf("with the needed state: got %v, want %v", again, err)
		}
		if err := CheckAuthEvents(p, listed, nil); err != nil {
			t.Fatalf("the events that it needs are refused: %v", err)
		}
		if Membership(r.state, p.Sender) != event.MembershipJoin && err == nil && evType != event.TypeMember && evType != event.TypeCreate && evType != event.TypeAliases {
			t.Fatalf("an outsider may send %s", p.JSON())
		}
		checkViews(t, p, sender, content)
	})
}

// checkViews checks what must hold between the views of p, whoever looks at it.
func checkViews(t *testing.T, p *event.PDU, other, visibility string) {
	t.Helper()
	for _, membership := range []string{"", "join", "invite", "ban"} {
		in := VisibilityInput{Event: p, User: id.UserID(other), Visibility: visibility, Membership: membership, JoinedAfter: len(visibility)%2 == 0}
		plain := ViewFor(in)
		in.SenderErased = true
		erased := ViewFor(in)
		in.SenderIgnored = true
		if ignored := ViewFor(in); erased > plain || ignored > erased || (plain == Hidden) != (erased == Hidden) {
			t.Fatalf("%+v: got %s, %s when erased, %s when ignored, too", in, plain, erased, ignored)
		}
		server := ServerVisibilityInput{
			Event: p, Server: event.ServerOf(other), Visibility: visibility, Joined: membership == "join", Invited: membership == "invite",
		}
		outside := VisibleToServer(server)
		server.InRoom = true
		if inside := VisibleToServer(server); inside < outside || inside == Hidden {
			t.Fatalf("%+v: got %s, %s outside", server, inside, outside)
		}
	}
	ServerAllowed(p, event.ServerOf(other))
}

// tryBuild is build, but returns nil for what cannot be built.
func (r *testRoom) tryBuild(e ev) *event.PDU {
	b := &event.Builder{
		RoomID: r.create.RoomID, Sender: id.UserID(e.sender), Type: e.evType, StateKey: &e.key, Content: json.RawMessage(e.content),
		PrevEvents: []id.EventID{}, Depth: 9,
	}
	p, err := b.Build(r.version, r.key)
	if err != nil {
		return nil
	}
	return p
}

func BenchmarkCheck(b *testing.B) {
	r := newRoom(b, "12", "")
	p := r.build(ev{"@bob:here", "m.room.message", none, `{"body":"x"}`}, []id.EventID{"$x"})
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(p, r.state); err != nil {
			b.Fatal(err)
		}
	}
}
