package sender

import (
	"errors"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/registration"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// newMautrix starts an application service of that library, and puts its address into the registration.
func newMautrix(t testing.TB, reg *registration.Registration) *appservice.AppService {
	t.Helper()
	as, err := appservice.CreateFull(appservice.CreateOpts{
		Registration: &appservice.Registration{ID: reg.ID, AppToken: reg.ASToken, ServerToken: reg.HSToken, SenderLocalpart: reg.SenderLocalpart,
			EphemeralEvents: reg.ReceiveEphemeral, MSC3202: reg.MSC3202},
		HomeserverDomain: serverName, HomeserverURL: "http://homeserver.invalid",
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(as.Router)
	t.Cleanup(server.Close)
	reg.URL = server.URL
	return as
}

// TestMautrixBeside has the library read what is not an event.
func TestMautrixBeside(t *testing.T) {
	reg := fullRegistration(t)
	as := newMautrix(t, reg)
	h := newHouse(t, storetest.New(t))
	s := h.senderOf(nil, newSet(t, reg))
	s.opt.PresenceMembers = 10
	board := h.board()
	s.Attend(board)
	defer h.start(s)()
	r := h.room("bridged")
	r.member(ghost, "join")
	h.account(ghost, "irc")
	h.keys(ghost, 5)
	message := r.say(alice, "hello")
	awaitEvent(t, as.Events, event.EventMessage)

	r.read(alice, store.ReceiptRead, "", message)
	if e := awaitEvent(t, as.Events, event.EphemeralEventReceipt); e.RoomID != r.id || (*e.Content.AsReceipt())[message]["m.read"][alice].Timestamp.UnixMilli() != 5 {
		t.Errorf("the receipt is %+v in %s", e.Content.Raw, e.RoomID)
	}
	h.presence(alice, "online", "here")
	if e := awaitEvent(t, as.Events, event.EphemeralEventPresence); e.Sender != alice || e.Content.AsPresence().StatusMessage != "here" {
		t.Errorf("the presence is %+v of %s", e.Content.Raw, e.Sender)
	}
	board.types(r, alice)
	if e := awaitEvent(t, as.Events, event.EphemeralEventTyping); e.RoomID != r.id || !slices.Equal(e.Content.AsTyping().UserIDs, []id.UserID{alice}) {
		t.Errorf("the typing is %+v in %s", e.Content.Raw, e.RoomID)
	}
	h.claim(ghost)
	if counts := await(t, as.OTKCounts); counts.UserID != ghost || counts.DeviceID != device || counts.SignedCurve25519 != 4 {
		t.Errorf("the counts are %+v, want 4 keys of the ghost", counts)
	}
	h.mail(ghost, "secret")
	if e := await(t, as.ToDeviceEvents); e.ToUserID != ghost || e.ToDeviceID != device || e.Sender != alice || e.Content.Raw["body"] != "secret" {
		t.Errorf("the message is %+v to %s %s", e.Content.Raw, e.ToUserID, e.ToDeviceID)
	}
	h.devicesChanged(alice)
	for !slices.Contains(await(t, as.DeviceLists).Changed, alice) {
		t.Log("told of other devices") // the ghost's own
	}
}

func await[T any](t testing.TB, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("the bridge got no %T", got)
	}
	return got
}

// awaitEvent waits for an event of a type, past others.
func awaitEvent(t testing.TB, from <-chan *event.Event, eventType event.Type) *event.Event {
	t.Helper()
	for {
		if e := await(t, from); e.Type.Type == eventType.Type {
			return e
		}
	}
}

// TestMautrix sends to the library that most bridges are made with.
func TestMautrix(t *testing.T) {
	reg := ircRegistration(t)
	as := newMautrix(t, reg)
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
