package bridges_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/bridges"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// historyLength is how much was said, from historyBegin on every second, and reactEvery to how many one reacted.
	historyLength = 300
	reactEvery    = 60
	historyBegin  = int64(1_700_000_000_000)
)

// history is what two people said. Every tenth answers the one nine before it; some are reacted to.
func history() (all []*bridgev2.BackfillMessage) {
	for n := range historyLength {
		m := &bridgev2.BackfillMessage{
			ID:        networkid.MessageID(fmt.Sprint("m", n)),
			Sender:    bridgev2.EventSender{Sender: []networkid.UserID{"bob", "carol"}[n%2]},
			Timestamp: time.UnixMilli(historyBegin + int64(n)*1000),
			ConvertedMessage: &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{{
				Type: event.EventMessage, Content: &event.MessageEventContent{MsgType: event.MsgText, Body: fmt.Sprint("line ", n)},
			}}},
		}
		if n%10 == 9 {
			m.ReplyTo = &networkid.MessageOptionalPartID{MessageID: networkid.MessageID(fmt.Sprint("m", n-9))}
		}
		if n%reactEvery == 0 {
			m.Reactions = []*bridgev2.BackfillReaction{{Sender: bridgev2.EventSender{Sender: "carol"}, Emoji: "👍"}}
		}
		all = append(all, m)
	}
	return all
}

// said is an event of a timeline, as far as it matters here.
type said struct {
	Type    string     `json:"type"`
	EventID id.EventID `json:"event_id"`
	Sender  id.UserID  `json:"sender"`
	TS      int64      `json:"origin_server_ts"`
	Content struct {
		Body      string           `json:"body"`
		RelatesTo *event.RelatesTo `json:"m.relates_to"`
	} `json:"content"`
}

