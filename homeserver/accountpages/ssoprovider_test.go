package accountpages_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/sso"
	"causeway/homeserver/store"

	"github.com/golang-jwt/jwt/v5"
)

// clientID is what the providers call this server.
const (
	clientID     = "causeway"
	clientSecret = "s3cr+t/of=it"
)

// idp is a provider that says what a test has it say, wrong things above all. That an honest one is understood is for cmd/causeway/e2e to show.
type idp struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey

	mu       sync.Mutex // guards the rest
	metadata map[string]any
	claims   map[string]any // in the place of those of an id_token; nil for one to be left out
	method   jwt.SigningMethod
	signWith any // nil for the key
	userinfo map[string]any
	codes    map[string]url.Values // the requests that codes were given for
	subject  string                // of the last id_token
	redeemed int
	status   int // of the metadata, 0 for 200
	asked    int // how often for the metadata
	huge     bool
}

func newIDP(t *testing.T) *idp {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{t: t, key: key, method: jwt.SigningMethodES256, codes: make(map[string]url.Values), claims: map[string]any{}, metadata: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.serveMetadata)
	mux.HandleFunc("GET /jwks", p.serveKeys)
	mux.HandleFunc("POST /token", p.serveToken)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		answer := map[string]any{"sub": p.subject}
		maps.Copy(answer, p.userinfo)
		writeJSON(w, 200, answer)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *idp) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	if p.huge {
		_, _ = w.Write([]byte(`{"issuer":"` + p.URL + `","x":"`))
		filler := []byte(strings.Repeat("x", 1<<16))
		for range 1 << 10 { // 64 MiB
			if _, err := w.Write(filler); err != nil {
				return
			}
		}
		return
	}
	metadata := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256"},
	}
	maps.Copy(metadata, p.metadata)
	writeJSON(w, 200, metadata)
}

func (p *idp) serveKeys(w http.ResponseWriter, _ *http.Request) {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		p.t.Error(err)
	}
	half := (len(point) - 1) / 2
	writeJSON(w, 200, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k",
		"x": base64.RawURLEncoding.EncodeToString(point[1 : 1+half]), "y": base64.RawURLEncoding.EncodeToString(point[1+half:]),
	}}})
}

// serveToken gives an id_token for a code, once, to the client that proves to be the one.
func (p *idp) serveToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = r.ParseForm()
	request, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	user, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret)
	switch {
	case !ok, user != clientID, secret != clientSecret, r.PostForm.Get("redirect_uri") != request.Get("redirect_uri"),
		challenge(r.PostForm.Get("code_verifier")) != request.Get("code_challenge"):
		writeJSON(w, 400, map[string]any{"error": "invalid_grant"})
		return
	}
	p.redeemed++
	p.subject = request.Get("sub")
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": p.URL, "aud": clientID, "sub": request.Get("sub"), "nonce": request.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"preferred_username": request.Get("sub"), "name": "Name of " + request.Get("sub"), "email": request.Get("sub") + "@example.org",
	}
	if request.Get("max_age") != "" {
		claims["auth_time"] = now.Unix()
	}
	for name, value := range p.claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(p.method, claims)
	token.Header["kid"] = "k"
	with := p.signWith
	if with == nil {
		with = p.key
	}
	signed, err := token.SignedString(with)
	if err != nil {
		p.t.Error(err)
	}
	writeJSON(w, 200, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": signed})
}

// change changes what the provider says.
func (p *idp) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// provider is the configuration of the provider.
func (p *idp) provider(id string) sso.Provider {
	return sso.Provider{ID: id, Name: "The " + id, Issuer: p.URL, ClientID: clientID, ClientSecret: clientSecret}
}

// answer is what the provider sends a browser back to, that has come with a request, when somebody signs in there.
func (p *idp) answer(t *testing.T, request, subject string) string {
	t.Helper()
	if !strings.HasPrefix(request, p.URL+"/auth?") {
		t.Fatalf("%q does not lead to the provider", request)
	}
	q := mustParse(t, request).Query()
	q.Set("sub", subject)
	p.mu.Lock()
	defer p.mu.Unlock()
	code := rand.Text()
	p.codes[code] = q
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	return q.Get("redirect_uri") + "?" + back.Encode()
}

// with configures providers.
func with(providers ...sso.Provider) func(*homeserver.Config) {
	return func(c *homeserver.Config) { c.SSO.Providers = providers }
}

// through has somebody sign in at the provider that a page leads to, and come back, as far as the pages ask for something.
func (p *page) through(provider *idp, subject string) *page {
	p.browser.t.Helper()
	if p.status != http.StatusSeeOther && p.status != http.StatusFound {
		p.browser.t.Fatalf("%s: got %d, want to be sent to the provider: %s", p.address, p.status, p.text)
	}
	return p.browser.open(provider.answer(p.browser.t, p.header.Get("Location"), subject))
}

// count demands what a query counts.
func (s *site) count(want int, query string) {
	s.t.Helper()
	var n int
	if err := s.DB.View(s.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Row(query, nil, &n)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	if n != want {
		s.t.Errorf("%s: got %d, want %d", query, n, want)
	}
}
