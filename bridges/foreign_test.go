package bridges

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.mau.fi/util/ptr"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"

	"causeway/bridges/bridgetest"
)

// foreignNetwork is a loopNetwork as somebody else would have written it: it knows nothing of the host.
type foreignNetwork struct{ bridgev2.NetworkConnector }

// LoadUserLogin implements bridgev2.NetworkConnector.
func (n foreignNetwork) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	login.Client = &foreignClient{&loopClient{n: n.NetworkConnector.(*loopNetwork)}}
	return nil
}

type foreignClient struct{ bridgev2.NetworkAPI }

var errOfNetwork = errors.New("POST https://network.test/send?token=secret: 500")

// HandleMatrixMessage refuses, and says why for nobody in particular.
func (c *foreignClient) HandleMatrixMessage(context.Context, *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	return nil, errOfNetwork
}

// GetChatInfo implements bridgev2.NetworkAPI.
func (c *foreignClient) GetChatInfo(_ context.Context, portal *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	info := &bridgev2.ChatInfo{Name: ptr.Ptr("Chat"), Members: &bridgev2.ChatMemberList{}}
	if portal.ID == "direct" {
		info.Type = ptr.Ptr(database.RoomTypeDM)
	}
	return info, nil
}

// TestHistoryVisibility looks at who may read what a room begins with.
func TestHistoryVisibility(t *testing.T) {
	for _, test := range []struct {
		name, portal string
		foreign      bool
		want         string
	}{
		{"a channel of ours", "channel", false, "joined"},
		{"a group of others", "group", true, "invited"},
		{"a direct chat of others", "direct", true, "invited"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := startForeign(t, test.foreign)
			room := w.portal(t, networkid.PortalID(test.portal))
			e := w.hs.State(room, "m.room.history_visibility", "")
			if e == nil || e.Content["history_visibility"] != test.want {
				t.Errorf("got %v, want %s", e, test.want)
			}
		})
	}
}

// startForeign runs a bridge of a network of ours, or of others.
func startForeign(t *testing.T, foreign bool) *world {
	t.Helper()
	return startWorld(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), func(w *world) {
		if foreign {
			w.v2.Network = foreignNetwork{w.net}
		}
	})
}

// TestRefusalIsTold has a network refuse what a person sends: they are told that, and not the error, which can have secrets in it.
func TestRefusalIsTold(t *testing.T) {
	w := startForeign(t, true)
	room := w.portal(t, "chat")
	w.hs.Say(w.alice, room, "hello")
	notice := w.hs.AwaitEvent("a refusal", func(e *bridgetest.Event) bool { return e.Room == room && e.MsgType() == "m.notice" })
	if text := notice.Text(); !strings.Contains(text, untold) || strings.Contains(text, "secret") {
		t.Errorf("alice is told %q", text)
	}
}

func TestNoticed(t *testing.T) {
	plain := bridgev2.WrapErrorInStatus(errOfNetwork)
	for _, test := range []struct {
		name string
		ms   bridgev2.MessageStatus
		of   event.Type
		want string // the message of the notice, "" for none
	}{
		{"a plain error", plain, event.EventMessage, untold},
		{"of a reaction", plain, event.EventReaction, untold},
		{"words of the connector", plain.WithMessage("too long"), event.EventMessage, "too long"},
		{"silent on purpose", bridgev2.WrapErrorInStatus(errOfNetwork).WithIsCertain(true).WithSendNotice(false), event.EventMessage, ""},
		{"of a receipt", plain, event.EphemeralEventReceipt, ""},
		{"a success", bridgev2.MessageStatus{Status: event.MessageStatusSuccess}, event.EventMessage, ""},
	} {
		got := noticed(&test.ms, test.of)
		if got.SendNotice != (test.want != "") || got.SendNotice && got.Message != test.want {
			t.Errorf("%s: got a notice: %t, %q, want %q", test.name, got.SendNotice, got.Message, test.want)
		}
	}
}
