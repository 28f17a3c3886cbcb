package account

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/registration"

	"maunium.net/go/mautrix/id"
)

// irc has @irc_… to itself, and cares for @shared_….
func irc() *registration.Registration {
	return &registration.Registration{
		ID: "irc", ASToken: "irc-as-token", HSToken: "irc-hs-token", SenderLocalpart: "ircbot", RateLimited: true,
		Namespaces: registration.Namespaces{Users: []registration.Namespace{
			{Regex: "@irc_.*:test", Exclusive: true}, {Regex: "@shared_.*:test"},
		}},
	}
}

// xmpp has @xmpp_… to itself, and cares for @shared_….
func xmpp() *registration.Registration {
	return &registration.Registration{
		ID: "xmpp", ASToken: "xmpp-as-token", HSToken: "xmpp-hs-token", SenderLocalpart: "xmppbot",
		Namespaces: registration.Namespaces{Users: []registration.Namespace{
			{Regex: "@xmpp_.*:test", Exclusive: true}, {Regex: "@shared_.*:test"},
		}},
	}
}

func TestAppServiceRegisters(t *testing.T) {
	ghost := func(name, token string) RegisterRequest {
		return RegisterRequest{Type: typeAppService, Username: name, AppServiceToken: token, InhibitLogin: true}
	}
	tests := []struct {
		name string
		in   RegisterRequest
		want string
	}{
		{"ghost", ghost("irc_nick", "irc-as-token"), ""},
		{"ghost again", ghost("irc_nick", "irc-as-token"), "M_USER_IN_USE"},
		{"ghost that logs in", RegisterRequest{Type: typeAppService, Username: "irc_two", AppServiceToken: "irc-as-token", DeviceID: "D"}, ""},
		{"shared namespace", ghost("shared_x", "xmpp-as-token"), ""},
		{"itself", ghost("ircbot", "irc-as-token"), ""},
		{"another's sender", ghost("xmppbot", "irc-as-token"), "M_EXCLUSIVE"},
		{"another's ghost", ghost("xmpp_x", "irc-as-token"), "M_EXCLUSIVE"},
		{"nobody's namespace", ghost("alice", "irc-as-token"), "M_EXCLUSIVE"},
		{"no name", ghost("", "irc-as-token"), "M_MISSING_PARAM"},
		{"bad name", ghost("irc_Nick", "irc-as-token"), "M_INVALID_USERNAME"},
		{"no token", ghost("irc_x", ""), "M_MISSING_TOKEN"},
		{"unknown token", ghost("irc_x", "x"), "M_UNKNOWN_TOKEN"},
		{"a person in its namespace", RegisterRequest{Username: "irc_person", Password: "x"}, "M_EXCLUSIVE"},
		{"a person with its name", RegisterRequest{Username: "ircbot", Password: "x"}, "M_EXCLUSIVE"},
		{"a person in a shared namespace", RegisterRequest{Username: "shared_person", Password: "x", Auth: &AuthData{Type: typeDummy}}, ""},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, true, irc(), xmpp())
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				got, err := s.Register(ctx, test.in)
				if code := codeOf(err); code != test.want {
					t.Fatalf("got error %q, want %q", code, test.want)
				}
				if err == nil && (got.AccessToken == "") != test.in.InhibitLogin {
					t.Errorf("got a session: %v, want %v", got.AccessToken != "", !test.in.InhibitLogin)
				}
			})
		}
		if token, err := s.FirstToken(ctx); err != nil || token != "" {
			t.Errorf("got a first token %q, %v, though a person is there", token, err)
		}
	})
}

func TestFirstTokenWhenThereAreGhosts(t *testing.T) {
	ctx := context.Background()
	s := newService(storetest.New(t), false, irc())
	if _, err := s.Register(ctx, RegisterRequest{Type: typeAppService, Username: "irc_x", AppServiceToken: "irc-as-token"}); err != nil {
		t.Fatal(err)
	}
	if token, err := s.FirstToken(ctx); token == "" || err != nil {
		t.Errorf("got %q, %v, want a token: nobody is a person yet", token, err)
	}
}

