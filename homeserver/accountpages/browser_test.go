package accountpages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"golang.org/x/net/html"
	"maunium.net/go/mautrix/id"
)

// site is a server and the people in front of it.
type site struct {
	*testserver.Server
	t       *testing.T
	handler http.Handler // in the place of the server's, unless nil
}

// each runs a test on both databases.
func each(t *testing.T, test func(s *site), change ...func(*homeserver.Config)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(&site{Server: testserver.New(t, db, change...), t: t}) })
}

// RoundTrip implements http.RoundTripper, without a socket.
func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	in.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	w, handler := httptest.NewRecorder(), s.handler
	if handler == nil {
		handler = s.Handler()
	}
	handler.ServeHTTP(w, in)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// browser is a browser of a person: it keeps cookies, and reads forms.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{t: s.t, base: "http://test", client: &http.Client{Transport: s, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// page is what a browser shows.
type page struct {
	browser *browser
	status  int
	header  http.Header
	address string
	text    string
	forms   []form
}

// form is a form of a page, with what its fields hold.
type form struct {
	browser *browser
	action  string
	fields  url.Values
	labels  map[string]bool // ids that have a label
	inputs  map[string]bool // ids of fields that need one
}

// visit asks for a page, without going where it leads.
func (b *browser) visit(address string) *page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.absolute(address), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) absolute(address string) string {
	if strings.HasPrefix(address, "/") {
		return b.base + address
	}
	return address
}

func (b *browser) do(r *http.Request) *page {
	b.t.Helper()
	r.Header.Set("Accept", "text/html")
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &page{browser: b, status: answer.StatusCode, header: answer.Header, address: r.URL.String(), text: string(body)}
	p.readForms()
	return p
}

// open is visit, and goes on to where it leads on this server.
func (b *browser) open(address string) *page { b.t.Helper(); return b.visit(address).follow() }

// follow goes to where an answer leads, as long as that is on this server.
func (p *page) follow() *page {
	p.browser.t.Helper()
	for range 5 {
		to := p.header.Get("Location")
		if p.status != http.StatusSeeOther || !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, p.browser.base+"/") {
			return p
		}
		p = p.browser.visit(to)
	}
	p.browser.t.Fatal("the server leads in circles")
	return nil
}

// readForms finds the forms of a page, with their fields.
func (p *page) readForms() {
	var current *form
	labels := make(map[string]bool)
	for z := html.NewTokenizer(strings.NewReader(p.text)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		attr := func(name string) string {
			for _, a := range token.Attr {
				if a.Key == name {
					return a.Val
				}
			}
			return ""
		}
		switch {
		case kind == html.StartTagToken && token.Data == "form":
			p.forms = append(p.forms, form{browser: p.browser, action: attr("action"), fields: url.Values{}, inputs: map[string]bool{}, labels: labels})
			current = &p.forms[len(p.forms)-1]
		case kind == html.EndTagToken && token.Data == "form":
			current = nil
		case token.Data == "label" && kind == html.StartTagToken:
			labels[attr("for")] = true
		case token.Data == "input" && current != nil:
			checked := slices.ContainsFunc(token.Attr, func(a html.Attribute) bool { return a.Key == "checked" })
			if attr("type") != "checkbox" || checked {
				current.fields.Set(attr("name"), attr("value"))
			}
			if attr("type") != "hidden" {
				current.inputs[attr("id")] = true
			}
		}
	}
	for _, f := range p.forms {
		for input := range f.inputs {
			if input == "" || !labels[input] {
				p.browser.t.Errorf("%s: a field %q has no label", p.address, input)
			}
		}
	}
}

// form returns the form of a page with an action.
func (p *page) form(action string) form {
	p.browser.t.Helper()
	for _, f := range p.forms {
		if path, _, _ := strings.Cut(f.action, "?"); path == action {
			return f
		}
	}
	p.browser.t.Fatalf("%s (%d) has no form for %s:\n%s", p.address, p.status, action, p.text)
	return form{}
}

// send sends a form with some fields filled in, "name=value" each.
func (f form) send(fill ...string) *page {
	f.browser.t.Helper()
	fields := url.Values(maps.Clone(f.fields))
	for _, assignment := range fill {
		name, value, _ := strings.Cut(assignment, "=")
		fields.Set(name, value)
	}
	return f.browser.post(f.action, fields)
}

func (b *browser) post(address string, fields url.Values, header ...string) *page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "POST", b.absolute(address), strings.NewReader(fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.base)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// want demands a status, and texts of a page.
func (p *page) want(status int, texts ...string) *page {
	p.browser.t.Helper()
	if p.status != status {
		p.browser.t.Fatalf("%s: got status %d, want %d: %s %s", p.address, p.status, status, p.header.Get("Location"), p.text)
	}
	for _, text := range texts {
		if !strings.Contains(html.UnescapeString(p.text), text) {
			p.browser.t.Errorf("%s: no %q in:\n%s", p.address, text, p.text)
		}
	}
	return p
}