// timeline is all that a user sees of a room, the oldest first.
func (h *house) timeline(user testserver.User, room id.RoomID) (all []said) {
	h.t.Helper()
	from := ""
	for {
		var page struct {
			Chunk []said
			End   string
		}
		h.hs.OK("GET", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/messages?dir=b&limit=500"+from, user.Token, nil, &page)
		all = append(all, page.Chunk...)
		if from = "&from=" + url.QueryEscape(page.End); page.End == "" {
			slices.Reverse(all)
			return all
		}
	}
}

// of keeps the events of a type.
func of(all []said, eventType string) []said {
	return slices.DeleteFunc(slices.Clone(all), func(s said) bool { return s.Type != eventType })
}

// checkHistory checks that all that was said is there once, in order, with its times, authors and relations.
func (h *house) checkHistory(all []said) {
	h.t.Helper()
	messages, reactions := of(all, "m.room.message"), of(all, "m.reaction")
	if len(messages) != historyLength || len(reactions) != historyLength/reactEvery {
		h.t.Fatalf("got %d messages and %d reactions, want %d and %d", len(messages), len(reactions), historyLength, historyLength/reactEvery)
	}
	for n, m := range messages {
		sender := []id.UserID{"@loop_bob:" + testserver.Name, "@loop_carol:" + testserver.Name}[n%2]
		if m.Content.Body != fmt.Sprint("line ", n) || m.TS != historyBegin+int64(n)*1000 || m.Sender != sender {
			h.t.Fatalf("message %d: got %+v", n, m)
		}
		if n%10 == 9 && m.Content.RelatesTo.GetReplyTo() != messages[n-9].EventID {
			h.t.Errorf("message %d answers %+v, want %s", n, m.Content.RelatesTo, messages[n-9].EventID)
		}
	}
	for n, r := range reactions {
		if r.Content.RelatesTo.GetAnnotationID() != messages[n*reactEvery].EventID {
			h.t.Errorf("reaction %d is to %+v", n, r.Content.RelatesTo)
		}
	}
}

// checkRows checks that the bridge knows events by the IDs that they have.
func (h *house) checkRows(all []said, from int) {
	h.t.Helper()
	messages, reactions, err := h.bridge.EventIDs(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for n, m := range of(all, "m.room.message")[from:] {
		name := networkid.MessageID(fmt.Sprint("m", n+from))
		if messages[name] != m.EventID {
			h.t.Errorf("the bridge takes %s for message %s, which is %s", messages[name], name, m.EventID)
		}
	}
	for _, r := range reactions {
		if !slices.ContainsFunc(all, func(s said) bool { return s.EventID == r }) {
			h.t.Errorf("the bridge knows a reaction %s, and the room does not", r)
		}
	}
	if from == 0 && len(reactions) != historyLength/reactEvery {
		h.t.Errorf("the bridge knows %d reactions", len(reactions))
	}
}

// resync has the bridge see whether it has missed anything.
func (h *house) resync() {
	h.t.Helper()
	err := h.bridge.RemoteEvent(&simplevent.ChatResync{
		EventMeta:       simplevent.EventMeta{Type: bridgev2.RemoteEventChatResync, PortalKey: networkid.PortalKey{ID: "chat"}},
		LatestMessageTS: time.UnixMilli(historyBegin + historyLength*1000),
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// live is a message of the history as it comes when it is said.
func live(n int, text string) *simplevent.PreConvertedMessage {
	m := history()[n]
	m.Parts[0].Content.Body = text
	return &simplevent.PreConvertedMessage{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessage, PortalKey: networkid.PortalKey{ID: "chat"}, Sender: m.Sender, Timestamp: m.Timestamp,
		},
		ID: m.ID, Data: m.ConvertedMessage,
	}
}

// openHistory makes the room of the chat, until the line is cut after some requests of history, and starts the bridge anew.
func (h *house) openHistory(requests int) (alice testserver.User, room id.RoomID) {
	h.t.Helper()
	alice = h.hs.Register("alice")
	cut := h.line.cutAfter("batch_send", requests)
	opened := make(chan error, 1)
	go func() { opened <- h.bridge.ResyncPortal(h.t.Context(), alice.ID, "chat") }()
	<-cut
	h.stop()
	if err := <-opened; err != nil {
		h.t.Fatal(err)
	}
	h.line.mend()
	h.open()
	h.run()
	var synced struct {
		Rooms struct{ Invite map[id.RoomID]any }
	}
	h.hs.OK("GET", "/_matrix/client/v3/sync", alice.Token, nil, &synced)
	for room = range synced.Rooms.Invite {
		h.hs.OK("POST", "/_matrix/client/v3/join/"+url.PathEscape(string(room)), alice.Token, map[string]any{}, nil)
	}
	if room == "" {
		h.t.Fatal("alice is not invited")
	}
	return alice, room
}

// TestImport imports a history whose answer is lost in the middle with the process: nothing is doubled, nothing is missing, whatever
// comes first after the start.
func TestImport(t *testing.T) {
	for _, test := range []struct {
		name  string
		first func(h *house) // what comes first after the start
		known int            // from which message on the bridge knows them
	}{
		{"all again", func(*house) {}, 0},
		{"one of them is said live", func(h *house) {
			if err := h.bridge.RemoteEvent(live(120, "line 120")); err != nil {
				h.t.Fatal(err)
			}
		}, 120},
	} {
		t.Run(test.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				h := newHouse(t, db, func(h *house) {
					h.before, h.fill = history(), bridges.Backfill{Initial: historyLength, CatchUp: historyLength}
				})
				alice, room := h.openHistory(2)
				test.first(h)
				h.resync()
				h.resync()
				all := h.timeline(alice, room)
				h.checkHistory(all)
				h.checkRows(all, test.known)

				// What was imported can be spoken about as anything else.
				target := of(all, "m.room.message")[250]
				if err := h.bridge.RemoteEvent(removed(250)); err != nil {
					t.Fatal(err)
				}
				// bridgev2 remembers what is to disappear by its own names.
				if err := h.bridge.Redact(t.Context(), room, h.bridge.NameInBatch(room, "m260")); err != nil {
					t.Fatal(err)
				}
				for _, n := range []int{250, 260} {
					if got := of(h.timeline(alice, room), "m.room.message")[n].Content.Body; got != "" {
						t.Errorf("message %d says %q after it was deleted (%s)", n, got, target.EventID)
					}
				}
			})
		})
	}
}

// edited is an edit of a message of the history.
func edited(n int, text string, at time.Time) *simplevent.Message[string] {
	return &simplevent.Message[string]{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventEdit, PortalKey: networkid.PortalKey{ID: "chat"}, Sender: history()[n].Sender, Timestamp: at,
		},
		TargetMessage: networkid.MessageID(fmt.Sprint("m", n)), Data: text,
		ConvertEditFunc: func(_ context.Context, _ *bridgev2.Portal, _ bridgev2.MatrixAPI, existing []*database.Message, text string) (*bridgev2.ConvertedEdit, error) {
			return &bridgev2.ConvertedEdit{ModifiedParts: []*bridgev2.ConvertedEditPart{{
				Part: existing[0], Type: event.EventMessage, Content: &event.MessageEventContent{MsgType: event.MsgText, Body: text},
			}}}, nil
		},
	}
}

func reacted(n int, eventType bridgev2.RemoteEventType) *simplevent.Reaction {
	return &simplevent.Reaction{
		EventMeta: simplevent.EventMeta{
			Type: eventType, PortalKey: networkid.PortalKey{ID: "chat"}, Sender: bridgev2.EventSender{Sender: "dora"},
		},
		TargetMessage: networkid.MessageID(fmt.Sprint("m", n)), Emoji: "👀",
	}
}

