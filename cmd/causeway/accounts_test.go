package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/account"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"
)

// TestAccountCommands manages tokens and accounts while the server runs, and when it does not.
func TestAccountCommands(t *testing.T) {
	cfg, config := installed(t)
	causeway := func(args ...string) (code int, stdout, stderr string) {
		return runIn(t, "secret\n", append(args, "--config", config)...)
	}
	if code, _, stderr := causeway("user", "create", "alice"); code != exitOK {
		t.Fatal(stderr)
	}
	for _, serving := range []bool{false, true} {
		name := map[bool]string{false: "stopped", true: "running"}[serving]
		t.Run(name, func(t *testing.T) {
			if serving {
				_, _, stop := running(t, cfg)
				defer stop()
			}
			code, made, stderr := causeway("registration-token", "create", "--uses", "3", "--expires", "7d", "--admin")
			if code != exitOK || len(strings.TrimSpace(made)) != 24 {
				t.Fatalf("create: %d %q %q", code, made, stderr)
			}
			code, own, _ := causeway("registration-token", "create", "--token", "welcome~1", "--uses", "0")
			if code != exitOK || own != "welcome~1\n" {
				t.Errorf("a token of one's own: %d %q", code, own)
			}
			_, list, _ := causeway("registration-token", "list")
			for _, want := range []string{"TOKEN ", strings.TrimSpace(made) + "  0 of 3   ", "administrators\n", "welcome~1 ", "0 of any  never "} {
				if !strings.Contains(list, want) {
					t.Errorf("the list does not have %q:\n%s", want, list)
				}
			}
			for _, test := range []struct {
				args string
				code int
				want string
			}{
				{"registration-token create --token welcome~1", exitFailure, "there is such a registration token already"},
				{"registration-token create --token a/b", exitFailure, "A registration token has at most 64"},
				{"registration-token create --uses -1", exitFailure, "must not be negative"},
				{"registration-token create --expires yesterday", exitUsage, "neither a while from now"},
				{"registration-token create --expires 2001-01-01", exitUsage, "a date that is to come"},
				{"registration-token delete welcome~1", exitOK, ""},
				{"registration-token delete welcome~1", exitFailure, "there is no such registration token"},
				{"registration-token", exitUsage, "needs a sub-command"},
				{"user validity alice 30d", exitOK, ""},
				{"user validity @alice:localhost never", exitOK, ""},
				{"user validity alice soon", exitUsage, "neither a while from now"},
				{"user validity nobody never", exitFailure, "there is no account @nobody:localhost"},
				{"user deactivate nobody", exitFailure, "there is no account @nobody:localhost"},
				{"user deactivate Nobody!", exitUsage, "is not a user name"},
			} {
				code, stdout, stderr := causeway(strings.Fields(test.args)...)
				if code != test.code || !strings.Contains(stderr, test.want) || stdout != "" {
					t.Errorf("%s: %d %q %q", test.args, code, stdout, stderr)
				}
			}
		})
	}
	if code, _, stderr := causeway("user", "deactivate", "alice", "--erase"); code != exitOK {
		t.Fatal(stderr)
	}
	if code, _, stderr := causeway("user", "deactivate", "alice"); code != exitFailure || !strings.Contains(stderr, "is deactivated") {
		t.Errorf("once more: %d %q", code, stderr)
	}
	if code, _, stderr := causeway("user", "create", "alice"); code != exitFailure || !strings.Contains(stderr, "already taken") {
		t.Errorf("the name again: %d %q", code, stderr)
	}
	db, err := store.Open(t.Context(), filepath.Join(cfg.DataDir, "causeway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tokens, err := account.New(account.Config{ServerName: "localhost"}, db, new(notify.Local), func() *registration.Set { return nil }).RegistrationTokens(t.Context())
	if err != nil || len(tokens) != 2 || tokens[0].UsesAllowed != 3 || !tokens[0].Admin || time.Until(time.UnixMilli(tokens[0].ExpiresTS)) > 7*day {
		t.Errorf("in the database: %+v, %v", tokens, err)
	}
}
