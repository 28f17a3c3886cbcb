package sso

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answers are what a provider answers, by the path.
type answers map[string]func() (int, io.Reader)

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	f, ok := a[r.URL.Path]
	if !ok {
		return nil, errors.New("nobody answers")
	}
	status, body := f()
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Body: io.NopCloser(body), Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Location": {"https://elsewhere.example/"}},
	}, nil
}

const wellKnown = "/.well-known/openid-configuration"

func metadata(more string) string {
	return `{"issuer":"https://id.example","authorization_endpoint":"https://id.example/auth","token_endpoint":"https://id.example/token","jwks_uri":"https://id.example/jwks"` + more + `}`
}

func says(status int, body string) func() (int, io.Reader) {
	return func() (int, io.Reader) { return status, strings.NewReader(body) }
}

// service is one with a provider, and a clock that stands still.
func service(a answers, clock *time.Time, change ...func(*Provider)) *Service {
	p := Provider{ID: "id", Name: "The ID", Issuer: "https://id.example", ClientID: "causeway", ClientSecret: "x"}
	for _, c := range change {
		c(&p)
	}
	return New(Options{
		Config: Config{Providers: []Provider{p}}, CallbackURL: "https://here.example" + PathBack, Transport: a, Now: func() time.Time { return *clock },
	})
}

