package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// foreignConnector is a connector that was not written here, and is not changed: the module proxies have it.
const foreignConnector = "go.mau.fi/mautrix-linkedin@v0.2608.0"

// fakeLinkedIn is what the connector takes for LinkedIn, on this machine: it knows who has the cookie li_at=right.
func fakeLinkedIn(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie("li_at")
	switch {
	case err != nil || cookie.Value != "right":
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/voyager/api/me":
		_, _ = io.WriteString(w, `{"miniProfile": {"firstName": "Ada", "lastName": "Lovelace", "entityUrn": "urn:li:fs_miniProfile:ACoAAada"}}`)
	case r.URL.Path == "/realtime/connect":
		// What happens, for as long as the connector listens.
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"com.linkedin.realtimefrontend.ClientConnection": {"id": "7c5c3bd6-4a31-4b3f-9d5c-0f5d2c8a5f10"}}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// elsewhere is the internet as far as a program sees it that goes by its environment: a proxy that leads all to one server, for whose
// certificate the program has the authority.
func elsewhere(t *testing.T, host string, h http.HandlerFunc) (env []string, asked *journal[string]) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	asked = newJournal[string]()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.add(r.Method + " " + r.Host)
		if r.Method == http.MethodConnect {
			tunnel(w, server.Listener.Addr().String())
		} else {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(proxy.Close)
	return []string{"HTTPS_PROXY=" + proxy.URL, "HTTP_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + authority, "SSL_CERT_DIR=" + t.TempDir()}, asked
}

// tunnel connects who has asked a proxy with an address, until either of the two is tired of it.
func tunnel(w http.ResponseWriter, address string) {
	there, err := net.Dial("tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, here)
		there.Close()
	}()
	_, _ = io.Copy(here, there)
}

// loginStep is a step of signing in to a network.
type loginStep struct {
	LoginID string `json:"login_id"`
	Type    string `json:"type"`
	StepID  string `json:"step_id"`
	Text    string `json:"instructions"`
	Cookies struct {
		URL    string `json:"url"`
		Fields []struct {
			ID string `json:"id"`
		} `json:"fields"`
	} `json:"cookies"`
	Complete struct {
		Login string `json:"user_login_id"`
	} `json:"complete"`
}

// The fields that the connector asks for, and what fits their patterns.
const (
	cookieField = "fi.mau.linkedin.login.cookie_header"
	trackField  = "fi.mau.linkedin.login.x_li_track"
	pageField   = "fi.mau.linkedin.login.x_li_page_instance"
)

func cookies(secret string) map[string]string {
	return map[string]string{
		cookieField: `JSESSIONID="ajax:1"; li_at=` + secret,
		trackField:  `{"clientVersion": "1", "mpName": "voyager-web", "mpVersion": "1"}`,
		pageField:   "urn:li:page:feed;x",
	}
}

// foreign is a server with the connector in it, and a user of it.
type foreign struct {
	*causeway
	t     *testing.T
	token string
}

// provision asks the provisioning API of the connector's bridge.
func (f *foreign) provision(method, path string, body any) answer {
	f.t.Helper()
	return f.do(f.t, method, "/_causeway/bridges/linkedin/provision/v3/"+path, f.token, body)
}

// submit begins to sign in, and enters cookies.
func (f *foreign) submit(in map[string]string) answer {
	f.t.Helper()
	var first loginStep
	f.provision("POST", "login/start/cookies", map[string]any{}).decode(f.t, &first)
	var fields []string
	for _, field := range first.Cookies.Fields {
		fields = append(fields, field.ID)
	}
	if want := []string{cookieField, trackField, pageField}; first.Type != "cookies" || first.Cookies.URL != "https://linkedin.com/login" || !slices.Equal(fields, want) {
		f.t.Fatalf("the first step is %+v, want cookies of linkedin.com for %q", first, want)
	}
	return f.provision("POST", fmt.Sprintf("login/step/%s/%s/cookies", first.LoginID, first.StepID), in)
}

// TestForeignConnector builds a program with a connector that was not written here, as anybody would, and signs in to its network, of which
// a part is on this machine. It needs nothing of the internet but the modules.
func TestForeignConnector(t *testing.T) {
	program := filepath.Join(t.TempDir(), "with-linkedin")
	output, err := buildWith(t, nil, "--with", foreignConnector, "--output", program)
	if err != nil {
		failedToBuild(t, err, output, foreignConnector)
	}
	wantAll(t, output, "bridges: {linkedin: {enabled: true}}", "the program as a whole is under the AGPL-3.0, because of go.mau.fi/mautrix-linkedin.")
	f := &foreign{causeway: install(t, options{}), t: t}
	config, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f.config, string(config)+"  linkedin: {enabled: true, isolation: process}\n")
	f.binary = program
	var asked *journal[string]
	f.env, asked = elsewhere(t, "www.linkedin.com", fakeLinkedIn)
	f.start()
	f.token = f.registerHTTP(t, "mary")
	room := f.askForHelp(t, f.token, "@linkedin_bot:"+serverName) // so that the bridge has started
	t.Run("by the provisioning API", func(t *testing.T) { f.signInByAPI(t, asked) })
	t.Run("by the bot", func(t *testing.T) { f.signInByBot(t, room) })
	if got := f.processOf("linkedin"); got.PID == 0 || got.Crashes != 0 {
		t.Errorf("the bridge's process is %+v, want one that has not ended", got)
	}
}

func (f *foreign) signInByAPI(t *testing.T, asked *journal[string]) {
	f.t = t
	var flows struct {
		Flows []struct{ ID, Name string }
	}
	f.provision("GET", "login/flows", nil).decode(t, &flows)
	if len(flows.Flows) != 1 || flows.Flows[0].ID != "cookies" || flows.Flows[0].Name != "Cookies" {
		t.Errorf("got the flows %+v, want that of the connector", flows)
	}
	bad := cookies("wrong")
	bad[cookieField] = "none"
	if a := f.submit(bad); a.status != http.StatusBadRequest || !strings.Contains(string(a.raw), `"field":"`+cookieField+`"`) {
		t.Errorf("cookies that are none: got %d %s", a.status, a.raw)
	}
	if all := asked.all(); len(all) != 0 {
		t.Errorf("the connector has asked for %q before there were cookies", all)
	}
	if a := f.submit(cookies("wrong")); !strings.Contains(a.Message, "failed to get current user profile: unexpected status code 403") {
		t.Errorf("cookies that are wrong: got %d %s, want what the connector says", a.status, a.raw)
	}
	var last loginStep
	f.submit(cookies("right")).decode(t, &last)
	if last.Type != "complete" || last.Complete.Login != "ACoAAada" || !strings.Contains(last.Text, "Successfully logged in as Ada Lovelace") {
		t.Errorf("cookies that are right: got %+v", last)
	}
	if a := f.provision("GET", "whoami", nil); !a.contains(`"name":"Ada Lovelace"`) {
		t.Errorf("the login is not there: %d %s", a.status, a.raw)
	}
	var who struct {
		Logins []struct {
			ID    string `json:"id"`
			State struct {
				Event string `json:"state_event"`
			} `json:"state"`
		} `json:"logins"`
	}
	awaitTrue(t, "the login to be connected", func() bool {
		f.provision("GET", "whoami", nil).decode(t, &who)
		return len(who.Logins) == 1 && who.Logins[0].State.Event == "CONNECTED"
	})
	if _, output := f.run(t, "registration", "list"); !strings.Contains(output, "linkedin: the bridge is ") || !strings.Contains(output, "1 logins connected") {
		t.Errorf("registration list does not tell of the login:\n%s", output)
	}
	for _, request := range asked.all() {
		if request != "CONNECT www.linkedin.com:443" {
			t.Errorf("the program has asked for %q", request)
		}
	}
}

func (f *foreign) signInByBot(t *testing.T, room string) {
	f.t = t
	for n, step := range []struct{ say, want string }{
		{"login", "Enter a JSON object with your cookies, or a cURL command copied from browser devtools."},
		{`{"` + cookieField + `": "JSESSIONID=x; li_at=wrong", "` + trackField + `": "clientVersion", "` + pageField + `": "urn:li:page:x"}`,
			"failed to get current user profile: unexpected status code 403"},
		{"list-logins", "Ada Lovelace"},
	} {
		f.do(t, "PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/m.room.message/step%d", room, n), f.token,
			map[string]any{"msgtype": "m.text", "body": step.say}).decode(t, &struct{}{})
		awaitTrue(t, "the bot's "+step.want, func() bool {
			return f.do(t, "GET", "/_matrix/client/v3/rooms/"+room+"/messages?dir=b&limit=20", f.token, nil).contains(step.want)
		})
	}
}
