package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestLockedAndSuspended asks endpoints of all kinds on behalf of those whose account is not as it should be, and counts who was seen.
func TestLockedAndSuspended(t *testing.T) {
	who := accounts{
		"alice":     {UserID: "@alice:hs"},
		"locked":    {UserID: "@locked:hs", Locked: Error(401, "M_USER_LOCKED", "locked")},
		"suspended": {UserID: "@suspended:hs", IsSuspended: true},
	}
	again := JSON(func(ctx context.Context, r *Request, _ Empty) (Empty, error) {
		delete(who, "alice") // the session ends while the request is under way
		return Empty{}, r.Authenticate(ctx)
	})
	seen := make(map[string]int)
	mux := NewMux([]Route{
		{"GET", "/user", User, JSON(whoami)}, {"GET", "/optional", Optional, JSON(whoami)}, {"GET", "/logout", User, JSON(whoami).EvenLocked()},
		{"GET", "/say", User, JSON(whoami).NotSuspended()}, {"GET", "/public", Public, JSON(whoami)}, {"GET", "/again", User, again},
	}, Options{Identifier: who, Seen: func(r *Request) { seen[string(r.Requester.UserID)]++ }})
	for _, test := range []struct {
		token, path string
		status      int
	}{
		{"alice", "/user", 200}, {"alice", "/optional", 200}, {"alice", "/logout", 200}, {"alice", "/say", 200}, {"alice", "/public", 200},
		{"locked", "/user", 401}, {"locked", "/optional", 401}, {"locked", "/logout", 200}, {"locked", "/say", 401}, {"locked", "/public", 200},
		{"suspended", "/user", 200}, {"suspended", "/optional", 200}, {"suspended", "/logout", 200}, {"suspended", "/say", 403},
		{"alice", "/again", 401}, {"alice", "/user", 401},
	} {
		r := httptest.NewRequest(http.MethodGet, test.path, nil)
		r.Header.Set("Authorization", "Bearer "+test.token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s for %s: got %d %s, want %d", test.path, test.token, w.Code, w.Body, test.status)
		}
	}
	if seen["@alice:hs"] != 5 || seen["@locked:hs"] != 1 || seen["@suspended:hs"] != 3 {
		t.Errorf("seen: %v", seen)
	}
}
