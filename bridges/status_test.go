package bridges

import (
	"strings"
	"testing"

	"causeway/bridges/bridgetest"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
)

func TestStatus(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), nil)
	room := w.portal(t, "chat")
	for login, state := range map[networkid.UserLoginID]status.BridgeStateEvent{
		"a": status.StateConnected, "b": status.StateConnected, "c": status.StateBadCredentials, "d": status.StateLoggedOut,
	} {
		if err := w.conn.SendBridgeStatus(t.Context(), &status.BridgeState{RemoteID: login, StateEvent: state}); err != nil {
			t.Fatal(err)
		}
	}
	// Who has no login cannot be heard on the network.
	stranger := hs.User("stranger")
	hs.SetMember(stranger, room, stranger, "join", "")
	hs.Say(stranger, room, "hello?")
	hs.AwaitEvent("a refusal", func(e *bridgetest.Event) bool {
		return e.Room == room && e.MsgType() == "m.notice" && strings.Contains(e.Text(), "not logged in")
	})
	w.conn.tally.note(event.StateTopic, &bridgev2.MessageStatus{Status: event.MessageStatusFail})
	w.conn.tally.note(event.EventMessage, &bridgev2.MessageStatus{Status: event.MessageStatusSuccess})
	got := w.Status()
	if got.State != "RUNNING" || got.Logins["CONNECTED"] != 2 || got.Logins["BAD_CREDENTIALS"] != 1 || len(got.Logins) != 2 {
		t.Errorf("the bridge is %s, the logins are %v", got.State, got.Logins)
	}
	if got.Delivered != 1 || got.Failed != 1 || got.FailedTS == 0 || len(got.Reasons) != 1 {
		t.Errorf("%d were delivered, %d failed at %d for %v", got.Delivered, got.Failed, got.FailedTS, got.Reasons)
	}
}
