package bridges

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// policyRoom is the room of the lists in these tests.
const policyRoom id.RoomID = "!policy"

// listed is a homeserver with a policy room.
func listed(t *testing.T) *bridgetest.Homeserver {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	admin := hs.User("admin")
	hs.SendState(admin, policyRoom, "m.room.create", "", map[string]any{"room_version": "12"})
	hs.SetMember(admin, policyRoom, admin, "join", "")
	return hs
}

// ban adds a rule, or takes it back when entity is empty.
func ban(hs *bridgetest.Homeserver, kind, key, entity string) {
	content := map[string]any{}
	if entity != "" {
		content = map[string]any{"entity": entity, "recommendation": "m.ban", "reason": "spam"}
	}
	hs.SendState(hs.User("admin"), policyRoom, "m.policy.rule."+kind, key, content)
}

func withLists(o *Options) { o.PolicyRooms = PolicyRooms{string(policyRoom)} }

// connections is how many logins are connected.
func (n *loopNetwork) connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.connected
}

// awaitConnections waits until so many logins are connected.
func (n *loopNetwork) awaitConnections(t *testing.T, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bridgetest.Patience)
	defer cancel()
	for n.connections() != count {
		select {
		case <-n.bell:
		case <-ctx.Done():
			t.Fatalf("%d logins are connected, want %d", n.connections(), count)
		}
	}
}

// Whom a list bans is not let in: not who is banned at the start, nor who is later, until the ban is taken back.
func TestPolicy(t *testing.T) {
	hs := listed(t)
	ban(hs, "server", "evil", "*.evil.test")
	dir := t.TempDir()
	w := startWith(t, hs, dir, withLists, nil)
	room := w.portal(t, "chat")
	hs.SetMember(w.Bot(), room, w.alice, "join", "")
	mallory := id.UserID("@mallory:matrix.evil.test")
	hs.SetMember(mallory, room, mallory, "join", "")
	if e := hs.AwaitMembership(room, mallory, "leave"); e.Sender != w.Bot() || !strings.Contains(e.Content["reason"].(string), "spam") {
		t.Errorf("got %v by %s, want the bot and the reason", e.Content, e.Sender)
	}
	hs.Say(mallory, room, "buy")
	hs.Say(w.alice, room, "one")
	w.net.await(t, 1)

	before := w.net.connections()
	ban(hs, "user", "alice", string(w.alice))
	hs.AwaitAcknowledged()
	hs.Say(w.alice, room, "unheard")
	hs.AwaitMembership(room, w.alice, "leave")
	w.net.awaitConnections(t, before-1)
	hs.AwaitAcknowledged()
	if state := w.conn.tally.stateOf(loopLogin); state.Error != policyState || !strings.Contains(state.Message, "spam") {
		t.Errorf("the login is %v, want the reason", state)
	}
	r := httptest.NewRequest(http.MethodGet, ProvisioningPath+"/v3/whoami?user_id="+string(w.alice), nil)
	r.Header.Set("Authorization", "Bearer "+w.Registration().HSToken)
	answer := httptest.NewRecorder()
	w.Handler().ServeHTTP(answer, r)
	if answer.Code != http.StatusForbidden {
		t.Errorf("the provisioning API lets her in: %d %s", answer.Code, answer.Body)
	}

	ban(hs, "user", "alice", "")
	hs.AwaitAcknowledged()
	w.net.awaitConnections(t, before)
	hs.SetMember(w.alice, room, w.alice, "join", "")
	hs.Say(w.alice, room, "two")
	if got := w.net.await(t, 2); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("the network got %q, want one and two", got)
	}

	// And after a restart.
	ban(hs, "user", "alice", string(w.alice))
	hs.AwaitMembership(room, w.alice, "leave")
	w.stop()
	again := startWith(t, hs, dir, withLists, nil)
	hs.Say(w.alice, room, "unheard")
	hs.AwaitAcknowledged()
	if got := again.net.connections(); got > 0 {
		t.Errorf("%d logins are connected, want none", got)
	}
	if got := again.net.await(t, 0); len(got) != 0 {
		t.Errorf("the network got %q, want nothing", got)
	}
}

