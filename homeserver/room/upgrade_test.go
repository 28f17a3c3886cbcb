package room

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestUpgradeVersions upgrades rooms of each version to itself, the one after it, the first and the last, and checks all that is
// stored of both.
func TestUpgradeVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		versions := event.Versions()
		last := len(versions) - 1
		for i, from := range versions {
			for _, to := range []*event.RoomVersion{from, versions[min(i+1, last)], versions[0], versions[last]} {
				t.Run(from.ID+" to "+to.ID, func(t *testing.T) {
					old := mustCreate(t, s, CreateRequest{RoomVersion: from.ID, Preset: "public_chat", Name: "N"})
					if _, err := s.Join(t.Context(), as(bob), string(old), nil); err != nil {
						t.Fatal(err)
					}
					if err := s.Ban(t.Context(), as(alice), old, bob, "rude"); err != nil {
						t.Fatal(err)
					}
					replacement, err := s.Upgrade(t.Context(), as(alice), old, UpgradeRequest{NewVersion: to.ID})
					if err != nil {
						t.Fatal(err)
					}
					checkReplacement(t, db, old, replacement, to)
					if _, err := s.Send(t.Context(), as(alice), replacement, "m.room.message", "1", body("on we go")); err != nil {
						t.Errorf("send in the new room: %v", err)
					}
					if _, err := s.Join(t.Context(), as(bob), string(replacement), nil); code(err) != "M_FORBIDDEN" {
						t.Errorf("a banned user joins: got %v", err)
					}
				})
			}
		}
	})
}

func checkReplacement(t *testing.T, db *store.DB, old, replacement id.RoomID, to *event.RoomVersion) {
	t.Helper()
	var before *event.PDU // the last event before the tombstone
	all := timeline(t, db, old)
	for i, e := range all {
		if e.Type == typeTombstone {
			before = all[i-1].PDU
		}
	}
	if before == nil || all[len(all)-1].Type != event.TypePowerLevels {
		t.Fatalf("got %v as the end of the old room", all[len(all)-1])
	}
	fresh := timeline(t, db, replacement)
	create, err := fresh[0].Create()
	if err != nil {
		t.Fatal(err)
	}
	want := event.Predecessor{RoomID: old, EventID: before.EventID}
	if to.RoomIDIsCreateHash {
		want.EventID = ""
	}
	if create.Predecessor == nil || *create.Predecessor != want || create.RoomVersion != to.ID {
		t.Errorf("got predecessor %v and version %s, want %v and %s", create.Predecessor, create.RoomVersion, want, to.ID)
	}
	levels, err := fresh[len(fresh)-1].PowerLevels()
	if err != nil {
		t.Fatal(err)
	}
	if _, listed := levels.Users[alice]; listed == to.PrivilegedCreators {
		t.Errorf("the creator has a level of her own: %t", listed)
	}
}

// TestUpgradeAtOnce has several upgrade a room at the same time: there is one new room, and all names lead to it.
func TestUpgradeAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		for _, version := range []string{"11", "12"} {
			old := mustCreate(t, s, CreateRequest{Preset: "public_chat", Visibility: "public", AliasLocalpart: "main" + version, RoomVersion: "10"})
			const tries = 8
			var wg sync.WaitGroup
			made := make([]id.RoomID, tries)
			errs := make([]error, tries)
			for i := range tries {
				wg.Go(func() { made[i], errs[i] = s.Upgrade(t.Context(), as(alice), old, UpgradeRequest{NewVersion: version}) })
			}
			wg.Wait()
			var winner id.RoomID
			for i, err := range errs {
				switch {
				case err == nil && winner == "":
					winner = made[i]
				case code(err) != "M_FORBIDDEN":
					t.Errorf("version %s: got %q, %v besides %q", version, made[i], err, winner)
				}
			}
			if got, err := s.ResolveAlias(t.Context(), as(bob), id.RoomAlias("#main"+version+":test")); err != nil || got != winner {
				t.Errorf("the alias leads to %s, %v, want %s", got, err, winner)
			}
			page, err := s.Directory(t.Context(), DirectoryRequest{})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(page.Chunk, func(e DirectoryEntry) bool { return e.RoomID == winner })
			if i < 0 || page.Total != int64(len(page.Chunk)) || slices.ContainsFunc(page.Chunk, func(e DirectoryEntry) bool { return e.RoomID == old }) {
				t.Errorf("got the directory %v", page.Chunk)
			}
			timeline(t, db, old)
			timeline(t, db, winner)
		}
	})
}

