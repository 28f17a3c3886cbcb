package account

import (
	"context"
	"testing"

	"causeway/homeserver/storetest"
)

func TestStagesInOrder(t *testing.T) {
	op := operation{flows: []Flow{{Stages: []string{"a", "b"}}, {Stages: []string{"a", "c"}}, {Stages: []string{"d"}}}}
	tests := []struct {
		name      string
		completed []string
		stage     string
		next      bool
		complete  bool
	}{
		{"first", nil, "a", true, false},
		{"second is not first", nil, "b", false, false},
		{"second", []string{"a"}, "b", true, false},
		{"second of another flow", []string{"a"}, "c", true, false},
		{"flow of another start", []string{"a"}, "d", false, false},
		{"nothing after the end", []string{"a", "b"}, "c", false, true},
		{"short flow", []string{"d"}, "", false, true},
		{"unknown", nil, "x", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := op.next(test.completed, test.stage); got != test.next {
				t.Errorf("next: got %v, want %v", got, test.next)
			}
			if got := op.complete(test.completed); got != test.complete {
				t.Errorf("complete: got %v, want %v", got, test.complete)
			}
		})
	}
}

func TestUIASessions(t *testing.T) {
	u := newUIASessions()
	mine, other := operation{name: "password", user: "@alice:test"}, operation{name: "password", user: "@bob:test"}
	session := u.get(mine, "", 0)
	session.completed = []string{typePassword}
	u.put(mine, session, 0)
	for _, test := range []struct {
		name string
		op   operation
		now  int64
		want int
	}{
		{"same operation", mine, 1, 1},
		{"other user", other, 1, 0},
		{"expired", mine, uiaSessionMS, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := u.get(test.op, session.id, test.now)
			if len(got.completed) != test.want || got.id != session.id {
				t.Errorf("got %+v, want %d completed", got, test.want)
			}
		})
	}
	if got := u.get(mine, "short", 1); got.id == "short" {
		t.Error("an id of the client's own making was taken")
	}
}

// TestStagesOnPages completes stages out of their order, and for sessions without end.
func TestStagesOnPages(t *testing.T) {
	u := newUIASessions()
	op := operation{flows: []Flow{{Stages: []string{typeCaptcha, typeTerms, typeRegistrationToken}}}}
	session := u.get(op, "", 0).id
	for i, step := range []struct {
		stage, token string
		want         int
	}{{typeTerms, "", 0}, {typeDummy, "", 0}, {typeCaptcha, "", 2}, {typeRegistrationToken, "token", 3}} {
		u.completeAside(session, step.stage, step.token, 0)
		if got := u.get(op, session, 1); len(got.completed) != step.want || got.token != step.token {
			t.Errorf("step %d: got %+v, want %d completed", i, got, step.want)
		}
	}
	if got := u.get(op, session, uiaSessionMS); len(got.completed) != 0 {
		t.Errorf("after their time: %+v", got)
	}
	for range maxUIASessions + 10 {
		id := u.get(op, "", 0).id
		u.completeAside(id, typeTerms, "", 0)
		u.ask(operation{name: "x", user: "@alice:test"}, id, 0)
	}
	if len(u.aside) != maxUIASessions || len(u.asked) != maxUIASessions {
		t.Errorf("got %d and %d, want %d", len(u.aside), len(u.asked), maxUIASessions)
	}
}

func TestUIASessionsAreBounded(t *testing.T) {
	u := newUIASessions()
	for range maxUIASessions + 10 {
		u.put(operation{}, u.get(operation{}, "", 0), 0)
	}
	if len(u.rows) != maxUIASessions {
		t.Errorf("got %d, want %d", len(u.rows), maxUIASessions)
	}
	u.put(operation{}, u.get(operation{}, "", 0), uiaSessionMS)
	if len(u.rows) != 1 {
		t.Errorf("got %d after all the others expired, want 1", len(u.rows))
	}
}

func TestChangePassword(t *testing.T) {
	ctx := context.Background()
	s := newService(storetest.New(t), false)
	createUser(t, s, "alice", "secret")
	createUser(t, s, "bob", "bobs")
	alice := Requester{UserID: "@alice:test", DeviceID: "A"}
	proof := func(user, password string) *AuthData {
		return &AuthData{Type: typePassword, Identifier: &Identifier{Type: "m.id.user", User: user}, Password: password}
	}
	for _, test := range []struct {
		name string
		who  Requester
		in   PasswordRequest
		want string
	}{
		{"no auth", alice, PasswordRequest{NewPassword: "new"}, "401 "},
		{"wrong password", alice, PasswordRequest{NewPassword: "new", Auth: proof("alice", "x")}, "401 M_FORBIDDEN"},
		{"another user's proof", alice, PasswordRequest{NewPassword: "new", Auth: proof("bob", "bobs")}, "M_FORBIDDEN"},
		{"proof without a user", alice, PasswordRequest{NewPassword: "new", Auth: &AuthData{Type: typePassword}}, "M_MISSING_PARAM"},
		{"dummy", alice, PasswordRequest{NewPassword: "new", Auth: &AuthData{Type: typeDummy}}, "401 M_FORBIDDEN"},
		{"no new password", alice, PasswordRequest{Auth: proof("alice", "secret")}, "M_MISSING_PARAM"},
		{"application service", Requester{UserID: "@alice:test", ByAppService: true}, PasswordRequest{NewPassword: "new"}, "M_FORBIDDEN"},
		{"right", alice, PasswordRequest{NewPassword: "new", Auth: proof("@alice:test", "secret")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := s.ChangePassword(ctx, test.who, test.in); codeOf(err) != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	login(t, s, "alice", "new", "")
	if _, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret"}); codeOf(err) != "M_FORBIDDEN" {
		t.Errorf("login with the old password: got %v, want M_FORBIDDEN", err)
	}
}
