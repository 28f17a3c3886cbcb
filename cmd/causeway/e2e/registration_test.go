package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"maunium.net/go/mautrix/id"
)

// told is what an application service was told in a transaction.
type told struct {
	txn    int64
	token  string   // hs_token
	bodies []string // of messages
}

// bot is an application service in the test, which acknowledges everything.
type bot struct {
	*journal[told]
	url string
}

func startBot(t *testing.T) *bot {
	b := &bot{journal: newJournal[told]()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if txn, ok := strings.CutPrefix(r.URL.Path, "/_matrix/app/v1/transactions/"); ok {
			b.take(r, txn)
		}
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *bot) take(r *http.Request, txn string) {
	entry := told{token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	entry.txn, _ = strconv.ParseInt(txn, 10, 64)
	var body struct {
		Events []struct {
			Content struct {
				Body string `json:"body"`
			} `json:"content"`
		} `json:"events"`
	}
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &body)
	for _, e := range body.Events {
		if e.Content.Body != "" {
			entry.bodies = append(entry.bodies, e.Content.Body)
		}
	}
	b.add(entry)
}

// awaitMessage waits for a message and returns the transaction that it came in.
func (b *bot) awaitMessage(t *testing.T, text string) told {
	t.Helper()
	return b.await(t, 0, text, func(entry told) bool {
		for _, body := range entry.bodies {
			if body == text {
				return true
			}
		}
		return false
	})
}

// messages are all messages, in order.
func (b *bot) messages() string {
	var all []string
	for _, entry := range b.all() {
		all = append(all, entry.bodies...)
	}
	return strings.Join(all, " ")
}

// run runs a command on the installation and returns what it printed.
func (c *causeway) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	return startProcess(t, "causeway "+args[0], c.command(append(args, "--config", c.config)...), nil).awaitExit(t)
}

