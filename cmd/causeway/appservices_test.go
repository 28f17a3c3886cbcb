package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/appservice/sender"
	"causeway/bridges"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// What `registration list` prints, in every state of a service.
func TestPrintServices(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	users := func(expressions ...string) (n registration.Namespaces) {
		for _, e := range expressions {
			n.Users = append(n.Users, registration.Namespace{Regex: e, Exclusive: true})
		}
		return n
	}
	all := servicesStatus{Running: true, Services: []serviceStatus{
		{ID: "parrot", From: "built in", URL: "http://parrot.bridge", BuiltIn: true, Followed: true, BridgeFault: "its process does not run"},
		{ID: "irc", From: "built in", URL: "http://irc.bridge", BuiltIn: true, Namespaces: users("^@irc_.*:example.org$"), Followed: true, Pos: 1234,
			Bridge: &bridges.Status{State: "RUNNING", Logins: map[string]int{"CONNECTED": 12, "BAD_CREDENTIALS": 2}, Delivered: 345, Failed: 2,
				FailedTS: ago(time.Hour), Waiting: 1, Unbridging: 3}},
		{ID: "mybot", From: "mybot.yaml", URL: "http://127.0.0.1:9000", Namespaces: users("@mybot_.*"), Followed: true, Pos: 1234, Pending: true, OldestTS: ago(3 * time.Second), Behind: 1},
		{ID: "slack", From: "slack.yaml", URL: "unix:///run/slack.sock", Namespaces: users("@slack_.*", "@slackbot:.*"), Followed: true, Pos: 99, Pending: true,
			Behind: 1135, OldestTS: ago(26 * time.Minute), FailingTS: ago(25 * time.Minute), LastError: "application service slack: connection refused"},
		{ID: "puppet", From: "puppet.yaml", Namespaces: users("@.*")},
		{ID: "new", From: "new.yaml", URL: "https://new.example.org"},
	}, Faults: registration.Faults{{File: "slack.yaml", Line: 3, Field: "as_token", Message: "is missing"}}}
	var text bytes.Buffer
	show := func(heading string, all servicesStatus) {
		text.WriteString("== " + heading + "\n")
		if err := printServices(&text, all, "/srv/registration", now); err != nil {
			t.Fatal(err)
		}
	}
	show("while a server runs", all)
	text.WriteString("== metrics\n")
	if err := printMetrics(&text, all, now); err != nil {
		t.Fatal(err)
	}
	all.Running = false
	for i := range all.Services {
		s := &all.Services[i]
		*s = serviceStatus{ID: s.ID, From: s.From, URL: s.URL, Namespaces: s.Namespaces}
	}
	show("without a server", all)
	show("without services", servicesStatus{Running: true})
	golden(t, "registration_list.golden", text.String())
}

