package usersync

import (
	"fmt"
	"testing"
)

func TestSlidingFilters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.room(alice, "shared")
		direct := w.room(alice, "shared")
		space := w.room(alice, "shared", obj{"type": "m.space"})
		secret := w.room(alice, "shared")
		secret.set(alice, "m.room.encryption", "", obj{"algorithm": "m.megolm.v1.aes-sha2"})
		secret.set(alice, "m.room.name", "", obj{"name": "Secret things"})
		invited := w.room(bob, "shared")
		invited.member(bob, alice, "invite")
		invited.set(bob, "m.room.encryption", "", obj{"algorithm": "m.megolm.v1.aes-sha2"}) // after she was invited
		foreign := w.room(bob, "shared", obj{"type": "m.space"})
		foreign.set(bob, "m.space.child", string(plain.id), obj{"via": []string{"test"}})
		space.set(alice, "m.space.child", string(direct.id), obj{"via": []string{"test"}})
		space.set(alice, "m.space.child", string(secret.id), obj{"via": []string{"test"}})
		space.set(alice, "m.space.child", string(secret.id), obj{})
		w.setData(alice, nil, "m.direct", fmt.Sprintf(`{"@bob:test":[%q],"@x:test":7}`, direct.id))
		w.setData(alice, plain, "m.tag", `{"tags":{"m.favourite":{"order":0.1},"u.a":{}}}`)
		w.setData(alice, secret, "m.tag", `{"tags":{"u.a":{}}}`)
		rooms := []*place{plain, direct, space, secret, invited, foreign}
		for _, tt := range []struct {
			name   string
			old    bool
			filter obj
			want   []string
		}{
			{"none", false, obj{}, list("0", "1", "2", "3", "4")},
			{"direct", false, obj{"is_dm": true}, list("1")},
			{"not direct", false, obj{"is_dm": false}, list("0", "2", "3", "4")},
			{"encrypted", false, obj{"is_encrypted": true}, list("3")},
			{"not encrypted", false, obj{"is_encrypted": false}, list("0", "1", "2", "4")},
			{"invited", false, obj{"is_invited": true}, list("4")},
			{"not invited", false, obj{"is_invited": false}, list("0", "1", "2", "3")},
			{"old: invited", true, obj{"is_invite": true}, list("4")},
			{"spaces", false, obj{"room_types": []any{"m.space"}}, list("2")},
			{"rooms", false, obj{"room_types": []any{nil}}, list("0", "1", "3", "4")},
			{"no type", false, obj{"room_types": []any{}}, list()},
			{"old: no type is any", true, obj{"room_types": []any{}}, list("0", "1", "2", "3", "4")},
			{"not spaces", false, obj{"not_room_types": []any{"m.space"}}, list("0", "1", "3", "4")},
			{"not wins", false, obj{"room_types": []any{"m.space", nil}, "not_room_types": []any{nil}}, list("2")},
			{"in a space", false, obj{"spaces": list(string(space.id), string(foreign.id), "!x", "y")}, list("1")},
			{"tags", false, obj{"tags": list("u.a", "u.b")}, list("0", "3")},
			{"not tags", false, obj{"tags": list("u.a"), "not_tags": list("m.favourite")}, list("3")},
			{"untagged", false, obj{"not_tags": list("u.a")}, list("1", "2", "4")},
			{"old: name", true, obj{"room_name_like": "SECRET"}, list("3")},
			{"together", false, obj{"is_dm": false, "is_encrypted": false, "is_invited": false}, list("0", "2")},
		} {
			l := obj{"timeline_limit": 1, "required_state": none(!tt.old), "filters": tt.filter}
			a := w.device(alice, !tt.old).sync(obj{"lists": obj{"l": l}})
			wantList(t, tt.name, a.briefRooms(rooms...), tt.want)
			if a.Lists["l"].Count != len(tt.want) {
				t.Errorf("%s: count %d, want %d", tt.name, a.Lists["l"].Count, len(tt.want))
			}
		}
		// What filters go by may change.
		d := w.device(alice, true)
		body := obj{"lists": obj{"l": obj{"timeline_limit": 1, "required_state": obj{}, "filters": obj{"is_dm": true}}}}
		r := d.sync(body).room(t, direct)
		if r.IsDM == nil || !*r.IsDM {
			t.Errorf("got %s", r.raw)
		}
		w.setData(alice, nil, "m.direct", fmt.Sprintf(`{"@bob:test":[%q]}`, plain.id))
		wantList(t, "another is direct", d.sync(body).briefRooms(rooms...), list("0"))
		d.pos = ""
		d.sync(all(1))
		w.setData(alice, nil, "m.direct", fmt.Sprintf(`{"@bob:test":[%q,%q]}`, direct.id, invited.id))
		a := d.sync(all(1))
		for i, want := range map[int]bool{0: false, 1: true, 4: true} {
			if r := a.room(t, rooms[i]); r.IsDM == nil || *r.IsDM != want || len(r.Timeline) > 0 {
				t.Errorf("room %d: is_dm should be %t: %s", i, want, r.raw)
			}
		}
		d.sync(all(1)).none(t)
	})
}