// TestUpgradeRefusedLate has the tombstone refused when the new room is ready: nothing is left of it, and the old room goes on.
func TestUpgradeRefusedLate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		between func(t *testing.T, s *Service, roomID id.RoomID)
	}{
		{"another tombstone", func(t *testing.T, s *Service, roomID id.RoomID) {
			content := json.RawMessage(`{"body":"x","replacement_room":"!elsewhere:test"}`)
			if _, err := s.SendState(t.Context(), as(alice), roomID, typeTombstone, "", content); err != nil {
				t.Fatal(err)
			}
		}},
		{"the power is lost", func(t *testing.T, s *Service, roomID id.RoomID) {
			content := json.RawMessage(`{"users":{"@alice:test":100}}`)
			if _, err := s.SendState(t.Context(), as(alice), roomID, event.TypePowerLevels, "", content); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				s := newService(db)
				old := mustCreate(t, s, CreateRequest{
					Preset: "public_chat", AliasLocalpart: "main", RoomVersion: "11",
					PowerLevels: json.RawMessage(`{"users":{"@alice:test":100,"@bob:test":90},"events":{"m.room.tombstone":90}}`),
				})
				if _, err := s.Join(t.Context(), as(bob), string(old), nil); err != nil {
					t.Fatal(err)
				}
				state, err := s.upgradable(t.Context(), old)
				if err != nil {
					t.Fatal(err)
				}
				version, err := event.LookupVersion("12")
				if err != nil {
					t.Fatal(err)
				}
				h, fresh, err := s.replacement(t.Context(), as(bob), state, version, nil)
				if err != nil {
					t.Fatal(err)
				}
				tc.between(t, s, old)
				if err := s.replace(t.Context(), as(bob), state, h, fresh); code(err) != "M_FORBIDDEN" {
					t.Errorf("got %v, want M_FORBIDDEN", err)
				}
				if _, err := s.Published(t.Context(), h.roomID); code(err) != "M_NOT_FOUND" {
					t.Errorf("the new room: got %v, want M_NOT_FOUND", err)
				}
				if got, err := s.ResolveAlias(t.Context(), as(bob), "#main:test"); err != nil || got != old {
					t.Errorf("the alias leads to %s, %v", got, err)
				}
				if _, err := s.Send(t.Context(), as(bob), old, "m.room.message", "1", body("still here")); err != nil {
					t.Errorf("send in the old room: %v", err)
				}
				timeline(t, db, old)
			})
		})
	}
}

