// Package provisioning is how a person signs in to a network and starts chats there, over HTTP: the provisioning API of bridgev2 for one
// bridge, as its homeserver calls it.
//
// Paths and bodies are those of mautrix's bridgev2/matrix/provisioning.yaml, so that clients made for it can use this one. Logins differ
// in what they promise: a process belongs to who began it, input is looked at before the network has it, an error says what was wrong,
// and an answer that got lost can be asked for again (GET /v3/login/step/{loginProcessID}). Rooms that people have already are connected
// with chats of networks that are RoomLinkers (/v3/room_links).
//
// Package bridges calls it, when it has seen that the request comes from the homeserver, which says whom it comes from. It never sees an
// access token.
package provisioning

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/exhttp"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

const (
	// maxBody bounds the body of a request, in bytes.
	maxBody = 256 << 10
	// createWait is how long the making of a room may take; it goes on when who asked for it has gone.
	createWait = 2 * time.Minute
)

// API serves the requests of a bridge. Make it with New.
type API struct {
	bridge   *bridgev2.Bridge
	library  *matrix.ProvisioningAPI // bridgev2's own, for what is not here; complete when the bridge has started
	secret   string                  // opens library
	mux      *http.ServeMux
	stateOf  func(networkid.UserLoginID) status.BridgeState
	roomOf   func(ctx context.Context, alias id.RoomAlias) (id.RoomID, error)
	lifetime time.Duration // lifetime, but in tests
	running  sync.WaitGroup

	mu     sync.Mutex               // guards what follows
	ctx    context.Context          // of what outlasts a request; nil before Start and after Stop
	cancel context.CancelFunc       // ends ctx
	logins map[string]*process      // by ID
	newest map[id.UserID][]*process // of each person, the oldest first
}

// New returns the API of a bridge that is not started yet. The secret is the shared_secret of bridgev2's own API, which nobody but this
// package knows; stateOf is the newest state of a login, and roomOf the room of an alias.
func New(bridge *bridgev2.Bridge, library *matrix.ProvisioningAPI, secret string,
	stateOf func(networkid.UserLoginID) status.BridgeState, roomOf func(ctx context.Context, alias id.RoomAlias) (id.RoomID, error)) *API {
	a := &API{
		bridge: bridge, secret: secret, mux: http.NewServeMux(), lifetime: lifetime,
		library: library, stateOf: stateOf, roomOf: roomOf,
		logins: map[string]*process{}, newest: map[id.UserID][]*process{},
	}
	for pattern, handle := range map[string]handler{
		"GET /v3/capabilities": a.capabilities,
		"GET /v3/whoami":       a.whoami,

		"POST /v3/login/start/{flowID}":                            a.start,
		"GET /v3/login/step/{loginProcessID}":                      a.current,
		"POST /v3/login/step/{loginProcessID}/{stepID}/{stepType}": a.step,
		"POST /v3/login/step/{loginProcessID}/{stepID}/cancel":     a.stepBack,
		"POST /v3/login/cancel/{loginProcessID}":                   a.cancelLogin,
		"GET /v3/contacts":                                         a.contacts,
		"POST /v3/search_users":                                    a.searchUsers,
		"GET /v3/resolve_identifier/{identifier}":                  a.resolve,
		"POST /v3/create_dm/{identifier}":                          a.createDM,
		"GET /v3/room_links":                                       a.roomLinks,
		"POST /v3/room_links/link":                                 a.linkRoom,
		"POST /v3/room_links/unlink":                               a.unlinkRoom,
	} {
		a.mux.HandleFunc(pattern, a.serve(handle))
	}
	for _, pattern := range []string{
		"GET /v3/login/flows", "GET /v3/logins", "POST /v3/logout/{loginID}", "POST /v3/create_group/{type}",
		"POST /v3/backfill/{roomID}", "GET /v3/image_pack/import", "POST /v3/image_pack/import", "GET /v3/image_pack/list",
		"POST /v3/resolve_media/{eventID}",
	} {
		a.mux.HandleFunc(pattern, a.byLibrary)
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		mautrix.MUnrecognized.WithMessage("There is no such endpoint").Write(w)
	})
	return a
}

// Start lets people in. The context is that of what outlasts a request, and carries the logger.
func (a *API) Start(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx, a.cancel = context.WithCancel(ctx)
}

