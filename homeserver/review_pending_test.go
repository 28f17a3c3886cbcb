package homeserver_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"causeway/appservice/sender"
	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/testserver"
	"causeway/registration"
)

// deaf is the way to an application service that never answers. asked is closed when it is sent a transaction.
type deaf struct {
	once  sync.Once
	asked chan struct{}
}

func (d *deaf) RoundTrip(*http.Request) (*http.Response, error) {
	d.once.Do(func() { close(d.asked) })
	return nil, errors.New("nobody is there")
}

// What was redacted, or purged with its room, is not kept for an application service that does not take it.
func TestDeletedContentIsNotKeptForAppServices(t *testing.T) {
	const secret = "secret-of-a-transaction"
	for _, test := range []struct {
		name string
		do   func(k *talk, eventID string) error
	}{
		{"redacted", func(k *talk, eventID string) error {
			k.put("redact/"+eventID, map[string]string{})
			_, err := k.Maintenance.All(k.t.Context())
			return err
		}},
		{"room purged", func(k *talk, _ string) error {
			_, err := k.Maintenance.PurgeRoom(k.t.Context(), k.roomID, true)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, path := openFile(t)
			services, err := registration.NewSet(&registration.Registration{
				ID: "irc", URL: "http://irc", ASToken: "irc_as_token_0123456789", HSToken: "irc_hs_token_0123456789", SenderLocalpart: "ircbot",
				Namespaces: registration.Namespaces{Users: []registration.Namespace{{Regex: "@u.*"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			s := testserver.New(t, db, func(c *homeserver.Config) { c.AppServices = func() *registration.Set { return services } })
			way := &deaf{asked: make(chan struct{})}
			send := sender.New(sender.Options{
				DB: db, Bus: s.Bus, ServerName: testserver.Name, Registrations: func() *registration.Set { return services },
				Transport: func(*registration.Registration) http.RoundTripper { return way },
			})
			if err := send.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			k := newTalk(t, s)
			eventID := k.say(secret)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- send.Run(ctx) }()
			<-way.asked
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			var pending *store.AppServiceTxn
			if err := db.View(t.Context(), func(tx *store.Tx) error {
				a, err := tx.AppService("irc")
				pending = a.Pending
				return err
			}); err != nil || pending == nil {
				t.Fatalf("no transaction waits: %v", err)
			}
			if err := test.do(k, string(eventID)); err != nil {
				t.Fatal(err)
			}
			if n := found(t, path, []string{secret}); n > 0 {
				t.Error("what was deleted is still in the database, in a transaction that nobody takes")
			}
		})
	}
}