func TestSlidingAccountData(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, q := w.room(alice, "shared"), w.room(alice, "shared")
		w.setData(alice, nil, "x.global", `{"a":1}`)
		w.setData(alice, p, "x.room", `{"a":1}`)
		w.setData(alice, q, "x.room", `{"a":1}`)
		d := w.device(alice, true)
		body := func(upto int, extension obj) obj {
			b := listOf(true, 0, upto, 1, obj{})
			b["extensions"] = obj{"account_data": extension}
			return b
		}
		on := obj{"enabled": true}
		check := func(what string, a *slidingAnswer, global []string, inP, inQ int) {
			t.Helper()
			data := a.Extensions.AccountData
			if data == nil {
				if len(global)+inP+inQ > 0 {
					t.Errorf("%s: nothing", what)
				}
				return
			}
			wantList(t, what, brief(data.Global), global)
			if len(data.Rooms[p.id]) != inP || len(data.Rooms[q.id]) != inQ {
				t.Errorf("%s: got %+v", what, data.Rooms)
			}
		}
		check("q alone", d.sync(body(0, on)), list("x.global"), 0, 1)
		check("p, too", d.sync(body(1, on)), list(), 1, 0)
		check("nothing", d.sync(body(1, on)), list(), 0, 0)
		w.setData(alice, p, "x.room", `{"a":2}`)
		check("lost", d.lost(body(0, on)), list(), 0, 0)
		check("p changed", d.lost(body(1, on)), list(), 1, 0)
		w.restart()
		check("p changed, again", d.sync(body(1, on)), list(), 1, 0)
		w.setData(alice, nil, "x.global", `{"a":2}`)
		w.setData(alice, q, "x.room", `{"a":2}`)
		check("switched off", d.sync(body(1, obj{"enabled": false})), list(), 0, 0)
		check("for no list", d.sync(body(1, obj{"enabled": true, "lists": list()})), list("x.global"), 0, 0)
		check("for all lists", d.sync(body(1, obj{"enabled": true, "lists": list("*")})), list(), 0, 1)
		check("for one list", d.sync(body(1, obj{"enabled": true, "lists": list("l")})), list(), 0, 0)
		// A subscription alone.
		s := w.device(alice, true)
		s.name = "E"
		b := subscribe(1, obj{}, q)
		b["extensions"] = obj{"account_data": obj{"enabled": true, "rooms": list("*")}}
		check("subscribed", s.sync(b), list("x.global"), 0, 1)
		w.setData(bob, nil, "x.bobs", `{}`)
		check("another's", s.sync(b), list(), 0, 0)
	})
}