// What the log says of changes to the files.
func TestChangesReadAloud(t *testing.T) {
	cfg, _ := installed(t)
	if err := os.MkdirAll(cfg.AppServices.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, _, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out bytes.Buffer
	log := zerolog.New(zerolog.ConsoleWriter{Out: &out, NoColor: true, PartsOrder: []string{zerolog.LevelFieldName, zerolog.MessageFieldName}})
	folder, err := openRegistrations(cfg, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	send := sender.New(sender.Options{DB: db, Bus: new(notify.Local), ServerName: cfg.ServerName, Registrations: folder.Set, Log: log})
	s := &appServices{folder: folder, sender: send, accounts: accountsOf(cfg, db, folder), log: log}
	faults := registration.Faults{{File: "bot.yaml", Line: 3, Field: "as_token", Message: "must be text"}}
	bot := registration.Generate("bot", "http://127.0.0.1:1", "@bot_.*")
	bot.File = "bot.yaml"
	for _, change := range []registration.Change{
		{Added: []*registration.Registration{bot}, Warnings: registration.Faults{{File: "bot.yaml", Field: "mood", Message: "is not a field that is known here"}}},
		{Changed: []*registration.Registration{bot}, Former: []*registration.Registration{bot}, Faults: faults},
		{Removed: []*registration.Registration{bot}, Former: []*registration.Registration{bot}, Mended: true},
	} {
		s.changed(t.Context(), change)
	}
	golden(t, "registration_log.golden", out.String())
	if strings.Contains(out.String(), bot.ASToken) {
		t.Error("the log tells a token")
	}
	many := make(registration.Faults, maxLogged+2)
	if got := faultReport(many); strings.Count(got, "\n") != maxLogged+1 || !strings.HasSuffix(got, "\n  and 2 more: see causeway registration check") {
		t.Errorf("got %s", got)
	}
}

// A service without faults is listed by a server that runs, with where it is in the stream.
func TestListOfARunningServer(t *testing.T) {
	cfg, config := installed(t)
	list := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := runIn(t, "", append([]string{"--config", config, "registration", "list"}, args...)...)
		if code != exitOK || stderr != "" {
			t.Errorf("list: %d, %s", code, stderr)
		}
		return stdout
	}
	if got := list(); !strings.Contains(got, "No server runs here") || !strings.Contains(got, "There are no application services. Put a registration file into "+cfg.AppServices.Dir) {
		t.Errorf("got %s", got)
	}
	file := filepath.Join(cfg.AppServices.Dir, "bot.yaml")
	generate := []string{"registration", "generate", "bot", "--user", "@bot_.*", "--alias", "#bot_.*", "--room", "!abc", "--protocol", "irc", "--e2ee", "--rate-limited", "--out", file}
	if code, _, stderr := runIn(t, "", generate...); code != exitOK {
		t.Fatal(stderr)
	}
	if got := list(); !strings.Contains(got, "is sent nothing (url: null)") {
		t.Errorf("got %s", got)
	}
	stop := serving(t, cfg)
	defer stop()
	var status servicesStatus
	if err := json.Unmarshal([]byte(list("--json")), &status); err != nil {
		t.Fatal(err)
	}
	if !status.Running || len(status.Services) != 1 || status.Services[0].ID != "bot" || status.Services[0].From != "bot.yaml" ||
		status.Services[0].Namespaces.Aliases[0].Regex != "#bot_.*" {
		t.Errorf("got %+v", status)
	}
	// Nobody follows the folder here: what is asked for is looked at.
	faulty := filepath.Join(cfg.AppServices.Dir, "faulty.yaml")
	if err := os.WriteFile(faulty, []byte("id: faulty\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := list(); !strings.Contains(got, "These files have faults; what held before they changed is in force:\nfaulty.yaml: url: is missing") {
		t.Errorf("with a faulty file got %s", got)
	}
	if got := list("--metrics"); !strings.Contains(got, "\ncauseway_appservice_faulty_files 1\n") {
		t.Errorf("with a faulty file got %s", got)
	}
	if err := os.Remove(faulty); err != nil {
		t.Fatal(err)
	}
	if got := list("--metrics"); !strings.Contains(got, "\ncauseway_appservice_faulty_files 0\n") {
		t.Errorf("without the faulty file got %s", got)
	}
	reg, err := registration.LoadFiles(file)
	if err != nil || !reg[0].ReceiveEphemeral || !reg[0].MSC3202 || !reg[0].MSC4190 || !reg[0].RateLimited || reg[0].Protocols[0] != "irc" ||
		reg[0].Namespaces.Rooms[0].Regex != "!abc" {
		t.Errorf("generated %+v, %v", reg, err)
	}
}

// Those that make devices, and those whose users log in for them (matrix-bot-sdk), are told apart by an option.
func TestGenerateForDevices(t *testing.T) {
	_, config := installed(t)
	for _, test := range []struct {
		flags       []string
		code        int
		says        string
		keys, makes bool
	}{
		{nil, exitOK, "", false, false},
		{[]string{"--e2ee"}, exitOK, "", true, true},
		{[]string{"--e2ee", "--devices-by-login"}, exitOK, "", true, false},
		{[]string{"--devices-by-login"}, exitUsage, "--devices-by-login is for an application service with --e2ee", false, false},
	} {
		args := append([]string{"--config", config, "registration", "generate", "bot", "--user", "@bot_.*"}, test.flags...)
		code, stdout, stderr := runIn(t, "", args...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%v: got %d, %s", test.flags, code, stderr)
		}
		if code != exitOK {
			continue
		}
		reg, err := registration.Parse("bot", []byte(stdout))
		if err != nil || reg.MSC3202 != test.keys || reg.MSC4190 != test.makes {
			t.Errorf("%v: got %+v, %v", test.flags, reg, err)
		}
	}
}

// serving has the control socket of a server answer about application services.
func serving(t *testing.T, cfg *Config) (stop func()) {
	t.Helper()
	db, _, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := openRegistrations(cfg, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	send := sender.New(sender.Options{DB: db, Bus: new(notify.Local), ServerName: cfg.ServerName, Registrations: folder.Set})
	control, err := listenControl(cfg.DataDir, orders{services: &appServices{folder: folder, sender: send}}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- control.run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRegistrationCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"bot", "other"} {
		if code, _, stderr := runIn(t, "", "registration", "generate", name, "--url", "http://127.0.0.1:1", "--user", "@"+name+"_.*", "--out", "dir/"+name+".yaml"); code != exitOK {
			t.Fatal(stderr)
		}
	}
	code, stdout, stderr := runIn(t, "", "registration", "check", "dir")
	want := "dir/bot.yaml: bot, at http://127.0.0.1:1, bot @_bot_bot, users @bot_.*\ndir/other.yaml: other, at http://127.0.0.1:1, bot @_other_bot, users @other_.*\n"
	if code != exitOK || stdout != want || stderr != "" {
		t.Errorf("got %d, %s, %s", code, stdout, stderr)
	}
	code, stdout, stderr = runIn(t, "", "registration", "check", "dir/bot.yaml", "dir/bot.yaml", "nowhere.yaml")
	if code != exitUsage || !strings.Contains(stderr, "nowhere.yaml: is not there\n") || !strings.Contains(stderr, "id: is also that of dir/bot.yaml") {
		t.Errorf("got %d, %s, %s", code, stdout, stderr)
	}
}

// Who has a file made is told what it is, and what to do with it.
func TestGenerateSaysWhatNext(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg, config := installed(t)
	generate := func(name, out string) string {
		t.Helper()
		code, stdout, stderr := runIn(t, "", "--config", config, "registration", "generate", name, "--user", "@"+name+"_.*", "--out", out)
		if code != exitOK || stderr != "" {
			t.Errorf("got %d, %s", code, stderr)
		}
		return stdout
	}
	want := "Wrote bot.yaml: bot, is sent nothing (url: null), bot @_bot_bot, users @bot_.*. Put it into " + cfg.AppServices.Dir +
		", where the server takes it within a second, and give the application service a copy.\n"
	if got := generate("bot", "bot.yaml"); got != want {
		t.Errorf("got %swant %s", got, want)
	}
	there := filepath.Join(cfg.AppServices.Dir, "other.yaml")
	want = "Wrote " + there + ": other, is sent nothing (url: null), bot @_other_bot, users @other_.*. The server takes it within a second, " +
		"or when it starts; give the application service a copy.\n"
	if got := generate("other", there); got != want {
		t.Errorf("got %swant %s", got, want)
	}
}

// What would not go together with the files beside it is not written.
func TestGenerateBesideOthers(t *testing.T) {
	t.Chdir(t.TempDir())
	generate := func(name, users, out string) (int, string) {
		code, _, stderr := runIn(t, "", "registration", "generate", name, "--user", users, "--out", out)
		return code, stderr
	}
	if code, stderr := generate("irc", "@irc_.*", "dir/irc.yaml"); code != exitOK {
		t.Fatal(stderr)
	}
	for _, test := range []struct{ name, users, want string }{
		{"ircd", "@irc.*", "namespaces.users[0].regex: is exclusive, as is namespaces.users[0] of irc.yaml, and both match @irc_:a; narrow one of them"},
		{"irc", "@other_.*", "id: is also that of irc.yaml"},
	} {
		code, stderr := generate(test.name, test.users, "dir/two.yaml")
		if code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("got %d, %s, want %s", code, stderr, test.want)
		}
		if _, err := os.Stat("dir/two.yaml"); err == nil {
			t.Error("a file was written")
		}
	}
	if code, stderr := generate("other", "@other_.*", "dir/two.yaml"); code != exitOK {
		t.Error(stderr)
	}
}

// The doctor names services that are not there, are behind, or have people's names to themselves.
func TestDoctorOfServices(t *testing.T) {
	cfg, config := installed(t)
	db, _ := withRoom(t, cfg)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for user, service := range map[id.UserID]string{"@mybot_anna:localhost": "", "@mybot_ghost:localhost": "mybot", "@anna:localhost": ""} {
			if err := tx.InsertUser(&store.User{UserID: user, AppService: service}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	own := &servicesReport{servicesStatus: servicesStatus{Running: true, Services: []serviceStatus{{
		ID: "anna", BuiltIn: true, Sender: "anna", Namespaces: registration.Namespaces{Users: []registration.Namespace{{Regex: "^@anna_.*", Exclusive: true}}},
	}}}}
	if err := own.intrusions(t.Context(), db, nil); err != nil || len(own.Problems) != 1 || !strings.Contains(own.Problems[0].Text, "such as @anna:localhost of a person") {
		t.Errorf("of the server's own bridge: %v, %+v", err, own.Problems)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	generate := []string{"registration", "generate", "mybot", "--url", address, "--user", "@mybot_.*", "--out", filepath.Join(cfg.AppServices.Dir, "mybot.yaml")}
	if code, _, stderr := runIn(t, "", generate...); code != exitOK {
		t.Fatal(stderr)
	}
	doctor := func(code int, wants ...string) {
		t.Helper()
		got, stdout, stderr := runIn(t, "", "--config", config, "doctor")
		for _, want := range wants {
			if got != code || !strings.Contains(stdout, want) {
				t.Errorf("got %d, %s, %s; want %d and %q", got, stdout, stderr, code, want)
			}
		}
	}
	doctor(exitFailure, "Application services: 1, from their files; no server runs",
		"mybot has accounts to itself that it did not make and can act as (1, such as @mybot_anna:localhost of a person)", "Narrow its namespaces in mybot.yaml")
	listener.Close()
	doctor(exitFailure, "mybot cannot be reached at "+address+": nothing listens there")
	if err := os.WriteFile(filepath.Join(cfg.AppServices.Dir, "faulty.yaml"), []byte("id: x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(cfg.AppServices.Dir, "mybot.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	doctor(exitFailure, "faulty.yaml: as_token: is missing", "warning: mybot.yaml: can be read by everybody")

	now := time.UnixMilli(1_700_000_000_000)
	r := &servicesReport{servicesStatus: servicesStatus{Running: true, Services: []serviceStatus{
		{ID: "quick", OldestTS: now.Add(-lateAfter).UnixMilli()}, {ID: "idle"},
		{ID: "slow", OldestTS: now.Add(-lateAfter - time.Minute).UnixMilli(), LastError: "status 500"},
	}}}
	r.late(now)
	if len(r.Problems) != 1 || r.Problems[0].Service != "slow" || r.Problems[0].Text != "is behind by 11m: status 500" {
		t.Errorf("late are %+v", r.Problems)
	}
}