func TestAppServiceIdentifies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, true, irc(), xmpp())
		if _, err := s.Register(ctx, RegisterRequest{Type: typeAppService, Username: "irc_nick", AppServiceToken: "irc-as-token", DeviceID: "D"}); err != nil {
			t.Fatal(err)
		}
		createUser(t, s, "alice", "secret")
		createUser(t, s, "shared_person", "secret")
		tests := []struct {
			name     string
			token    string
			asUser   id.UserID
			asDevice id.DeviceID
			want     string
			user     id.UserID
			limited  bool
		}{
			{"itself", "irc-as-token", "", "", "", "@ircbot:test", false},
			{"itself by name", "irc-as-token", "@ircbot:test", "", "", "@ircbot:test", false},
			{"ghost", "irc-as-token", "@irc_nick:test", "", "", "@irc_nick:test", true},
			{"ghost's device", "irc-as-token", "@irc_nick:test", "D", "", "@irc_nick:test", true},
			{"no device of the ghost's", "irc-as-token", "@irc_nick:test", "E", "M_UNKNOWN_DEVICE", "", false},
			{"no device of its own", "irc-as-token", "", "D", "M_UNKNOWN_DEVICE", "", false},
			{"person in a shared namespace", "xmpp-as-token", "@shared_person:test", "", "", "@shared_person:test", false},
			{"ghost that is not there", "irc-as-token", "@irc_nobody:test", "", "M_FORBIDDEN", "", false},
			{"another's ghost", "xmpp-as-token", "@irc_nick:test", "", "M_FORBIDDEN", "", false},
			{"person", "irc-as-token", "@alice:test", "", "M_FORBIDDEN", "", false},
			{"other server", "irc-as-token", "@irc_nick:elsewhere", "", "M_FORBIDDEN", "", false},
			{"other server's bot", "irc-as-token", "@ircbot:elsewhere", "", "M_FORBIDDEN", "", false},
			{"no user id", "irc-as-token", "irc_nick", "", "M_FORBIDDEN", "", false},
			{"unknown token", "x", "@irc_nick:test", "", "M_UNKNOWN_TOKEN", "", false},
			{"no token", "", "", "", "M_UNKNOWN_TOKEN", "", false},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				got, err := s.Identify(ctx, test.token, test.asUser, test.asDevice)
				if code := codeOf(err); code != test.want {
					t.Fatalf("got error %q, want %q", code, test.want)
				}
				if err == nil && (got.UserID != test.user || got.DeviceID != test.asDevice || got.AppService == nil || got.RateLimited != test.limited || got.IsAdmin) {
					t.Errorf("got %+v", got)
				}
			})
		}
		if exists, err := newService(db, true).UserExists(ctx, "@ircbot:test"); err != nil || !exists {
			t.Errorf("the sender: got %v, %v, want it to exist", exists, err)
		}
	})
}

func TestAppServiceLogsIn(t *testing.T) {
	in := func(user, token string) LoginRequest {
		return LoginRequest{Type: typeAppService, Identifier: &Identifier{Type: "m.id.user", User: user}, AppServiceToken: token}
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, true, irc(), xmpp())
		if _, err := s.Register(ctx, RegisterRequest{Type: typeAppService, Username: "irc_nick", AppServiceToken: "irc-as-token"}); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name string
			in   LoginRequest
			want string
		}{
			{"ghost", in("irc_nick", "irc-as-token"), ""},
			{"ghost by its id", in("@irc_nick:test", "irc-as-token"), ""},
			{"itself", in("ircbot", "irc-as-token"), ""},
			{"ghost that is not there", in("irc_nobody", "irc-as-token"), "M_FORBIDDEN"},
			{"another's ghost", in("irc_nick", "xmpp-as-token"), "M_EXCLUSIVE"},
			{"other server", in("@irc_nick:elsewhere", "irc-as-token"), "M_EXCLUSIVE"},
			{"no token", in("irc_nick", ""), "M_MISSING_TOKEN"},
			{"unknown token", in("irc_nick", "x"), "M_UNKNOWN_TOKEN"},
			{"no user", in("", "irc-as-token"), "M_MISSING_PARAM"},
		} {
			t.Run(test.name, func(t *testing.T) {
				got, err := s.Login(ctx, test.in)
				if code := codeOf(err); code != test.want {
					t.Fatalf("got error %q, want %q", code, test.want)
				}
				if err != nil {
					return
				}
				if who, err := s.Identify(ctx, got.AccessToken, "", ""); err != nil || who.UserID != got.UserID || who.AppService != nil {
					t.Errorf("Identify: got %+v, %v", who, err)
				}
			})
		}
	})
}

