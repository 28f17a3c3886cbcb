package sender

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
)

// TestMautrix sends to the library that most bridges are made with.
func TestMautrix(t *testing.T) {
	reg := ircRegistration(t)
	as, err := appservice.CreateFull(appservice.CreateOpts{
		Registration:     &appservice.Registration{ID: reg.ID, AppToken: reg.ASToken, ServerToken: reg.HSToken, SenderLocalpart: reg.SenderLocalpart},
		HomeserverDomain: serverName, HomeserverURL: "http://homeserver.invalid",
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(as.Router)
	defer server.Close()
	reg.URL = server.URL
	h := newHouse(t, storetest.New(t))
	s := h.senderOf(nil, newSet(t, reg))
	defer h.start(s)()
	r := h.room("bridged")
	r.member(ghost, "join")
	r.setState(alice, "m.room.topic", "", `{"topic":"old"}`)
	r.setState(alice, "m.room.topic", "", `{"topic":"new"}`)
	message := r.say(alice, "hello")
	r.add(alice, "m.room.redaction", nil, `{}`, message)

	next := func(eventType event.Type) *event.Event {
		t.Helper()
		select {
		case e := <-as.Events:
			if e.Type.Type != eventType.Type || e.RoomID != r.id || e.Timestamp == 0 {
				t.Errorf("event is %s in %s at %d, want %s in %s", e.Type.Type, e.RoomID, e.Timestamp, eventType.Type, r.id)
			}
			return e
		case <-time.After(patience):
			t.Fatal("the bridge got no event")
			return nil
		}
	}
	if e := next(event.StateMember); e.GetStateKey() != string(ghost) || e.Content.AsMember().Membership != event.MembershipJoin {
		t.Errorf("the member event is %+v", e)
	}
	next(event.StateTopic)
	if e := next(event.StateTopic); e.Unsigned.PrevContent == nil || e.Unsigned.PrevContent.Raw["topic"] != "old" {
		t.Errorf("the previous content is %+v, want the old topic", e.Unsigned.PrevContent)
	}
	if e := next(event.EventMessage); e.ID != message || e.Sender != alice {
		t.Errorf("the message is %s of %s, want %s of %s", e.ID, e.Sender, message, alice)
	}
	if e := next(event.EventRedaction); e.Redacts != message {
		t.Errorf("the redaction is of %s, want %s", e.Redacts, message)
	}

	if _, err := s.QueryAlias(t.Context(), "#irc_x:test", ""); !errors.Is(err, mautrix.MNotFound) {
		t.Errorf("the query says %v, want %v", err, mautrix.MNotFound)
	}
	wrong := *reg
	wrong.HSToken = "wrong"
	if _, err := h.senderOf(nil, newSet(t, &wrong)).Ping(t.Context(), "irc", ""); !errors.Is(err, mautrix.RespError{ErrCode: "M_BAD_STATUS"}) {
		t.Errorf("a ping with a wrong token says %v, want M_BAD_STATUS", err)
	}
}