func removed(n int) *simplevent.MessageRemove {
	return &simplevent.MessageRemove{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessageRemove, PortalKey: networkid.PortalKey{ID: "chat"}, Sender: history()[n].Sender,
		},
		TargetMessage: networkid.MessageID(fmt.Sprint("m", n)),
	}
}

// TestSentTwice kills the bridge after the homeserver has taken what it sends and before it has recorded that, for each kind of
// event; the network then tells it once more.
func TestSentTwice(t *testing.T) {
	const long = 1_800_000_000_000
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		alice, room := h.populated("bob")
		tell := func(evt bridgev2.RemoteEvent) {
			if err := h.bridge.RemoteEvent(evt); err != nil {
				t.Log(err) // of the one that is cut off
			}
		}
		for _, evt := range []bridgev2.RemoteEvent{live(10, "ten"), live(11, "eleven"), live(12, "twelve")} {
			tell(evt)
		}
		for _, test := range []struct {
			name, path string
			evt        func() bridgev2.RemoteEvent
			eventType  string
			more       int
		}{
			{"message", "/send/", func() bridgev2.RemoteEvent { return live(13, "thirteen") }, "m.room.message", 1},
			{"edit", "/send/", func() bridgev2.RemoteEvent { return edited(10, "ten!", time.UnixMilli(long)) }, "m.room.message", 1},
			{"another edit", "/send/", func() bridgev2.RemoteEvent { return edited(10, "ten?", time.UnixMilli(long+1)) }, "m.room.message", 1},
			{"an edit back", "/send/", func() bridgev2.RemoteEvent { return edited(10, "ten!", time.UnixMilli(long+2)) }, "m.room.message", 1},
			{"reaction", "/send/", func() bridgev2.RemoteEvent { return reacted(11, bridgev2.RemoteEventReaction) }, "m.reaction", 1},
			{"its removal", "/send/", func() bridgev2.RemoteEvent { return reacted(11, bridgev2.RemoteEventReactionRemove) }, "m.room.redaction", 1},
			{"the reaction again", "/send/", func() bridgev2.RemoteEvent { return reacted(11, bridgev2.RemoteEventReaction) }, "m.reaction", 1},
			{"redaction", "/send/", func() bridgev2.RemoteEvent { return removed(12) }, "m.room.redaction", 1},
			{"state", "/state/", func() bridgev2.RemoteEvent { return renamed("A new name") }, "m.room.name", 1},
		} {
			t.Run(test.name, func(t *testing.T) {
				before := len(of(h.timeline(alice, room), test.eventType))
				h.kill(t, test.path, func() { tell(test.evt()) })
				if got := len(of(h.timeline(alice, room), test.eventType)) - before; got != test.more {
					t.Errorf("after it was told once, there are %d more, want %d", got, test.more)
				}
				tell(test.evt())
				tell(test.evt())
				if got := len(of(h.timeline(alice, room), test.eventType)) - before; got != test.more {
					t.Errorf("after it was told again, there are %d more, want %d", got, test.more)
				}
			})
		}
		all := h.timeline(alice, room)
		var texts []string
		for _, m := range of(all, "m.room.message") {
			texts = append(texts, strings.TrimPrefix(m.Content.Body, "* "))
		}
		if want := []string{"hello", "ten", "eleven", "", "thirteen", "ten!", "ten?", "ten!"}; !slices.Equal(texts, want) {
			t.Errorf("got %q, want %q", texts, want)
		}
		messages, _, err := h.bridge.EventIDs(t.Context())
		if err != nil || messages["m13"] == "" || messages["m12"] != "" {
			t.Errorf("the bridge knows %v, %v", messages, err)
		}
	})
}

// renamed gives the chat a name.
func renamed(name string) *simplevent.ChatInfoChange {
	return &simplevent.ChatInfoChange{
		EventMeta:      simplevent.EventMeta{Type: bridgev2.RemoteEventChatInfoChange, PortalKey: networkid.PortalKey{ID: "chat"}},
		ChatInfoChange: &bridgev2.ChatInfoChange{ChatInfo: &bridgev2.ChatInfo{Name: &name}},
	}
}

// kill ends the bridge when what do does has reached the homeserver, whose answer it does not get, and starts it anew.
func (h *house) kill(t *testing.T, path string, do func()) {
	t.Helper()
	cut := h.line.cutAfter(path, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-cut:
		h.stop()
		<-done
	case <-done:
		t.Fatal("nothing was sent")
	}
	h.line.mend()
	h.open()
	h.run()
}