// Stop ends all logins that are under way, and waits for them, at most until ctx ends: what others wrote may not listen.
func (a *API) Stop(ctx context.Context) {
	a.mu.Lock()
	cancel := a.cancel
	a.ctx, a.cancel = nil, nil
	a.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	ended := make(chan struct{})
	go func() {
		a.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// person is who a request comes from.
type person struct {
	*bridgev2.User
	r *http.Request
}

// handler answers a request of a person with a value to be written as JSON, or an error.
type handler func(ctx context.Context, p person) (any, error)

// created is an answer with the status 201.
type created struct{ body any }

var (
	errNotRunning = mautrix.MUnknown.WithMessage("The bridge is not running").WithStatus(http.StatusServiceUnavailable)
	errNobody     = mautrix.MForbidden.WithMessage("You may not use this network")
	errNoLogin    = mautrix.RespError{ErrCode: "FI.MAU.NOT_LOGGED_IN", Err: "You are not signed in to this network", StatusCode: http.StatusBadRequest}
	errOtherLogin = mautrix.MNotFound.WithMessage("You have no such login")
)

// ServeHTTP implements http.Handler. The user_id of the query is taken for who asks.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a.mux.ServeHTTP(w, r)
}

// serve makes an http.HandlerFunc of a handler.
func (a *API) serve(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := a.bridge.Log.WithContext(r.Context())
		p, err := a.person(ctx, r)
		var answer any
		if err == nil {
			answer, err = handle(ctx, p)
		}
		if err != nil {
			writeError(ctx, w, err)
			return
		}
		if made, ok := answer.(created); ok {
			exhttp.WriteJSONResponse(w, http.StatusCreated, made.body)
			return
		}
		exhttp.WriteJSONResponse(w, http.StatusOK, answer)
	}
}

// person finds who a request comes from, and whether they may use the network.
func (a *API) person(ctx context.Context, r *http.Request) (person, error) {
	if a.life() == nil {
		return person{}, errNotRunning
	}
	name := id.UserID(r.URL.Query().Get("user_id"))
	if _, _, err := name.Parse(); err != nil || a.bridge.IsGhostMXID(name) || name == a.bridge.Bot.GetMXID() {
		return person{}, errNobody
	}
	user, err := a.bridge.GetUserByMXID(ctx, name)
	switch {
	case err != nil:
		return person{}, err
	case user == nil || !user.Permissions.Login:
		return person{}, errNobody
	}
	return person{user, r}, nil
}

// life is the context of what outlasts a request, nil while the bridge does not run.
func (a *API) life() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ctx
}

// byLibrary has bridgev2 answer.
func (a *API) byLibrary(w http.ResponseWriter, r *http.Request) {
	ctx := a.bridge.Log.WithContext(r.Context())
	if _, err := a.person(ctx, r); err != nil {
		writeError(ctx, w, err)
		return
	}
	r = r.Clone(ctx)
	r.Header.Set("Authorization", "Bearer "+a.secret)
	a.library.AuthMiddleware(a.library.Router).ServeHTTP(w, r)
}

// login is the login that a request names, or else the first of the person's.
func (a *API) login(p person) (*bridgev2.UserLogin, error) {
	login, err := a.namedLogin(p)
	if err != nil || login != nil {
		return login, err
	}
	if login = p.GetDefaultLogin(); login == nil {
		return nil, errNoLogin
	}
	return login, nil
}

// namedLogin is the login that a request names, nil for none.
func (a *API) namedLogin(p person) (*bridgev2.UserLogin, error) {
	name := networkid.UserLoginID(p.r.URL.Query().Get("login_id"))
	if name == "" {
		return nil, nil
	}
	login := a.bridge.GetCachedUserLoginByID(name)
	if login == nil || login.UserMXID != p.MXID {
		return nil, errOtherLogin
	}
	return login, nil
}

// writeError answers with an error. What a network says goes to the person whom it is said to, as the bridge's bot does it.
func writeError(ctx context.Context, w http.ResponseWriter, err error) {
	matrixError(ctx, err).Write(w)
}

// matrixError is an error as a client gets it.
func matrixError(ctx context.Context, err error) mautrix.RespError {
	ours, known := errors.AsType[mautrix.RespError](err)
	if theirs, ok := errors.AsType[bridgev2.RespError](err); ok && !known {
		ours, known = mautrix.RespError(theirs), true
	}
	switch {
	case known:
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		ours = mautrix.MUnknown.WithMessage("The network has not answered in time").WithStatus(http.StatusGatewayTimeout)
	default:
		zerolog.Ctx(ctx).Warn().Err(err).Msg("A network refused what a person asked of it")
		ours = mautrix.MUnknown.WithMessage("%s", sentence(err.Error())).WithStatus(http.StatusBadRequest)
	}
	if ours.StatusCode == 0 {
		ours.StatusCode = http.StatusBadRequest
	}
	return ours
}

// maxWords bounds what is shown of an error, in bytes.
const maxWords = 1000

// sentence makes a text of what an error says.
func sentence(text string) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	if text == "" {
		return "The network gave no reason"
	}
	return text
}

// pathValue is a part of a request's path.
func (p person) pathValue(name string) string { return p.r.PathValue(name) }

// query is the query of a request.
func (p person) query() url.Values { return p.r.URL.Query() }