// What a service may do ends with its registration, and comes back with it.
func TestServiceThatIsGone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		set := func(all ...*registration.Registration) *registration.Set {
			s, err := registration.NewSet(all...)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := newService(db, true)
		var now *registration.Set
		s.appServices = func() *registration.Set { return now }
		now = set(irc(), xmpp())
		ghost, err := s.Register(ctx, RegisterRequest{Type: typeAppService, Username: "irc_nick", AppServiceToken: "irc-as-token"})
		if err != nil {
			t.Fatal(err)
		}
		person, err := s.Register(ctx, RegisterRequest{Username: "shared_person", Password: "x", Auth: &AuthData{Type: typeDummy}})
		if err != nil {
			t.Fatal(err)
		}
		// The person's second device is logged in by the service, as bridges do that speak for people.
		puppet, err := s.Login(ctx, LoginRequest{
			Type: typeAppService, Identifier: &Identifier{Type: "m.id.user", User: "shared_person"}, AppServiceToken: "irc-as-token",
			DeviceID: "PUPPET", RefreshToken: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		codes := func() (codes [4]string) {
			for i, token := range []string{"irc-as-token", ghost.AccessToken, person.AccessToken, puppet.AccessToken} {
				_, err := s.Identify(ctx, token, "", "")
				codes[i] = codeOf(err)
			}
			return codes
		}
		const dead = "M_UNKNOWN_TOKEN"
		renamed, changed, narrowed, owner := irc(), irc(), irc(), xmpp()
		narrowed.Namespaces.Users = narrowed.Namespaces.Users[:1]
		owner.Namespaces.Users = append(owner.Namespaces.Users, registration.Namespace{Regex: "@shared_person:test", Exclusive: true})
		renamed.ID, renamed.ASToken = "libera", "libera-as-token"
		changed.ASToken = "another-as-token"
		for _, test := range []struct {
			name string
			now  *registration.Set
			want [4]string // of the service, its user, a person, and the person as logged in by the service
		}{
			{"at first", set(irc(), xmpp()), [4]string{}},
			{"gone", set(xmpp()), [4]string{dead, dead, "", dead}},
			{"back", set(irc(), xmpp()), [4]string{}},
			{"with another token", set(changed), [4]string{dead, "", "", ""}},
			{"with another id", set(renamed), [4]string{dead, "", "", dead}},
			{"with less to care for", set(narrowed), [4]string{"", "", "", dead}},
			{"beside one that has the person to itself", set(irc(), owner), [4]string{"", "", "", dead}},
			{"no services", nil, [4]string{dead, dead, "", dead}},
		} {
			if now = test.now; codes() != test.want {
				t.Errorf("%s: got %q, want %q", test.name, codes(), test.want)
			}
		}

		// Tokens that are refreshed are still the service's, and a login of the person's own on that device is not.
		refreshed, err := s.Refresh(ctx, puppet.RefreshToken, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Identify(ctx, refreshed.AccessToken, "", ""); codeOf(err) != dead {
			t.Errorf("refreshed: got %v, want %s", err, dead)
		}
		own, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "shared_person", Password: "x", DeviceID: "PUPPET"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Identify(ctx, own.AccessToken, "", ""); err != nil {
			t.Errorf("the person's own login: got %v", err)
		}

		waits := func(user id.UserID) context.Context {
			watched, stop := s.Watch(ctx, user)
			t.Cleanup(stop)
			return watched
		}
		mine, bot, others, foreign := waits("@irc_nick:test"), waits("@ircbot:test"), waits("@xmpp_nick:test"), waits("@irc_nick:elsewhere")
		s.EndServices([]*registration.Registration{irc()})
		if context.Cause(mine) != ErrSessionsChanged || context.Cause(bot) != ErrSessionsChanged || others.Err() != nil || foreign.Err() != nil {
			t.Error("want the requests of a service's users ended, and no others")
		}
	})
}

// A service whose own account is locked, suspended or ended is held to that as its users are.
func TestServiceItselfIsBarred(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		s := newService(db, true, irc())
		createUser(t, s, "root", "secret")
		const bot = id.UserID("@ircbot:test")
		state := func(want string, wantSuspended bool) {
			t.Helper()
			for _, asUser := range []id.UserID{"", bot} {
				who, err := s.Identify(ctx, "irc-as-token", asUser, "")
				if err == nil && who.Locked != nil {
					err = who.Locked
				}
				if code := codeOf(err); code != want || err == nil && who.IsSuspended != wantSuspended {
					t.Errorf("as %q: got %q, suspended %v; want %q, %v", asUser, code, who.IsSuspended, want, wantSuspended)
				}
			}
			if wantSuspended {
				want = "M_USER_SUSPENDED"
			}
			if code := codeOf(s.MayActFor(ctx, "irc", bot)); code != want {
				t.Errorf("MayActFor: got %q, want %q", code, want)
			}
		}
		state("", false)
		for _, step := range []struct {
			do        func() error
			want      string
			suspended bool
		}{
			{func() error { return s.SetLocked(ctx, "@root:test", bot, true) }, "M_USER_LOCKED", false},
			{func() error { return s.SetLocked(ctx, "@root:test", bot, false) }, "", false},
			{func() error { return s.SetSuspended(ctx, "@root:test", bot, true) }, "", true},
			{func() error { return s.SetSuspended(ctx, "@root:test", bot, false) }, "", false},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			state(step.want, step.suspended)
		}
	})
}