// TestBegin looks at what a provider is asked for.
func TestBegin(t *testing.T) {
	clock := time.Now()
	s := service(answers{wellKnown: says(200, metadata(`,"prompt_values_supported":["create"]`))}, &clock)
	d, err := s.Begin(t.Context(), "id", Purpose{Kind: ForClient, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(d.To)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "causeway", "redirect_uri": "https://here.example/_causeway/account/sso/callback/id",
		"scope": "openid profile email", "code_challenge_method": "S256", "prompt": "create",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if len(q.Get("state")) < 43 || len(q.Get("nonce")) < 43 || len(q.Get("code_challenge")) != 43 || q.Get("state") == q.Get("nonce") {
		t.Errorf("the request is %v", q)
	}
	if strings.Contains(d.Sealed, q.Get("state")) || !IsID(d.ID) {
		t.Errorf("the browser keeps %s under %q", d.Sealed, d.ID)
	}
}

// TestExpiry has somebody come back too late, and say too late what they want.
func TestExpiry(t *testing.T) {
	clock := time.Now()
	s := service(answers{wellKnown: says(200, metadata(""))}, &clock)
	d, err := s.Begin(t.Context(), "id", Purpose{Kind: ForClient})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(d.To)
	if err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(Lifetime)
	_, err = s.Finish(t.Context(), "id", url.Values{"state": {u.Query().Get("state")}, "code": {"x"}}, func(string) string { return d.Sealed })
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
	a := &Arrival{ID: d.ID, Expires: clock.Add(time.Second).UnixMilli()}
	sealed, err := s.Seal(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(d.ID, sealed); err != nil {
		t.Error(err)
	}
	if _, err := s.Open("AAAAAAAAAAAAAAAA", sealed); err == nil {
		t.Error("an arrival is taken under another name")
	}
	if !s.Spend(a) || s.Spend(a) {
		t.Error("an arrival is to serve once")
	}
	clock = clock.Add(time.Second)
	if _, err := s.Open(d.ID, sealed); err == nil {
		t.Error("an arrival is taken that has expired")
	}
	// After a restart nothing of it counts.
	if _, err := service(nil, &clock).Open(d.ID, sealed); err == nil {
		t.Error("another process takes it")
	}
}

// TestDiscovery has a provider fail, answer, and fail again.
func TestDiscovery(t *testing.T) {
	clock := time.Now()
	asked, works := 0, false
	s := service(answers{wellKnown: func() (int, io.Reader) {
		asked++
		if !works {
			return 500, strings.NewReader("")
		}
		return 200, strings.NewReader(metadata(""))
	}}, &clock)
	begin := func() error {
		_, err := s.Begin(t.Context(), "id", Purpose{Kind: ForBrowser})
		return err
	}
	for range 3 { // those who come just after do not wait again
		if err := begin(); err == nil {
			t.Fatal("a provider that is down sends nobody anywhere")
		}
	}
	if asked != discoverTries {
		t.Errorf("asked %d times", asked)
	}
	works = true
	clock = clock.Add(discoverHold)
	for range 3 {
		if err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	if asked != discoverTries+1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestRefresh has a provider that was reached once not answer any more: nobody waits for it, and it is asked by one, and not again at once.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := time.Now()
		asked := 0
		s := service(answers{wellKnown: func() (int, io.Reader) {
			if asked++; asked > 1 {
				time.Sleep(time.Hour)
			}
			return 200, strings.NewReader(metadata(""))
		}}, &clock)
		begin := func(times int) {
			t.Helper()
			before := time.Now()
			for range times {
				if _, err := s.Begin(t.Context(), "id", Purpose{}); err != nil {
					t.Errorf("what it said before does not do: %v", err)
				}
			}
			if took := time.Since(before); took != 0 {
				t.Errorf("it took %v", took)
			}
			synctest.Wait()
		}
		begin(1)
		for want := 2; want < 4; want++ {
			clock = clock.Add(discoverAgain)
			begin(4)
			begin(4)
			if asked != want {
				t.Errorf("asked %d times, want %d", asked, want)
			}
			time.Sleep(2 * time.Hour) // it has failed by now
			begin(4)
			if asked != want {
				t.Errorf("asked %d times just after it failed, want %d", asked, want)
			}
		}
	})
}

// TestSpent forgets the oldest of too many, and shuts nobody out.
func TestSpent(t *testing.T) {
	s := newSpent()
	s.max = 3
	for _, id := range []string{"a", "b", "c", "d"} {
		if !s.take(id, 10, 1) || s.take(id, 10, 1) {
			t.Errorf("%s does not serve once", id)
		}
	}
	if s.take("b", 10, 1) || len(s.ids) != 3 || len(s.order) != 3 {
		t.Errorf("%v are remembered", s.order)
	}
	if !s.take("e", 20, 10) || len(s.ids) != 1 || len(s.order) != 1 {
		t.Errorf("%v are remembered that have expired", s.order)
	}
}

// TestLongAddress seals an address of any characters, or says that it is too long.
func TestLongAddress(t *testing.T) {
	clock := time.Now()
	s := service(answers{wellKnown: says(200, metadata(""))}, &clock)
	long := "https://app.example/?" + strings.Repeat("&", 1400)
	d, err := s.Begin(t.Context(), "id", Purpose{Kind: ForClient, Client: long})
	if err != nil {
		t.Fatal(err)
	}
	if s.Expires(d.Sealed) != clock.Add(Lifetime).UnixMilli() || s.Expires("x") != 0 {
		t.Error("nobody knows when it expires")
	}
	_, err = s.Begin(t.Context(), "id", Purpose{Kind: ForClient, Client: strings.ReplaceAll(long, "&", `"`)})
	if shown, ok := errors.AsType[*PageError](err); !ok || shown.Status != 400 || !strings.Contains(shown.Message, "too long") {
		t.Errorf("got %v", err)
	}
}

// TestMetadata refuses what a provider cannot say of itself.
func TestMetadata(t *testing.T) {
	clock := time.Now()
	for name, answer := range map[string]func() (int, io.Reader){
		"another's":      says(200, strings.Replace(metadata(""), "https://id.example", "https://id.example/", 1)),
		"elsewhere":      says(302, metadata("")),
		"without TLS":    says(200, strings.Replace(metadata(""), "https://id.example/token", "http://id.example/token", 1)),
		"userinfo, too":  says(200, metadata(`,"userinfo_endpoint":"http://id.example/"`)),
		"a user in it":   says(200, strings.Replace(metadata(""), "https://id.example/auth", "https://x@id.example/auth", 1)),
		"no JSON":        says(200, "<html>"),
		"much too large": func() (int, io.Reader) { return 200, io.MultiReader(strings.NewReader(`{"x":"`), endless{}) },
	} {
		if _, err := service(answers{wellKnown: answer}, &clock).Begin(t.Context(), "id", Purpose{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// endless is text without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestLongErrors bounds what of a provider's answer gets into the log.
func TestLongErrors(t *testing.T) {
	clock := time.Now()
	_, err := service(answers{wellKnown: says(500, strings.Repeat("x", 1<<19))}, &clock).Begin(t.Context(), "id", Purpose{})
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("got an error of %d bytes", len(err.Error()))
	}
}

// TestSecretFile reads the secret when it is needed.
func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	p := &provider{Provider: Provider{ID: "id", ClientSecretFile: path}}
	if _, err := p.secret(); err == nil {
		t.Error("there is no file")
	}
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if secret, err := p.secret(); err != nil || secret != "s3cret" {
		t.Errorf("got %q, %v", secret, err)
	}
}

// TestValidate finds what is wrong in a configuration, with its key.
func TestValidate(t *testing.T) {
	good := Provider{ID: "id", Name: "ID", Issuer: "https://id.example", ClientID: "x", ClientSecret: "x"}
	for want, change := range map[string]func(*Config){
		"":                                func(*Config) {},
		"providers[0].id: ":               func(c *Config) { c.Providers[0].ID = "a/b" },
		"providers[0].id: must":           func(c *Config) { c.Providers[0].ID = ".." },
		"providers[1].id: ":               func(c *Config) { c.Providers = append(c.Providers, good) },
		"providers[0].name: ":             func(c *Config) { c.Providers[0].Name = "" },
		"providers[0].icon: ":             func(c *Config) { c.Providers[0].Icon = "https://x/y" },
		"providers[0].brand: ":            func(c *Config) { c.Providers[0].Brand = "GitHub!" },
		"providers[0].issuer: ":           func(c *Config) { c.Providers[0].Issuer = "http://id.example" },
		"providers[0].issuer: \"x":        func(c *Config) { c.Providers[0].Issuer = "x" },
		"providers[0].email_claim: ":      func(c *Config) { c.Providers[0].EmailClaim = "upn" },
		"providers[0].client_id: ":        func(c *Config) { c.Providers[0].ClientID = "" },
		"providers[0].client_secret: ":    func(c *Config) { c.Providers[0].ClientSecret = "" },
		"providers[0].client_secret_fil":  func(c *Config) { c.Providers[0].ClientSecretFile = "x" },
		"providers[0].token_endpoint_a":   func(c *Config) { c.Providers[0].Auth = "tls" },
		"providers[0].token_endpoint_aut": func(c *Config) { c.Providers[0].Auth = AuthNone },
		"providers[0].scopes: ":           func(c *Config) { c.Providers[0].Scopes = []string{"a b"} },
		"trusted_clients[0]: ":            func(c *Config) { c.TrustedClients = []string{"app.example"} },
	} {
		c := Config{Providers: []Provider{good}}
		change(&c)
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	local := good
	local.Issuer, local.ClientSecret, local.Auth = "http://127.0.0.1:8080/realms/x", "", AuthNone
	if err := (Config{Providers: []Provider{local}}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestWithLoginToken puts a token into an address in the place of any that is there.
func TestWithLoginToken(t *testing.T) {
	for address, want := range map[string]string{
		"https://a.example":                              "https://a.example?loginToken=T%2B",
		"https://a.example/?x=1&x=2#/f?y":                "https://a.example/?x=1&x=2&loginToken=T%2B#/f?y",
		"https://a.example/?loginToken=1&x&login%54oken": "https://a.example/?x&loginToken=T%2B",
		"com.example.app:/back":                          "com.example.app:/back?loginToken=T%2B",
		"com.example:opaque":                             "com.example:opaque?loginToken=T%2B",
	} {
		u, err := CheckRedirect(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := WithLoginToken(u, "T+"); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

// FuzzCheckRedirect looks for an address that leads elsewhere than it seems to.
func FuzzCheckRedirect(f *testing.F) {
	for _, seed := range []string{"https://a.example/?x#y", "javascript:x", "https://a@b/", "app:/x", "https://[::1]:1/", "//x", "https:x", "HTTPS://A.example", "a:b?loginToken=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := CheckRedirect(address)
		if err != nil {
			return
		}
		for _, bad := range []string{"\\", " ", "\n", ";", ",", "'", "@", "\""} {
			if strings.Contains(u.Host, bad) {
				t.Errorf("%q has the host %q", address, u.Host)
			}
		}
		to := WithLoginToken(u, "T")
		again, err := CheckRedirect(to)
		if len(to) > maxRedirectBytes {
			return
		}
		if err != nil || again.Host != u.Host || again.Scheme != u.Scheme || again.Query().Get(loginToken) != "T" && again.Opaque == "" {
			t.Errorf("%q becomes %q: %v", address, to, err)
		}
		if s := strings.ToLower(address); strings.HasPrefix(s, "javascript:") || strings.HasPrefix(s, "data:") {
			t.Errorf("%q is let pass", address)
		}
	})
}