// TestRegistrationFilesWhileServing adds, changes, breaks, removes and puts back a registration file while the server runs.
func TestRegistrationFilesWhileServing(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		c := startServer(t, options{database: database})
		mary := c.registerHTTP(t, "mary")
		b := startBot(t)
		file := filepath.Join(c.dir, "registration", "mybot.yaml")
		logged := func(since int, what string) {
			t.Helper()
			c.output.await(t, since, what, func(line string) bool { return strings.Contains(line, what) })
		}

		// As the section of the README says.
		mark := c.output.position()
		if code, output := c.run(t, "registration", "generate", "mybot", "--url", b.url, "--user", "@mybot_.*", "--out", file); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
		logged(mark, "added mybot (mybot.yaml)")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		token := between(t, string(text), "as_token: '", "'")

		var who struct {
			UserID id.UserID `json:"user_id"`
		}
		c.do(t, "GET", "/_matrix/client/v3/account/whoami", token, nil).decode(t, &who)
		if want := id.UserID("@_mybot_bot:" + serverName); who.UserID != want {
			t.Errorf("the bot is %s, want %s", who.UserID, want)
		}
		var room struct {
			RoomID id.RoomID `json:"room_id"`
		}
		c.do(t, "POST", "/_matrix/client/v3/createRoom", mary, map[string]any{"preset": "public_chat"}).decode(t, &room)
		c.do(t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(string(room.RoomID)), token, map[string]any{}).decode(t, &who)
		n := 0
		say := func(text string) {
			n++
			c.do(t, "PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/m.room.message/%d", url.PathEscape(string(room.RoomID)), n), mary,
				map[string]any{"msgtype": "m.text", "body": text}).decode(t, &who)
		}
		say("one")
		first := b.awaitMessage(t, "one")

		// Both tokens change.
		mark = c.output.position()
		changed := strings.NewReplacer(token, "a-new-as-token-0123456789", first.token, "a-new-hs-token-0123456789").Replace(string(text))
		write(t, file, changed)
		logged(mark, "changed mybot (mybot.yaml)")
		if a := c.do(t, "GET", "/_matrix/client/v3/account/whoami", token, nil); a.ErrCode != "M_UNKNOWN_TOKEN" {
			t.Errorf("the old token: %d %s", a.status, a.raw)
		}
		token = "a-new-as-token-0123456789"
		c.do(t, "GET", "/_matrix/client/v3/account/whoami", token, nil).decode(t, &who)
		say("two")
		second := b.awaitMessage(t, "two")
		if second.token != "a-new-hs-token-0123456789" || second.txn <= first.txn {
			t.Errorf("the second transaction is %+v after %+v", second, first)
		}

		// A faulty file changes nothing, and is reported once; SIGHUP has it read at once.
		mark = c.output.position()
		write(t, file, strings.Replace(changed, "sender_localpart: '_mybot_bot'", "sender_localpart: '@mybot'", 1))
		c.cmd.Process.Signal(syscall.SIGHUP)
		logged(mark, "sender_localpart: must be what stands between @ and :")
		say("three")
		b.awaitMessage(t, "three")
		if code, output := c.run(t, "registration", "list"); code != 0 {
			t.Errorf("exit code %d", code)
		} else {
			wantAll(t, output, "mybot.yaml", "users @mybot_.*", b.url, "These files have faults", "sender_localpart: must be")
		}

		// Without its file, the service is nobody: a request of it that waits ends, and so do sessions of its users.
		write(t, file, changed)
		logged(mark, "without fault again")
		ghost := map[string]any{"type": "m.login.application_service", "username": "mybot_ghost"}
		var session struct {
			AccessToken string `json:"access_token"`
		}
		c.do(t, "POST", "/_matrix/client/v3/register", token, ghost).decode(t, &session)
		var sync struct {
			NextBatch string `json:"next_batch"`
		}
		c.do(t, "GET", "/_matrix/client/v3/sync", session.AccessToken, nil).decode(t, &sync)
		parked := make(chan answer, 1)
		go func() {
			parked <- c.do(t, "GET", "/_matrix/client/v3/sync?timeout=600000&since="+sync.NextBatch, session.AccessToken, nil)
		}()
		mark = c.output.position()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		logged(mark, "removed mybot (mybot.yaml)")
		if a := <-parked; a.ErrCode != "M_UNKNOWN_TOKEN" {
			t.Errorf("a request that waited: %d %s", a.status, a.raw)
		}
		for _, token := range []string{token, session.AccessToken} {
			if a := c.do(t, "GET", "/_matrix/client/v3/account/whoami", token, nil); a.ErrCode != "M_UNKNOWN_TOKEN" {
				t.Errorf("a token of a service that is gone: %d %s", a.status, a.raw)
			}
		}
		say("four") // nobody is told
		var profile struct{}
		c.do(t, "GET", "/_matrix/client/v3/profile/"+url.PathEscape("@mybot_ghost:"+serverName), mary, nil).decode(t, &profile)

		// Back, it goes on where it was, with higher transaction ids.
		mark = c.output.position()
		write(t, file, changed)
		logged(mark, "added mybot (mybot.yaml)")
		fourth := b.awaitMessage(t, "four")
		if fourth.txn <= second.txn {
			t.Errorf("transaction %d came after %d", fourth.txn, second.txn)
		}
		c.do(t, "GET", "/_matrix/client/v3/account/whoami", session.AccessToken, nil).decode(t, &who)
		c.stop(t)
		c.start()
		say("five")
		b.awaitMessage(t, "five")
		if got := b.messages(); got != "one two three four five" {
			t.Errorf("the bot was told %s", got)
		}
	})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// between returns what stands between two texts.
func between(t *testing.T, text, before, after string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, before)
	found, _, ok2 := strings.Cut(rest, after)
	if !ok || !ok2 {
		t.Fatalf("there is no %q in\n%s", before, text)
	}
	return found
}