// password is that of Register.
const password = "correct horse battery"

// signIn signs a person in, from whatever page asks for that.
func (p *page) signIn(name string) *page {
	p.browser.t.Helper()
	return p.form("/_causeway/account/login").send("username="+name, "password="+password).follow()
}

// app is an OAuth client.
type app struct {
	s        *site
	id       string
	redirect string
	verifier string
	state    string
}

const verifier = "ogie4iVaeteeKeeLaid0aizuimairaCh-ogie4iVaeteeKeeLaid0"

// app registers a client with some metadata, or with those of a client in the web.
func (s *site) app(metadata ...string) *app {
	s.t.Helper()
	body := `{"client_name":"Mailbox","client_uri":"https://example.com/","redirect_uris":["https://app.example.com/back"]}`
	if len(metadata) > 0 {
		body = metadata[0]
	}
	var out struct {
		ID       string   `json:"client_id"`
		Redirect []string `json:"redirect_uris"`
	}
	a := s.Do("POST", "/_causeway/oauth2/register", "", body)
	if a.Status != http.StatusCreated {
		s.t.Fatalf("register a client: %d %s", a.Status, a.Body)
	}
	a.Decode(s.t, &out)
	c := &app{s: s, id: out.ID, verifier: verifier, state: "s t&te=%/"}
	if len(out.Redirect) > 0 {
		c.redirect = out.Redirect[0]
	}
	return c
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is the address that an app sends its user to. change are parameters "name=value" in the place of those, or without "=" those to
// be left out.
func (a *app) request(device string, change ...string) string {
	q := url.Values{
		"client_id": {a.id}, "response_type": {"code"}, "redirect_uri": {a.redirect}, "response_mode": {"fragment"}, "state": {a.state},
		"scope": {"urn:matrix:client:api:* urn:matrix:client:device:" + device}, "code_challenge": {challenge(a.verifier)}, "code_challenge_method": {"S256"},
	}
	for _, c := range change {
		name, value, has := strings.Cut(c, "=")
		if q.Del(name); has {
			q.Set(name, value)
		}
	}
	return "/_causeway/oauth2/authorize?" + q.Encode()
}

// answer reads what a browser takes to an app.
func (p *page) answer(redirect string) url.Values {
	p.browser.t.Helper()
	to := p.header.Get("Location")
	if p.status != http.StatusSeeOther || !strings.HasPrefix(to, redirect) {
		p.browser.t.Fatalf("got %d to %q, want to be sent to %s: %s", p.status, to, redirect, p.text)
	}
	u, err := url.Parse(to)
	if err != nil {
		p.browser.t.Fatal(err)
	}
	raw := u.RawQuery
	if u.Fragment != "" {
		_, raw, _ = strings.Cut(to, "#")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		p.browser.t.Fatal(err)
	}
	return values
}

// tokens is what the token endpoint answers.
type tokens struct {
	Status       int    `json:"-"`
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
}

// call posts a form to an endpoint of the protocol.
func (s *site) call(endpoint string, fields ...string) (int, []byte) {
	s.t.Helper()
	form := url.Values{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		form.Add(name, value)
	}
	r := httptest.NewRequestWithContext(s.t.Context(), "POST", "/_causeway/oauth2/"+endpoint, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		s.t.Errorf("%s: headers %v", endpoint, w.Header())
	}
	return w.Code, w.Body.Bytes()
}

func (s *site) token(fields ...string) tokens {
	s.t.Helper()
	var out tokens
	status, body := s.call("token", fields...)
	if err := json.Unmarshal(body, &out); err != nil {
		s.t.Fatalf("%v in %s", err, body)
	}
	out.Status = status
	return out
}

// exchange gives a code for tokens. change are fields in the place of those.
func (a *app) exchange(code string, change ...string) tokens {
	a.s.t.Helper()
	fields := map[string]string{
		"grant_type": "authorization_code", "code": code, "redirect_uri": a.redirect, "client_id": a.id, "code_verifier": a.verifier,
	}
	for _, c := range change {
		name, value, has := strings.Cut(c, "=")
		if delete(fields, name); has {
			fields[name] = value
		}
	}
	var list []string
	for name, value := range fields {
		list = append(list, name+"="+value)
	}
	return a.s.token(list...)
}

// allow has a person who is signed in allow an app a device, and returns the code.
func (b *browser) allow(a *app, device string) string {
	b.t.Helper()
	answer := b.visit(a.request(device)).want(200, "Mailbox").form("/_causeway/oauth2/authorize").send("answer=allow").answer(a.redirect)
	return answer.Get("code")
}

// whoami returns whose a token is, and of which device; "" for an unknown one.
func (s *site) whoami(token string) (id.UserID, id.DeviceID) {
	s.t.Helper()
	a := s.Do("GET", "/_matrix/client/v3/account/whoami", token, nil)
	var out struct {
		User   id.UserID   `json:"user_id"`
		Device id.DeviceID `json:"device_id"`
	}
	a.Decode(s.t, &out)
	return out.User, out.Device
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
