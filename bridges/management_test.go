package bridges

import (
	"fmt"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// Somebody opens and leaves rooms with the bot while they speak in another: what bridgev2 remembers of the one is not read while it changes.
func TestManagementRooms(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), nil)
	room := w.portal(t, "chat")
	const rounds = 20
	for i := range rounds {
		own := id.RoomID(fmt.Sprintf("!own%d", i))
		hs.SetMember(w.alice, own, w.alice, "join", "")
		hs.SetMember(w.alice, own, w.Bot(), "invite", "")
		hs.Say(w.alice, room, "one")
		hs.AwaitMembership(own, w.Bot(), "join")
		hs.Say(w.alice, room, "two")
		hs.SetMember(w.alice, own, w.alice, "leave", "")
		hs.Say(w.alice, room, "three")
	}
	w.net.await(t, 3*rounds)
	hs.AwaitAcknowledged()
	user, err := w.v2.GetUserByMXID(t.Context(), w.alice)
	if err != nil || user.ManagementRoom != "" {
		t.Errorf("of the rooms that are left, %q is still that of the bot: %v", user.ManagementRoom, err)
	}
}
