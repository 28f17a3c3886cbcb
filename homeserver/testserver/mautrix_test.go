package testserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"causeway/appservice/inproc"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// mautrixService is the application service "puppets" with the library that most bridges are made with.
func mautrixService(s *script, name, sender string) *appservice.AppService {
	s.t.Helper()
	as, err := appservice.CreateFull(appservice.CreateOpts{
		Registration:     &appservice.Registration{ID: name, AppToken: s.tokens[name], SenderLocalpart: sender},
		HomeserverDomain: "test", HomeserverURL: "http://test",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	as.HTTPClient = &http.Client{Transport: inproc.New(s.Handler())}
	return as
}

// TestMautrixService does with mautrix-go what bridges made with it do.
func TestMautrixService(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		ctx := s.t.Context()
		as := mautrixService(s, "irc", "ircbot")
		bot, ghost, other := as.BotIntent(), as.Intent("@irc_a:test"), as.Intent("@irc_b:test")
		versions, err := bot.Versions(ctx)
		must(s.t, err)
		for feature, want := range map[mautrix.UnstableFeature]bool{
			mautrix.BeeperFeatureArbitraryMemberChange: true, mautrix.BeeperFeatureBatchSending: false, mautrix.BeeperFeatureAutojoinInvites: false,
			mautrix.BeeperFeatureHungry: false, mautrix.BeeperFeatureRoomYeeting: false, mautrix.FeatureRedactSendAsEvent: true,
			mautrix.FeatureAppservicePing: true,
		} {
			if got := versions.Supports(feature); got != want {
				s.t.Errorf("%s: %t, want %t", feature.UnstableFlag, got, want)
			}
		}
		must(s.t, ghost.EnsureRegistered(ctx))
		must(s.t, other.EnsureRegistered(ctx))
		must(s.t, ghost.SetDisplayName(ctx, "A"))
		made, err := bot.CreateRoom(ctx, &mautrix.ReqCreateRoom{
			Preset: "private_chat", Invite: []id.UserID{"@alice:test"}, BeeperInitialMembers: []id.UserID{ghost.UserID}, BeeperAutoJoinInvites: true,
		})
		must(s.t, err)
		s.words["room"] = string(made.RoomID)
		text := func(body string) *event.MessageEventContent {
			return &event.MessageEventContent{MsgType: event.MsgText, Body: body}
		}
		then := time.UnixMilli(1_000_000_000_000)
		said, err := ghost.SendMessageEvent(ctx, made.RoomID, event.EventMessage, text("old"), mautrix.ReqSendEvent{Timestamp: then.UnixMilli()})
		must(s.t, err)
		batch, err := bot.BeeperBatchSend(ctx, made.RoomID, &mautrix.ReqBeeperBatchSend{Forward: true, Events: []*event.Event{
			{ID: "$b", Type: event.EventMessage, Sender: other.UserID, RoomID: made.RoomID, Timestamp: then.UnixMilli() + 1, Content: event.Content{Parsed: text("batch")}},
		}})
		must(s.t, err)
		got, err := ghost.GetEvent(ctx, made.RoomID, batch.EventIDs[0])
		must(s.t, err)
		if got.Sender != other.UserID || got.Timestamp != then.UnixMilli()+1 {
			s.t.Errorf("the event of the batch is %+v", got)
		}
		_, err = bot.SendStateEvent(ctx, made.RoomID, event.StateMember, string(other.UserID), &event.MemberEventContent{Membership: event.MembershipJoin, Displayname: "B"})
		must(s.t, err)
		redaction, err := ghost.SendMessageEvent(ctx, made.RoomID, event.EventRedaction, &event.RedactionEventContent{Redacts: said.EventID},
			mautrix.ReqSendEvent{Timestamp: then.UnixMilli() + 2})
		must(s.t, err)
		got, err = ghost.GetEvent(ctx, made.RoomID, redaction.EventID)
		must(s.t, err)
		if got.Timestamp != then.UnixMilli()+2 {
			s.t.Errorf("the redaction is of %d", got.Timestamp)
		}
		s.run([]step{
			{"the redacted message", "irc GET /rooms/<room>/event/" + string(said.EventID), ``, 200, "content/body:absent origin_server_ts=1000000000000", ""},
			{"the ghost's name", "irc GET /rooms/<room>/state/m.room.member/@irc_b:test", ``, 200, "displayname=B", ""},
			{"the first ghost's", "irc GET /rooms/<room>/state/m.room.member/@irc_a:test", ``, 200, "displayname=A membership=join", ""},
		})
		mautrixDevice(ctx, s)
	})
}

// mautrixDevice makes a device as bridges with encryption do.
func mautrixDevice(ctx context.Context, s *script) {
	as := mautrixService(s, "crypt", "cryptbot")
	bot := as.BotIntent()
	must(s.t, bot.CreateDeviceMSC4190(ctx, "BRIDGE", "Bridge"))
	who, err := bot.Whoami(ctx)
	must(s.t, err)
	if who.DeviceID != "BRIDGE" || who.UserID != "@cryptbot:test" {
		s.t.Errorf("the bot is %+v", who)
	}
	must(s.t, as.Intent("@crypt_a:test").EnsureRegistered(ctx))
	if _, err := bot.Login(ctx, &mautrix.ReqLogin{Type: mautrix.AuthTypeAppservice, Identifier: mautrix.UserIdentifier{
		Type: mautrix.IdentifierTypeUser, User: "cryptbot",
	}}); !errors.Is(err, mautrix.RespError{ErrCode: "M_APPSERVICE_LOGIN_UNSUPPORTED"}) {
		s.t.Errorf("a login says %v", err)
	}
	must(s.t, bot.DeleteDevice(ctx, "BRIDGE", &mautrix.ReqDeleteDevice[any]{}))
	if _, err := bot.Whoami(ctx); !errors.Is(err, mautrix.RespError{ErrCode: "M_UNKNOWN_DEVICE"}) {
		s.t.Errorf("the bot is asked as a device that is gone: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
