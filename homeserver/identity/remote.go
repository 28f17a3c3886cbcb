package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// Bounds of requests to another identity service.
const (
	remoteTimeout   = 30 * time.Second
	maxRemoteAnswer = 64 << 10
)

// remote is an identity service that is not this server's.
type remote struct {
	base   string
	host   string
	key    *event.Key
	client *http.Client
}

func newRemote(base string, key *event.Key, client *http.Client) *remote {
	r := &remote{base: strings.TrimRight(base, "/"), key: key, client: client}
	if u, err := url.Parse(base); err == nil {
		r.host = u.Host
	}
	if client == nil {
		r.client = &http.Client{Timeout: remoteTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return r
}

func (r *remote) is(server string) bool {
	server = strings.TrimRight(server, "/")
	return strings.EqualFold(server, r.host) || strings.EqualFold(server, r.base)
}

const v2 = "/_matrix/identity/v2"

// ask makes a request. A Matrix error of the service is passed on (Client-Server API, POST /account/3pid/bind), but that a token is not
// valid is not said of the client's own.
func (r *remote) ask(ctx context.Context, method, path, authorization string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request to the identity service: %w", err)
	}
	request.Header.Set("Authorization", authorization)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return matrixError(502, "M_CONNECTION_FAILED", "The identity service cannot be reached")
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxRemoteAnswer))
	if err != nil {
		return matrixError(502, "M_CONNECTION_FAILED", "The identity service has broken off its answer")
	}
	if answer.StatusCode != http.StatusOK {
		var refused struct {
			Code  string `json:"errcode"`
			Error string `json:"error"`
		}
		if json.Unmarshal(raw, &refused) != nil || refused.Code == "" || answer.StatusCode < 400 {
			return matrixError(502, "M_UNKNOWN", "The identity service has answered with status %d", answer.StatusCode)
		}
		return forClient(matrixError(answer.StatusCode, refused.Code, "%s", refused.Error))
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return matrixError(502, "M_BAD_JSON", "The answer of the identity service cannot be read")
	}
	return nil
}

func (r *remote) bind(ctx context.Context, token string, user id.UserID, sid, secret string) (a Association, err error) {
	err = r.ask(ctx, "POST", v2+"/3pid/bind", "Bearer "+token, map[string]any{"sid": sid, "client_secret": secret, "mxid": user}, &a)
	return a, err
}

// unbind signs the request as a homeserver does (Server-Server API, "Request Authentication"). A service that does not support that is no
// error.
func (r *remote) unbind(ctx context.Context, user id.UserID, medium, address string) (bool, error) {
	in := map[string]any{"mxid": user, "threepid": map[string]any{"medium": medium, "address": address}}
	const path = v2 + "/3pid/unbind"
	raw, err := json.Marshal(map[string]any{"method": "POST", "uri": path, "origin": r.key.ServerName, "destination": r.host, "content": in})
	if err != nil {
		return false, err
	}
	signed, err := event.SignJSON(raw, r.key)
	if err != nil {
		return false, err
	}
	var with struct {
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if err := json.Unmarshal(signed, &with); err != nil {
		return false, err
	}
	authorization := fmt.Sprintf(`X-Matrix origin="%s",destination="%s",key="%s",sig="%s"`, r.key.ServerName, r.host, r.key.KeyID,
		with.Signatures[r.key.ServerName][r.key.KeyID])
	var out struct{}
	return r.ask(ctx, "POST", path, authorization, in, &out) == nil, nil
}

func (r *remote) find(ctx context.Context, token, medium, address string) (id.UserID, error) {
	var details HashDetails
	if err := r.ask(ctx, "GET", v2+"/hash_details", "Bearer "+token, nil, &details); err != nil {
		return "", err
	}
	if !slices.Contains(details.Algorithms, algorithmSHA256) {
		return "", matrixError(502, "M_UNKNOWN", "The identity service takes no hashed addresses")
	}
	hash := hashOf(medium, address, details.Pepper)
	var out struct {
		Mappings map[string]id.UserID `json:"mappings"`
	}
	err := r.ask(ctx, "POST", v2+"/lookup", "Bearer "+token, LookupRequest{algorithmSHA256, details.Pepper, []string{hash}}, &out)
	return out.Mappings[hash], err
}

func (r *remote) store(ctx context.Context, token string, in InviteRequest) (out StoredInvite, err error) {
	err = r.ask(ctx, "POST", v2+"/store-invite", "Bearer "+token, in, &out)
	if err == nil && (out.Token == "" || len(out.Token) > maxID || len(out.PublicKeys) == 0) {
		err = matrixError(502, "M_BAD_JSON", "The identity service has given no token or no keys")
	}
	return out, err
}
