package bridges_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"causeway/bridges"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// TestPolicyOnHomeserver follows the policy room of a real homeserver, which is found by its alias: with a rule from before the start, one
// that comes, one that is redacted, and the reaper, which does not leave it.
func TestPolicyOnHomeserver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		alice, room := h.populated("ghost")
		if err := h.bridge.SetPower(t.Context(), room, alice.ID, 100); err != nil {
			t.Fatal(err)
		}
		h.hs.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/state/m.room.join_rules/", alice.Token,
			map[string]any{"join_rule": "public"}, nil)
		bob, moderator := h.hs.Register("bob"), h.hs.Register("moderator")
		var lists struct {
			RoomID id.RoomID `json:"room_id"`
		}
		h.hs.OK("POST", "/_matrix/client/v3/createRoom", moderator.Token, map[string]any{"preset": "public_chat", "room_alias_name": "bans"}, &lists)
		rule := func(key, entity string) (eventID id.EventID) {
			var sent struct {
				EventID id.EventID `json:"event_id"`
			}
			h.hs.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(lists.RoomID))+"/state/m.policy.rule.user/"+key, moderator.Token,
				map[string]any{"entity": entity, "recommendation": "m.ban", "reason": "spam"}, &sent)
			return sent.EventID
		}
		rule("bob", "@b?b:"+testserver.Name)
		h.stop()
		h.lists = bridges.PolicyRooms{"#bans:" + testserver.Name}
		h.open()
		h.run()

		in := func(user id.UserID) bool { return slices.Contains(h.joined(alice, room), user) }
		txn := 0
		say := func(user testserver.User, text string) {
			t.Helper()
			txn++
			h.hs.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/m.room.message/%d", url.PathEscape(string(room)), txn), user.Token,
				map[string]any{"msgtype": "m.text", "body": text}, nil)
		}
		join := func(user testserver.User) {
			h.hs.OK("POST", "/_matrix/client/v3/join/"+url.PathEscape(loopAlias), user.Token, map[string]any{}, nil)
		}
		join(bob)
		h.until("bob is turned away", func() bool { return !in(bob.ID) })
		say(alice, "one")
		bridges.Await(h.net.Network(), t, 1)

		carol := h.hs.Register("carol")
		join(carol)
		redacted := rule("carol", "@carol:*")
		h.until("carol is removed", func() bool { return !in(carol.ID) })
		h.hs.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(lists.RoomID))+"/redact/"+url.PathEscape(string(redacted))+"/1", moderator.Token,
			map[string]any{}, nil)
		h.until("the rule is taken back", func() bool { return !h.bridge.Excluded(carol.ID) })
		join(carol)
		say(alice, "two")
		if got := bridges.Await(h.net.Network(), t, 2); !slices.Equal(got, []string{"one", "two"}) || !in(carol.ID) {
			t.Errorf("the network got %q, and carol is there: %v", got, in(carol.ID))
		}
		if !h.bridge.Excluded(bob.ID) {
			t.Error("bob is banned no longer")
		}

		h.hs.OK("POST", "/_matrix/client/v3/rooms/"+url.PathEscape(string(lists.RoomID))+"/leave", moderator.Token, map[string]any{}, nil)
		if err := h.bridge.Reap(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if count, err := h.bridge.Count(t.Context(), "host_deserted"); err != nil || count != 0 {
			t.Errorf("%d rooms are to be left because nobody is there, %v; want none", count, err)
		}
	})
}
