// Package sso is this server as a client of OpenID Connect providers: it sends people there, and finds out who came back. It knows no
// accounts and stores nothing: what it has to remember of somebody who is on the way is sealed in a cookie of their browser. accountpages
// calls it. What is sent and verified is go-oidc's and x/oauth2's.
package sso

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Lifetime is how long somebody may take at the provider, and again on the pages after that.
const Lifetime = 15 * time.Minute

// Bounds of what comes from a browser.
const (
	maxParamBytes = 8 << 10
	maxCause      = 500 // of an error, in the log
	stateBytes    = 32
	idChars       = 16
)

// Service sends people to providers.
type Service struct {
	providers []*provider
	trusted   []*url.URL
	preferred bool
	sealer    sealer
	flows     spent
	arrivals  spent
	now       func() time.Time
}

// Options is what a Service needs.
type Options struct {
	Config
	// CallbackURL is below which providers send people back; the id of the provider follows.
	CallbackURL string
	Transport   http.RoundTripper // nil for the network
	Now         func() time.Time  // nil for the clock
}

// New returns a service. It asks no provider for anything yet.
func New(o Options) *Service {
	s := &Service{
		preferred: o.Preferred, sealer: newSealer(), now: o.Now,
		flows: newSpent(), arrivals: newSpent(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Transport == nil {
		o.Transport = defaultTransport()
	}
	client := newClient(o.Transport)
	for _, p := range o.Providers {
		s.providers = append(s.providers, &provider{Provider: p.withDefaults(), client: client, callback: o.CallbackURL + p.ID, now: s.now})
	}
	for _, address := range o.TrustedClients {
		if u, err := CheckRedirect(address); err == nil { // Validate has reported the others
			s.trusted = append(s.trusted, u)
		}
	}
	return s
}

// Providers are the providers, in the order of the configuration.
func (s *Service) Providers() []Provider {
	all := make([]Provider, len(s.providers))
	for i, p := range s.providers {
		all[i] = p.Provider
	}
	return all
}

// Provider returns the provider of an id.
func (s *Service) Provider(id string) (Provider, bool) {
	p := s.find(id)
	if p == nil {
		return Provider{}, false
	}
	return p.Provider, true
}

func (s *Service) find(id string) *provider {
	for _, p := range s.providers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Preferred tells whether clients that know of OAuth are to offer this way alone.
func (s *Service) Preferred() bool { return s.preferred }

// Kind is what somebody signs in at a provider for.
type Kind string

// The kinds.
const (
	ForClient  Kind = "client"  // a login token for a client
	ForBrowser Kind = "browser" // this server's own pages
	ForStage   Kind = "stage"   // a stage of user-interactive authentication
	ForLink    Kind = "link"    // linking the account that they have
)

// Purpose is what somebody signs in for. It is sealed on the way.
type Purpose struct {
	Kind    Kind   `json:"k"`
	Client  string `json:"c,omitempty"` // ForClient: where the login token goes
	Next    string `json:"n,omitempty"` // ForBrowser: the page to go on to
	Session string `json:"s,omitempty"` // ForStage
	User    int64  `json:"u,omitempty"` // who is signed in here and has to be the one who comes back, 0 for anybody
	Again   bool   `json:"a,omitempty"` // the provider has to ask them even if they are signed in there
	Create  bool   `json:"r,omitempty"` // they said that they want a new account
	Pressed bool   `json:"b,omitempty"` // ForBrowser: they pressed a button of this server's for it, and need not be asked again
}

// flow is what is remembered of somebody who is at a provider.
type flow struct {
	Provider string  `json:"p"`
	State    string  `json:"t"`
	Nonce    string  `json:"o"`
	Verifier string  `json:"v"`
	Expires  int64   `json:"e"`
	For      Purpose `json:"f"`
}

// Departure is where somebody is to be sent, and what their browser has to keep: Sealed, in a cookie that is called by ID.
type Departure struct{ To, ID, Sealed string }

// Begin sends somebody to a provider. Errors: *PageError.
func (s *Service) Begin(ctx context.Context, providerID string, why Purpose) (Departure, error) {
	p := s.find(providerID)
	if p == nil {
		return Departure{}, &PageError{Status: http.StatusNotFound, Message: "There is no such way to sign in here."}
	}
	found, err := p.discover(ctx)
	if err != nil {
		return Departure{}, why.of(err)
	}
	f := flow{
		Provider: p.ID, State: randomText(), Nonce: randomText(), Verifier: oauth2.GenerateVerifier(), Expires: s.now().Add(Lifetime).UnixMilli(),
		For: why,
	}
	sealed, err := s.sealer.seal("flow", f)
	if err != nil {
		return Departure{}, err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)}
	switch {
	case why.Again:
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	case why.Create && found.canCreate():
		options = append(options, oauth2.SetAuthURLParam("prompt", "create")) // Initiating User Registration via OpenID Connect 1.0
	}
	return Departure{To: p.oauth(found, "").AuthCodeURL(f.State, options...), ID: flowID(f.State), Sealed: sealed}, nil
}

func randomText() string {
	secret := make([]byte, stateBytes)
	_, _ = rand.Read(secret) // never fails
	return base64.RawURLEncoding.EncodeToString(secret)
}

// flowID is what the cookie of a flow is called by.
func flowID(state string) string {
	sum := sha256.Sum256([]byte(state))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:idChars]
}

// IsID tells whether a text has the form of the ID of a Departure.
func IsID(id string) bool { return len(id) == idChars && idPattern.MatchString(id) }

// Arrival is who came back from a provider, and what for.
type Arrival struct {
	ID      string   `json:"i"`
	Who     Identity `json:"w"`
	For     Purpose  `json:"f"`
	Expires int64    `json:"e"`
}

// Identity is somebody as a provider knows them.
type Identity struct {
	Provider    string `json:"p"`
	Issuer      string `json:"i"`
	Subject     string `json:"s"`
	Localpart   string `json:"l,omitempty"` // what the provider has for a user name, "" for nothing
	DisplayName string `json:"n,omitempty"`
	Email       string `json:"e,omitempty"` // verified by the provider
	Session     string `json:"d,omitempty"` // the provider's own session (sid)
	AuthTS      int64  `json:"a,omitempty"` // when they proved to the provider who they are, in milliseconds, 0 for unknown
}

// Finish finds out who came back to the callback of a provider. kept returns what their browser has kept, by the ID. Errors: *PageError.
func (s *Service) Finish(ctx context.Context, providerID string, query url.Values, kept func(id string) string) (*Arrival, error) {
	p := s.find(providerID)
	if p == nil {
		return nil, errStale("no provider %q", providerID)
	}
	for name, values := range query {
		if len(values) > 1 || len(values[0]) > maxParamBytes {
			return nil, errStale("parameter %q comes twice, or is too long", name)
		}
	}
	state := query.Get("state")
	id := flowID(state)
	var f flow
	if err := s.sealer.open("flow", kept(id), &f); err != nil {
		return nil, errStale("%w", err)
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1:
		return nil, errStale("the state is another one")
	case f.Provider != p.ID:
		return nil, errStale("it was begun for provider %q, and ended by %q", f.Provider, p.ID)
	case f.Expires <= s.now().UnixMilli():
		return nil, errStale("it has expired")
	}
	who, err := p.identify(ctx, f, query)
	if err != nil {
		return nil, f.For.of(err)
	}
	// Not before the provider has said who it is: whoever remembers nothing costs nothing.
	if !s.flows.take(id, f.Expires, s.now().UnixMilli()) {
		return nil, errStale("it has served already")
	}
	return &Arrival{ID: id, Who: *who, For: f.For, Expires: s.now().Add(Lifetime).UnixMilli()}, nil
}

// Expires returns until when something counts that a browser keeps, 0 for what does not count.
func (s *Service) Expires(sealed string) (ts int64) {
	var kept struct {
		Expires int64 `json:"e"`
	}
	for _, use := range [...]string{"flow", "arrival"} {
		if s.sealer.open(use, sealed, &kept) == nil {
			return kept.Expires
		}
	}
	return 0
}

// Seal returns an arrival for the browser to keep, until they have said what they want.
func (s *Service) Seal(a *Arrival) (string, error) { return s.sealer.seal("arrival", a) }

// Open returns the arrival that a browser has kept. Errors: *PageError.
func (s *Service) Open(id, sealed string) (*Arrival, error) {
	var a Arrival
	if err := s.sealer.open("arrival", sealed, &a); err != nil {
		return nil, errStale("%w", err)
	}
	if a.ID != id || a.Expires <= s.now().UnixMilli() {
		return nil, errStale("it is another one, or has expired")
	}
	return &a, nil
}

// Spend is true once for an arrival: what it is for is done once.
func (s *Service) Spend(a *Arrival) bool {
	return s.arrivals.take(a.ID, a.Expires, s.now().UnixMilli())
}
