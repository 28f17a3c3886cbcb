//go:build goolm

package bridges_test

import (
	"context"
	"database/sql"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/appservice/inproc"
	"causeway/bridges"
	"causeway/bridges/bridgetest"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/cryptohelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// person is a user with a client that encrypts.
type person struct {
	*mautrix.Client
	t      *testing.T
	helper *cryptohelper.CryptoHelper
	got    chan *event.Event // decrypted
}

func (h *house) person(name string) *person {
	h.t.Helper()
	h.hs.Register(name)
	client, err := mautrix.NewClient("http://homeserver", "", "")
	if err != nil {
		h.t.Fatal(err)
	}
	client.Client = &http.Client{Transport: inproc.New(h.hs.Handler())}
	client.Log = h.log()
	ctx, cancel := context.WithCancel(context.Background())
	_, err = client.Login(ctx, &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: name},
		Password: "correct horse battery", StoreCredentials: true,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", ":memory:?_pragma=foreign_keys(1)")
	if err != nil {
		h.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	stores, err := dbutil.NewWithDB(db, "sqlite3")
	if err != nil {
		h.t.Fatal(err)
	}
	p := &person{Client: client, t: h.t, got: make(chan *event.Event, 100)}
	if p.helper, err = cryptohelper.NewCryptoHelper(client, []byte("pickle"), stores); err != nil {
		h.t.Fatal(err)
	}
	if err := p.helper.Init(ctx); err != nil {
		h.t.Fatal(err)
	}
	client.Crypto = p.helper
	client.Syncer.(mautrix.ExtensibleSyncer).OnEventType(event.EventMessage, func(_ context.Context, evt *event.Event) {
		if evt.Sender != client.UserID {
			p.got <- evt
		}
	})
	ended := make(chan struct{})
	go func() { defer close(ended); _ = client.SyncWithContext(ctx) }()
	h.t.Cleanup(func() { cancel(); <-ended; _ = db.Close() })
	return p
}

// join enters a room and waits until the client knows that it is encrypted, and that the bot is there.
func (p *person) join(room id.RoomID, bot id.UserID) {
	p.t.Helper()
	if _, err := p.JoinRoomByID(p.t.Context(), room); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.Now().Add(bridgetest.Patience)
	for time.Now().Before(deadline) {
		encrypted, _ := p.StateStore.IsEncrypted(p.t.Context(), room)
		if encrypted && p.StateStore.IsInRoom(p.t.Context(), room, bot) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	p.t.Fatal("the room is not known to be encrypted")
}

func (p *person) say(room id.RoomID, text string) id.EventID {
	p.t.Helper()
	sent, err := p.SendText(p.t.Context(), room, text)
	if err != nil {
		p.t.Fatal(err)
	}
	return sent.EventID
}

// await waits for a message that contains a text, and returns it.
func (p *person) await(text string) *event.Event {
	p.t.Helper()
	after := time.After(bridgetest.Patience)
	for {
		select {
		case evt := <-p.got:
			if strings.Contains(evt.Content.AsMessage().Body, text) {
				return evt
			}
		case <-after:
			p.t.Fatalf("%s did not get %q", p.UserID, text)
		}
	}
}

// A room that is encrypted is bridged both ways, also after the bridge has been started anew, and what cannot be read is
// answered by a notice.
func TestEncryptedRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db, func(h *house) {
			h.crypt = bridges.Encryption{Allow: true, Default: true, Require: true}
		})
		alice := h.person("alice")
		room, err := h.bridge.OpenPortal(t.Context(), alice.UserID, "chat")
		if err != nil {
			t.Fatal(err)
		}
		alice.join(room, h.bridge.Bot())
		device := h.bridge.Device()

		alice.say(room, "to the network")
		if got := bridges.Await(h.net.Network(), t, 1); !slices.Equal(got, []string{"to the network"}) {
			t.Fatalf("the network got %q", got)
		}
		h.bridge.Remote("chat", "bob", "m1", "from the network")
		got := alice.await("from the network")
		if !got.Mautrix.WasEncrypted || got.Sender != "@loop_bob:"+testserver.Name {
			t.Errorf("got a message of %s, encrypted: %v", got.Sender, got.Mautrix.WasEncrypted)
		}

		if _, err := alice.helper.Machine().FetchKeys(t.Context(), []id.UserID{h.bridge.Bot()}, true); err != nil {
			t.Fatal(err)
		}
		bot, err := alice.helper.Machine().GetOrFetchDevice(t.Context(), h.bridge.Bot(), device)
		if err != nil {
			t.Fatal(err)
		}
		if trust, err := alice.helper.Machine().ResolveTrustContext(t.Context(), bot); trust < id.TrustStateCrossSignedTOFU {
			t.Errorf("the bridge's device is %s, %v; want it signed by the bot", trust, err)
		}

		h.restart()
		if h.bridge.Device() != device {
			t.Errorf("the device is %s, before it was %s", h.bridge.Device(), device)
		}
		alice.say(room, "after a restart") // by the key that the bridge has from before
		if got := bridges.Await(h.net.Network(), t, 1); !slices.Equal(got, []string{"after a restart"}) {
			t.Fatalf("the network got %q", got)
		}
		h.bridge.Remote("chat", "bob", "m2", "and back")
		alice.await("and back")

		content := &event.Content{Parsed: &event.MessageEventContent{MsgType: event.MsgText, Body: "broken"}}
		encrypted, err := alice.helper.Encrypt(t.Context(), room, event.EventMessage, content)
		if err != nil {
			t.Fatal(err)
		}
		encrypted.MegolmCiphertext[len(encrypted.MegolmCiphertext)-90] ^= 1
		if _, err := alice.MakeRequest(t.Context(), http.MethodPut,
			alice.BuildClientURL("v3", "rooms", room, "send", "m.room.encrypted", "broken"), encrypted, nil); err != nil {
			t.Fatal(err)
		}
		alice.await("failed to decrypt")
		if _, err := alice.MakeRequest(t.Context(), http.MethodPut,
			alice.BuildClientURL("v3", "rooms", room, "send", "m.room.message", "clear"),
			map[string]string{"msgtype": "m.text", "body": "in the clear"}, nil); err != nil {
			t.Fatal(err)
		}
		alice.await("not encrypted")
		if got := bridges.Await(h.net.Network(), t, 1); len(got) != 1 {
			t.Errorf("the network got %q", got)
		}
	})
}

