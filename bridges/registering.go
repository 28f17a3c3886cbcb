package bridges

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/id"
)

// registrar registers ghosts on the way of their first request. appservice.IntentAPI does that by a field that it reads
// without a lock, while bridgev2 and a network send for the same ghost at once; so it is told that they are registered.
type registrar struct {
	as   *appservice.AppService
	next http.RoundTripper

	mu   sync.Mutex                // guards open, and the field of intents that are not in use yet
	open map[id.UserID]*sync.Mutex // who may not be registered; held meanwhile
}

func newRegistrar(as *appservice.AppService, next http.RoundTripper) *registrar {
	if next == nil {
		next = http.DefaultTransport
	}
	return &registrar{as: as, next: next, open: map[id.UserID]*sync.Mutex{}}
}

// intent returns the intent of a ghost.
func (r *registrar) intent(user id.UserID) *appservice.IntentAPI {
	api := r.as.Intent(user)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !api.Registered {
		api.Registered = true
		r.open[user] = &sync.Mutex{}
	}
	return api
}

// RoundTrip implements http.RoundTripper. When the homeserver refuses a registration, its answer is that to the request.
func (r *registrar) RoundTrip(req *http.Request) (*http.Response, error) {
	user := id.UserID(req.URL.Query().Get("user_id"))
	r.mu.Lock()
	busy, open := r.open[user]
	r.mu.Unlock()
	if !open {
		return r.next.RoundTrip(req)
	}
	if refused, err := r.register(req, user, busy); refused != nil || err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return refused, err
	}
	return r.next.RoundTrip(req)
}

// register makes sure that a ghost is registered, and returns the homeserver's answer if it is not.
func (r *registrar) register(req *http.Request, user id.UserID, busy *sync.Mutex) (*http.Response, error) {
	busy.Lock()
	defer busy.Unlock()
	ctx := req.Context()
	r.mu.Lock()
	_, open := r.open[user]
	r.mu.Unlock()
	if !open {
		return nil, nil
	}
	known, err := r.as.StateStore.IsRegistered(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("look up whether %s is registered: %w", user, err)
	}
	if !known {
		if refused, err := r.ask(ctx, req, user); refused != nil || err != nil {
			return refused, err
		}
		if err := r.as.StateStore.MarkRegistered(ctx, user); err != nil {
			return nil, fmt.Errorf("note that %s is registered: %w", user, err)
		}
	}
	r.mu.Lock()
	delete(r.open, user)
	r.mu.Unlock()
	return nil, nil
}

// maxRegistered bounds the answer to a registration.
const maxRegistered = 64 << 10

func (r *registrar) ask(ctx context.Context, cause *http.Request, user id.UserID) (*http.Response, error) {
	body, err := json.Marshal(&mautrix.ReqRegister[any]{
		Username: user.Localpart(), Type: mautrix.AuthTypeAppservice, InhibitLogin: true,
	})
	if err != nil {
		return nil, err
	}
	address := mautrix.BuildURL(r.as.BotClient().HomeserverURL, "_matrix", "client", "v3", "register").String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", cause.Header.Get("Authorization"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", cause.Header.Get("User-Agent"))
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", user, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxRegistered))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", user, err)
	}
	var refusal mautrix.RespError
	if resp.StatusCode/100 == 2 || json.Unmarshal(answer, &refusal) == nil && refusal.ErrCode == mautrix.MUserInUse.ErrCode {
		return nil, nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}