// TestUpgradedLevels turns power levels of one version into those of another.
func TestUpgradedLevels(t *testing.T) {
	for _, tc := range []struct {
		name, from, to, levels string // levels "" for none
		creators               []id.UserID
		want, raised           string // raised "" for no change
	}{
		{"none", "11", "11", "", nil, `{"events":{},"users":{"@alice:test":100}}`, `{"events_default":50,"invite":50,"users":{"@alice:test":100}}`},
		{"none, to creators", "11", "12", "", nil, `{"events":{"m.room.tombstone":150},"users":{}}`, `{"events_default":50,"invite":50,"users":{"@alice:test":100}}`},
		{"none, from creators", "12", "11", "", nil, `{"events":{},"users":{"@alice:test":100}}`, `{"events_default":50,"invite":50}`},
		{"none, of creators", "12", "12", "", nil, `{"events":{"m.room.tombstone":150},"users":{}}`, `{"events_default":50,"invite":50}`},
		{"empty", "11", "11", `{}`, nil, `{"events":{},"users":{}}`, `{"events_default":50,"invite":50}`},
		{"texts to integers", "9", "10", `{"ban":"40","users":{"@alice:test":"100"},"events":{"a":"7"},"notifications":{"room":"5"},"x":"y"}`, nil,
			`{"ban":40,"events":{"a":7},"notifications":{"room":5},"users":{"@alice:test":100},"x":"y"}`,
			`{"ban":"40","events":{"a":50},"events_default":50,"invite":50,"notifications":{"room":"5"},"users":{"@alice:test":"100"},"x":"y"}`},
		{"floats to integers", "5", "6", `{"ban":40.5,"x":1.5,"users":{"@alice:test":100}}`, nil,
			`{"ban":40,"events":{},"users":{"@alice:test":100}}`, `{"ban":40.5,"events_default":50,"invite":50,"users":{"@alice:test":100},"x":1.5}`},
		{"to creators", "11", "12", `{"users":{"@alice:test":100,"@bob:test":100,"@carol:test":50},"events":{"m.room.tombstone":100}}`, []id.UserID{bob},
			`{"events":{"m.room.tombstone":150},"users":{"@carol:test":50}}`,
			`{"events":{"m.room.tombstone":100},"events_default":50,"invite":50,"users":{"@alice:test":100,"@bob:test":100,"@carol:test":50}}`},
		{"of creators", "12", "12", `{"events":{"m.room.tombstone":120},"state_default":119}`, nil,
			`{"events":{"m.room.tombstone":120},"state_default":119,"users":{}}`,
			`{"events":{"m.room.tombstone":120},"events_default":50,"invite":50,"state_default":119}`},
		{"of creators, too low", "12", "12", `{"events":{"m.room.tombstone":120},"state_default":120}`, nil,
			`{"events":{"m.room.tombstone":121},"state_default":120,"users":{}}`,
			`{"events":{"m.room.tombstone":120},"events_default":50,"invite":50,"state_default":120}`},
		{"as high as can be", "12", "12", `{"state_default":9007199254740991}`, nil,
			`{"events":{"m.room.tombstone":9007199254740991},"state_default":9007199254740991,"users":{}}`,
			`{"events_default":50,"invite":50,"state_default":9007199254740991}`},
		{"from creators", "12", "11", `{"users":{"@carol:test":120},"ban":130,"events":{"m.room.tombstone":170}}`, nil,
			`{"ban":130,"events":{"m.room.tombstone":170},"users":{"@alice:test":170,"@carol:test":120}}`,
			`{"ban":130,"events":{"m.room.tombstone":170},"events_default":50,"invite":50,"users":{"@carol:test":120}}`},
		{"raised above everybody", "11", "11", `{"users_default":70,"invite":60,"events_default":80,"events":{"a":71,"b":70}}`, nil,
			`{"events":{"a":71,"b":70},"events_default":80,"invite":60,"users":{},"users_default":70}`,
			`{"events":{"a":71,"b":71},"events_default":80,"invite":71,"users_default":70}`},
		{"raised already", "11", "11", `{"invite":50,"events_default":50}`, nil, `{"events":{},"events_default":50,"invite":50,"users":{}}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := levelsOf(t, tc.from, tc.levels)
			to, err := event.LookupVersion(tc.to)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(old.levels(as(alice), to, tc.creators))
			if err != nil || string(got) != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
			raised, err := old.raisedLevels()
			if err != nil || string(raised) != tc.raised {
				t.Errorf("raised: got %s, %v, want %s", raised, err, tc.raised)
			}
		})
	}
}

// levelsOf returns a room of alice with the given power levels.
func levelsOf(t *testing.T, version, levels string) *oldRoom {
	t.Helper()
	v, err := event.LookupVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	old := &oldRoom{Room: &store.Room{Version: v}, create: &event.Create{Creator: alice}, state: make(map[string]*store.Event)}
	if levels == "" {
		return old
	}
	stateKey := ""
	b := event.Builder{RoomID: "!x:test", Sender: alice, Type: event.TypePowerLevels, StateKey: &stateKey, Content: json.RawMessage(levels), Depth: 1}
	if v.RoomIDIsCreateHash {
		b.RoomID = "!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	}
	pdu, err := b.Build(v, newService(nil).Key)
	if err != nil {
		t.Fatal(err)
	}
	old.state[event.TypePowerLevels] = &store.Event{PDU: pdu}
	return old
}

// TestUpgradeManyBans has a room with many bans replaced.
func TestUpgradeManyBans(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		old := mustCreate(t, s, CreateRequest{RoomVersion: "11"})
		const bans = 300
		for i := range bans {
			if err := s.Ban(t.Context(), as(alice), old, id.UserID(fmt.Sprintf("@rude%d:elsewhere", i)), ""); err != nil {
				t.Fatal(err)
			}
		}
		replacement, err := s.Upgrade(t.Context(), as(alice), old, UpgradeRequest{NewVersion: "12"})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, e := range timeline(t, db, replacement) {
			if e.Type == event.TypeMember && e.Membership() == event.MembershipBan {
				got++
			}
		}
		if got != bans {
			t.Errorf("got %d bans, want %d", got, bans)
		}
	})
}