// A message whose key comes late is handled when it is there, also when the bridge was started anew in between.
func TestLateKey(t *testing.T) {
	h := newHouse(t, storetest.New(t), func(h *house) { h.crypt = bridges.Encryption{Allow: true, Default: true} })
	alice := h.person("alice")
	room, err := h.bridge.OpenPortal(t.Context(), alice.UserID, "chat")
	if err != nil {
		t.Fatal(err)
	}
	alice.join(room, h.bridge.Bot())
	ctx, machine := t.Context(), alice.helper.Machine()
	// A key that is shared with nobody at first. The client drops it as long as it hears of new members.
	var encrypted *event.EncryptedEventContent
	h.until("alice encrypts", func() bool {
		content := &event.Content{Parsed: &event.MessageEventContent{MsgType: event.MsgText, Body: "early"}}
		_ = machine.ShareGroupSession(ctx, room, nil)
		encrypted, err = machine.EncryptMegolmEvent(ctx, room, event.EventMessage, content)
		return err == nil
	})
	if _, err := alice.MakeRequest(ctx, http.MethodPut,
		alice.BuildClientURL("v3", "rooms", room, "send", "m.room.encrypted", "early"), encrypted, nil); err != nil {
		t.Fatal(err)
	}
	h.until("the message waits", func() bool {
		count, err := h.bridge.Count(ctx, "host_inbox WHERE done_ts=0 AND event LIKE '%megolm%'")
		return err == nil && count == 1
	})
	h.restart()
	session, err := machine.CryptoStore.GetGroupSession(ctx, room, encrypted.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	bot, err := machine.GetOrFetchDevice(ctx, h.bridge.Bot(), h.bridge.Device())
	if err != nil {
		t.Fatal(err)
	}
	key, err := session.Internal.Export(0)
	if err != nil {
		t.Fatal(err)
	}
	err = machine.SendEncryptedToDevice(ctx, bot, event.ToDeviceForwardedRoomKey, event.Content{Parsed: &event.ForwardedRoomKeyEventContent{
		RoomKeyEventContent: event.RoomKeyEventContent{
			Algorithm: id.AlgorithmMegolmV1, RoomID: room, SessionID: encrypted.SessionID, SessionKey: string(key),
		},
		SenderKey: session.SenderKey, SenderClaimedKey: session.SigningKey, ForwardingKeyChain: []string{},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := bridges.Await(h.net.Network(), t, 1); !slices.Equal(got, []string{"early"}) {
		t.Errorf("the network got %q", got)
	}
}
