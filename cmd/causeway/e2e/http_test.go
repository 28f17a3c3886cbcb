package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// answer is an HTTP response of the server.
type answer struct {
	status int
	header http.Header
	raw    []byte
	// ErrCode and Message are those of a Matrix error.
	ErrCode string `json:"errcode"`
	Message string `json:"error"`
}

// decode decodes a successful answer.
func (a answer) decode(t *testing.T, out any) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("answer is %d: %s", a.status, a.raw)
	}
	if err := json.Unmarshal(a.raw, out); err != nil {
		t.Fatalf("answer %s: %v", a.raw, err)
	}
}

// do makes a request, with an access token unless that is "", and with a body
// as it is if that is a string or bytes, in JSON otherwise.
func (c *causeway) do(t *testing.T, method, path, token string, body any) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.url(path), bytes.NewReader(encode(t, body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", "https://client.test")
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.raw, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	if a.status >= http.StatusBadRequest {
		if err := json.Unmarshal(a.raw, &a); err != nil {
			t.Errorf("%s %s: the error %d is no JSON: %q", method, path, a.status, a.raw)
		}
	}
	return a
}

func encode(t *testing.T, body any) []byte {
	t.Helper()
	switch body := body.(type) {
	case nil:
		return nil
	case string:
		return []byte(body)
	case []byte:
		return body
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// registerHTTP makes an account without a client and returns its access token.
func (c *causeway) registerHTTP(t *testing.T, name string) string {
	t.Helper()
	a := c.account(name)
	request := map[string]any{"username": a.Username, "password": a.Password}
	var interactive struct {
		Session string `json:"session"`
	}
	first := c.do(t, "POST", "/_matrix/client/v3/register", "", request)
	if first.status != http.StatusUnauthorized {
		t.Fatalf("register %s without auth is %d: %s", name, first.status, first.raw)
	}
	if err := json.Unmarshal(first.raw, &interactive); err != nil {
		t.Fatal(err)
	}
	request["auth"] = map[string]any{"type": "m.login.dummy", "session": interactive.Session}
	var registered struct {
		AccessToken string `json:"access_token"`
	}
	c.do(t, "POST", "/_matrix/client/v3/register", "", request).decode(t, &registered)
	return registered.AccessToken
}

// sync asks once for what is new since a token, for at most 10 seconds.
func (s *badServer) sync(t *testing.T, since string, out any) error {
	query := "/_matrix/client/v3/sync?timeout=10000&since=" + since
	if since == "" {
		query = "/_matrix/client/v3/sync"
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url(query), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /sync is %s", response.Status)
	}
	return json.NewDecoder(response.Body).Decode(out)
}
