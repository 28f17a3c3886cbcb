package room

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// restricted makes a room that is restricted to the members of another, with more state.
func restricted(t *testing.T, s *Service, other id.RoomID, levels string) id.RoomID {
	t.Helper()
	rules := fmt.Sprintf(`{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"%s"}]}`, other)
	return mustCreate(t, s, CreateRequest{
		RoomVersion: "11", InitialState: []InitialState{{Type: event.TypeJoinRules, Content: json.RawMessage(rules)}},
		PowerLevels: json.RawMessage(levels),
	})
}

// TestRestrictedRace has a user leave the room whose members are let in while joining the other: nobody gets in who has left before.
func TestRestrictedRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		other := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
		target := restricted(t, s, other, `{}`)
		let := 0
		for i := range 40 {
			if _, err := s.Join(t.Context(), as(bob), string(other), nil); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var left, joined error
			wg.Go(func() { left = s.Leave(t.Context(), as(bob), other, "") })
			wg.Go(func() { _, joined = s.Join(t.Context(), as(bob), string(target), nil) })
			wg.Wait()
			if left != nil || joined != nil && code(joined) != "M_FORBIDDEN" {
				t.Fatalf("round %d: leave %v, join %v", i, left, joined)
			}
			if joined == nil {
				let++
				if err := s.Leave(t.Context(), as(bob), target, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("%d of 40 were in time", let)
		checkTimely(t, timeline(t, db, other), timeline(t, db, target))
	})
}

// checkTimely checks that bob was in the one room whenever he joined the other.
func checkTimely(t *testing.T, other, target []*store.Event) {
	t.Helper()
	for _, join := range target {
		if !join.IsStateOf(event.TypeMember, string(bob)) || join.Membership() != event.MembershipJoin {
			continue
		}
		now := ""
		for _, e := range other {
			if e.Pos < join.Pos && e.IsStateOf(event.TypeMember, string(bob)) {
				now = e.Membership()
			}
		}
		if now != event.MembershipJoin || join.AuthorisedVia() != alice {
			t.Errorf("join %s was authorised by %q when the membership of the other room was %q", join.EventID, join.AuthorisedVia(), now)
		}
	}
}

// TestAuthoriser finds who vouches for a join, of users of this server and of another.
func TestAuthoriser(t *testing.T) {
	const stranger = id.UserID("@stranger:elsewhere")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		other := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
		deserted := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
		for _, roomID := range []id.RoomID{other, deserted} {
			if _, err := s.Join(t.Context(), as(bob), string(roomID), nil); err != nil {
				t.Fatal(err)
			}
			seat(t, db, roomID, stranger)
		}
		for _, user := range []id.UserID{alice, bob} {
			if err := s.Leave(t.Context(), as(user), deserted, ""); err != nil {
				t.Fatal(err)
			}
		}
		open := restricted(t, s, other, `{}`)
		guarded := restricted(t, s, other, `{"invite":50,"users":{"@alice:test":100,"@carol:test":100}}`)
		for _, tc := range []struct {
			name string
			room id.RoomID
			user id.UserID
			want id.UserID
			code string
		}{
			{"everybody may invite", open, bob, alice, ""},
			{"one of those who may", guarded, bob, alice, ""},
			{"not in the other room", open, carol, "", "M_FORBIDDEN"},
			{"another server's user", open, stranger, alice, ""},
			{"another server's, not in the other room", open, "@x:elsewhere", "", "M_FORBIDDEN"},
			{"in a room that nobody here is in", restricted(t, s, deserted, `{}`), stranger, "", "M_UNABLE_TO_AUTHORISE_JOIN"},
			{"one's own user, who is not in it", restricted(t, s, deserted, `{}`), bob, "", "M_FORBIDDEN"},
			{"in a room that is not known", restricted(t, s, "!none:test", `{}`), stranger, "", "M_UNABLE_TO_AUTHORISE_JOIN"},
			{"a member", open, alice, "", ""},
			{"a room that is not restricted", other, carol, "", ""},
			{"no room", "!none:test", bob, "", "M_FORBIDDEN"},
		} {
			got, err := s.Authoriser(t.Context(), tc.room, tc.user)
			if got != tc.want || code(err) != tc.code {
				t.Errorf("%s: got %q, %v, want %q, %q", tc.name, got, err, tc.want, tc.code)
			}
		}
		if err := s.Leave(t.Context(), as(alice), open, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authoriser(t.Context(), open, bob); code(err) != "M_UNABLE_TO_GRANT_JOIN" {
			t.Errorf("a room that everybody left: got %v", err)
		}
	})
}

// seat has a user of another server be in a room, as far as memberships tell.
func seat(t *testing.T, db *store.DB, roomID id.RoomID, user id.UserID) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		userNID, err := tx.NID(string(user))
		if err != nil {
			return err
		}
		return tx.SetMembership(store.Membership{RoomNID: nid, UserNID: userNID, Membership: event.MembershipJoin})
	})
	if err != nil {
		t.Fatal(err)
	}
}