// Who had a name before a bridge of this server got it does not speak for the bridge.
func TestNameThatABridgeTakes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		before := newService(db, true)
		for _, name := range []string{"ircbot", "irc_bob", "alice"} {
			createUser(t, before, name, "secret")
		}
		sessions := map[string]string{}
		for _, name := range []string{"ircbot", "irc_bob", "alice"} {
			sessions[name] = login(t, before, name, "secret", "D").AccessToken
		}
		bridge := irc()
		bridge.BuiltIn = true
		for _, test := range []struct {
			name, token, login string
			s                  *Service
		}{
			{"ircbot", "M_UNKNOWN_TOKEN", "M_EXCLUSIVE", newService(db, true, bridge)},
			{"irc_bob", "M_UNKNOWN_TOKEN", "M_EXCLUSIVE", newService(db, true, bridge)},
			{"alice", "", "", newService(db, true, bridge)},
			{"irc_bob", "", "", newService(db, true, irc())}, // of a file, which says so on purpose
			{"irc_bob", "", "", newService(db, true)},
		} {
			if _, err := test.s.Identify(ctx, sessions[test.name], "", ""); codeOf(err) != test.token {
				t.Errorf("the session of %s: got %v, want %q", test.name, err, test.token)
			}
			_, err := test.s.Login(ctx, LoginRequest{Type: typePassword, User: test.name, Password: "secret", DeviceID: "E"})
			if codeOf(err) != test.login {
				t.Errorf("login of %s: got %v, want %q", test.name, err, test.login)
			}
		}
		if who, err := newService(db, true, bridge).Identify(ctx, "irc-as-token", "@irc_bob:test", ""); err != nil || who.UserID != "@irc_bob:test" {
			t.Errorf("the bridge as irc_bob: %v, %v", who, err)
		}
	})
}

// A name that the server makes up is nobody's: it is drawn again while it is some service's, and the client is told where all are.
func TestMadeUpNames(t *testing.T) {
	ctx := t.Context()
	register := func(s *Service) (Login, error) {
		return s.Register(ctx, RegisterRequest{Password: "x", Auth: &AuthData{Type: typeDummy}})
	}
	half, whole := irc(), irc()
	half.Namespaces.Users = append(half.Namespaces.Users, registration.Namespace{Regex: "@[a-m].*:test", Exclusive: true})
	whole.Namespaces.Users = append(whole.Namespaces.Users, registration.Namespace{Regex: "@[a-z].*:test", Exclusive: true})
	s := newService(storetest.New(t), true, half)
	for range 20 {
		got, err := register(s)
		if err != nil || got.UserID[1] < 'n' {
			t.Errorf("got %s, %v", got.UserID, err)
		}
	}
	if got, err := register(newService(storetest.New(t), true, whole)); codeOf(err) != "M_EXCLUSIVE" {
		t.Errorf("where all names are a service's, got %s, %v", got.UserID, err)
	}
}
