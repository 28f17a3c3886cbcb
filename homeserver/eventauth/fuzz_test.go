package eventauth

import (
	"encoding/json"
	"errors"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// FuzzCheck puts strangers' contents into the events that authorisation reads, and checks that nothing breaks, that the answer is always
// the same, and that it depends on no more of the state than Needed names.
func FuzzCheck(f *testing.F) {
	for _, version := range []string{"1", "5", "10", "11", "12"} {
		f.Add(version, "@mod:here", event.TypePowerLevels, "", `{"users":{"@bob:here":1},"notifications":{"room":5}}`, `{"ban":"50","events":{}}`)
		f.Add(version, "@bob:here", event.TypeMember, "@stranger:there", `{"membership":"invite","third_party_invite":{"signed":{"mxid":"@stranger:there","token":""}}}`, `{"public_keys":[{"public_key":"x"}]}`)
		f.Add(version, "@left:there", event.TypeMember, "@left:there", `{"membership":"join","join_authorised_via_users_server":"@bob:here"}`, `{"join_rule":"restricted"}`)
		f.Add(version, "@carol:there", event.TypeMember, "@carol:there", `{"membership":"leave"}`, `{"m.federate":false}`)
		f.Add(version, "@carol:there", event.TypeRedaction, "", `{}`, `{"redact":-1}`)
		f.Add(version, "@carol:there", event.TypeAliases, "there", `{}`, `{}`)
	}
	f.Fuzz(func(t *testing.T, version, sender, evType, key, content, current string) {
		if _, err := event.LookupVersion(version); err != nil || !event.ValidUserID(sender) || evType == event.TypeCreate {
			return
		}
		r := newRoom(t, version, "")
		for _, place := range []StateKey{{evType, key}, {Type: event.TypePowerLevels}, {Type: event.TypeJoinRules}, {Type: event.TypeThirdPartyInvite}} {
			if p := r.tryBuild(ev{"@bob:here", place.Type, place.Key, current}); p != nil {
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
		for _, k := range NeededBy(p) {
			least[k] = r.state[k]
		}
		if again := Check(p, least); (again == nil) != (err == nil) {
			t.Fatalf("with the needed state: got %v, want %v", again, err)
		}
		Visible(VisibilityInput{Event: p, User: id.UserID(key), Visibility: content, Membership: evType})
	})
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
