package bridges

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/id"
)

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func newTestRegistrar(t *testing.T, answer func(*http.Request) (int, string)) *registrar {
	t.Helper()
	as, err := appservice.CreateFull(appservice.CreateOpts{
		Registration:     &appservice.Registration{SenderLocalpart: "bot", AppToken: "secret"},
		HomeserverDomain: "hs.test", HomeserverURL: "http://hs.test",
		StateStore: mautrix.NewMemoryStateStore().(appservice.StateStore),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newRegistrar(as, tripper(func(req *http.Request) (*http.Response, error) {
		status, body := answer(req)
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	}))
	as.HTTPClient.Transport = r
	as.BotIntent()
	return r
}

// TestRegisteredOnTheWay sends for one ghost from many sides at once: it is registered before the first request, and once.
func TestRegisteredOnTheWay(t *testing.T) {
	for _, answer := range []string{`{}`, `{"errcode":"M_USER_IN_USE","error":"taken"}`} {
		var registered, early atomic.Int32
		r := newTestRegistrar(t, func(req *http.Request) (int, string) {
			if strings.HasSuffix(req.URL.Path, "/register") {
				body, _ := io.ReadAll(req.Body)
				if !strings.Contains(string(body), `"username":"ghost"`) || req.Header.Get("Authorization") != "Bearer secret" || req.URL.RawQuery != "" {
					t.Errorf("got registration %s of %s", body, req.URL)
				}
				registered.Add(1)
				if strings.Contains(answer, "errcode") {
					return http.StatusBadRequest, answer
				}
				return http.StatusOK, answer
			}
			if registered.Load() == 0 {
				early.Add(1)
			}
			return http.StatusOK, `{}`
		})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				api := r.intent("@ghost:hs.test")
				if err := api.SetDisplayName(t.Context(), "Ghost"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if registered.Load() != 1 || early.Load() != 0 || len(r.open) != 0 {
			t.Errorf("after %s: registered %d times, %d requests before, %d left", answer, registered.Load(), early.Load(), len(r.open))
		}
	}
}

// TestRegistrationRefused tells who sends what the homeserver has said, and tries again with the next request.
func TestRegistrationRefused(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	r := newTestRegistrar(t, func(req *http.Request) (int, string) {
		if refuse.Load() {
			return http.StatusForbidden, `{"errcode":"M_EXCLUSIVE","error":"not yours"}`
		}
		return http.StatusOK, `{"room_id":"!r:hs.test"}`
	})
	api := r.intent(id.UserID("@ghost:hs.test"))
	if err := api.EnsureJoined(t.Context(), "!r:hs.test"); err == nil || !strings.Contains(err.Error(), "not yours") {
		t.Errorf("got %v, want the homeserver's words", err)
	}
	refuse.Store(false)
	if err := api.EnsureJoined(t.Context(), "!r:hs.test"); err != nil {
		t.Error(err)
	}
}