// A room that a list bans is left, and not entered.
func TestPolicyOfRooms(t *testing.T) {
	hs := listed(t)
	ban(hs, "room", "secret", "#loop_secret*:hs.test")
	w := startWith(t, hs, t.TempDir(), withLists, func(w *world) { w.HastenUnbridging() })
	room, other := w.portal(t, "chat"), w.portal(t, "other")
	if status, body := hs.QueryAlias("#loop_secrets:hs.test"); status != http.StatusNotFound || !strings.Contains(body, "policy list") {
		t.Errorf("the banned alias: got %d %s", status, body)
	}
	ban(hs, "room", "chat", string(room))
	hs.AwaitMembership(room, w.Bot(), "leave")
	hs.Say(w.alice, room, "unheard")
	hs.Say(w.alice, other, "one")
	if got := w.net.await(t, 1); !slices.Equal(got, []string{"one"}) || w.HasPortal(t.Context(), room) {
		t.Errorf("the network got %q, want what was said in the other room", got)
	}
	hs.SetMember(w.alice, room, w.Bot(), "invite", "")
	hs.Await("the refusal", func() bool { return hs.State(room, "m.room.member", string(w.Bot())).Membership() == "leave" })
}

// An administrator of the bridge is let in, whatever a list says; and one that bans everybody does not stop what comes from the network.
func TestPolicyOfEverybody(t *testing.T) {
	hs := listed(t)
	ban(hs, "user", "all", "@*")
	level, all := bridgeconfig.PermissionLevelAdmin, bridgeconfig.PermissionLevelUser
	w := startWith(t, hs, t.TempDir(), func(o *Options) {
		withLists(o)
		o.Permissions = bridgeconfig.PermissionConfig{hs.ServerName: &all, string(hs.User("alice")): &level}
	}, nil)
	room := w.portal(t, "chat")
	bob := hs.User("bob")
	hs.SetMember(bob, room, bob, "join", "")
	hs.Say(bob, room, "unheard")
	hs.Say(w.alice, room, "one")
	if got := w.net.await(t, 1); !slices.Equal(got, []string{"one"}) {
		t.Errorf("the network got %q, want what the administrator says", got)
	}
	hs.AwaitMembership(room, bob, "leave")
	w.remote("chat", "carol", networkid.MessageID("1"), "from the network")
	hs.AwaitText(room, "from the network")
}

// A policy room that the bot is not let into is tried again, and nobody waits for it; one that it is removed from stays in force.
func TestPolicyRoomAway(t *testing.T) {
	hs := listed(t)
	mallory := hs.User("mallory")
	ban(hs, "user", "mallory", string(mallory))
	w := startWith(t, hs, t.TempDir(), func(o *Options) { o.PolicyRooms = PolicyRooms{"#nowhere:hs.test", string(policyRoom)} }, nil)
	hs.SetMember(hs.User("admin"), policyRoom, w.Bot(), "ban", "")
	hs.AwaitAcknowledged()
	room := w.portal(t, "chat")
	hs.SetMember(mallory, room, mallory, "join", "")
	hs.AwaitMembership(room, mallory, "leave")
	hs.Say(mallory, room, "unheard")
	hs.Say(w.alice, room, "one")
	if got := w.net.await(t, 1); !slices.Equal(got, []string{"one"}) {
		t.Errorf("the network got %q", got)
	}
}

// What is ephemeral says nothing of those who are kept out.
func TestPolicyOfEphemera(t *testing.T) {
	hs := listed(t)
	ban(hs, "server", "evil", "evil.test")
	w := startWith(t, hs, t.TempDir(), withLists, nil)
	parse := func(text string) *event.Event {
		evt := parseEphemeral([]byte(text))
		if evt == nil {
			t.Fatalf("%s is none", text)
		}
		return evt
	}
	typing := parse(`{"type":"m.typing","room_id":"!r","content":{"user_ids":["@a:evil.test","@b:hs.test"]}}`)
	if w.policies.strip(typing) || !slices.Equal(typing.Content.AsTyping().UserIDs, []id.UserID{"@b:hs.test"}) {
		t.Errorf("got %v", typing.Content.AsTyping())
	}
	receipts := parse(`{"type":"m.receipt","room_id":"!r","content":{"$e":{"m.read":{"@a:evil.test":{"ts":1},"@b:hs.test":{"ts":1}}}}}`)
	if got := (*receipts.Content.AsReceipt())["$e"]["m.read"]; w.policies.strip(receipts) || len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if !w.policies.strip(parse(`{"type":"m.presence","sender":"@a:evil.test","content":{"presence":"online"}}`)) {
		t.Error("the presence of who is banned is passed on")
	}
	if w.policies.strip(parse(`{"type":"m.presence","sender":"@b:hs.test","content":{"presence":"online"}}`)) {
		t.Error("the presence of others is held back")
	}
}
