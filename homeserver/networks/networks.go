// Package networks is the door of this server's users to the networks that its own bridges lead to: who signs in there, and starts chats.
//
// It has the provisioning API below /_causeway/bridges/{network}/provision/, for clients, which is that of mautrix's bridgev2; and methods
// by which package accountpages asks for the same on its pages. Both hand requests to the bridge, with the user whom this server knows
// them to come from: a bridge hears of no access token, and no client of the bridge's.
package networks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"causeway/homeserver/httpapi"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const (
	// maxBody bounds what a client sends, in bytes.
	maxBody = 256 << 10
	// maxAnswer bounds what is read of a bridge's answer for a page, in bytes: the longest are lists of contacts.
	maxAnswer = 4 << 20
)

// Bridge is a bridge of this server.
type Bridge struct {
	// ID is the bridge's, and part of its address: irc.
	ID string
	// Name is what people call the network.
	Name string
	// URL is the base of the bridge's provisioning API: the address without /v3. Token is what it takes for the homeserver's, and
	// Transport the way there.
	URL       string
	Token     string
	Transport http.RoundTripper
}

// Service knows the bridges.
type Service struct{ bridges []Bridge }

// New returns a Service of bridges, in the order in which they are shown.
func New(bridges []Bridge) *Service { return &Service{bridges: bridges} }

// Bridges lists the bridges.
func (s *Service) Bridges() []Bridge { return s.bridges }

// Bridge returns a bridge by its ID. The error is 404 M_NOT_FOUND.
func (s *Service) Bridge(name string) (Bridge, error) {
	for _, b := range s.bridges {
		if b.ID == name {
			return b, nil
		}
	}
	return Bridge{}, httpapi.NotFound("This server has no bridge of this name")
}

// errAway is the error of a bridge that does not answer.
var errAway = httpapi.Error(http.StatusBadGateway, "M_UNKNOWN", "The bridge does not answer. It may be starting; try again in a moment")

// send asks a bridge in the name of a user. The path begins with /v3/ and is escaped.
func (b Bridge) send(ctx context.Context, user id.UserID, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("user_id", string(user))
	req, err := http.NewRequestWithContext(ctx, method, b.URL+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("make a request to bridge %s: %w", b.ID, err)
	}
	req.Header.Set("Authorization", "Bearer "+b.Token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := b.Transport.RoundTrip(req)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	if tooLarge, ok := errors.AsType[mautrix.RespError](err); ok { // of the body that is read
		return nil, tooLarge
	}
	zerolog.Ctx(ctx).Warn().Err(err).Str("bridge", b.ID).Msg("A bridge does not answer")
	return nil, errAway
}

// call asks a bridge in the name of a user, and decodes the answer. An error of the bridge is a mautrix.RespError.
func (b Bridge) call(ctx context.Context, user id.UserID, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	answer, err := b.send(ctx, user, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of bridge %s: %w", b.ID, err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		refused := mautrix.RespError{StatusCode: answer.StatusCode}
		if json.Unmarshal(text, &refused) != nil || refused.Err == "" {
			return errAway
		}
		first, size := utf8.DecodeRuneInString(refused.Err) // connectors write errors as Go does
		refused.Err = string(unicode.ToUpper(first)) + refused.Err[size:]
		return refused
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("decode the answer of bridge %s: %w", b.ID, err)
	}
	return nil
}

// Routes are those of the provisioning API (bridgev2/matrix/provisioning.yaml of mautrix-go). GET /login/step/{loginProcessID} is ours, the
// step that a login is at, and so is /room_links: the rooms that people connect with chats.
func (s *Service) Routes() []httpapi.Route {
	if len(s.bridges) == 0 {
		return nil
	}
	row := func(method, path string, class httpapi.Class) httpapi.Route {
		return httpapi.Route{
			Method: method, Path: "/_causeway/bridges/{network}" + apiPart + path, Access: httpapi.User,
			Endpoint: httpapi.Raw(s.relay).MaxBody(maxBody).NotSuspended().Limited(class),
		}
	}
	const read, device, join = httpapi.ClassRead, httpapi.ClassDevice, httpapi.ClassJoin
	return []httpapi.Route{
		row("GET", "/whoami", read),
		row("GET", "/capabilities", read),
		row("GET", "/login/flows", read),
		row("POST", "/login/start/{flowID}", device),
		row("GET", "/login/step/{loginProcessID}", read),
		row("POST", "/login/step/{loginProcessID}/{stepID}/{stepType}", device),
		row("POST", "/login/step/{loginProcessID}/{stepID}/cancel", device),
		row("POST", "/login/cancel/{loginProcessID}", device),
		row("POST", "/logout/{loginID}", device),
		row("GET", "/logins", read),
		row("GET", "/contacts", httpapi.ClassDirectory),
		row("POST", "/search_users", httpapi.ClassDirectory),
		row("GET", "/resolve_identifier/{identifier}", httpapi.ClassDirectory),
		row("POST", "/create_dm/{identifier}", join),
		row("POST", "/create_group/{type}", join),
		row("GET", "/room_links", read),
		row("POST", "/room_links/link", join),
		row("POST", "/room_links/unlink", join),
		row("POST", "/backfill/{roomID}", httpapi.ClassSearch),
		row("GET", "/image_pack/list", read),
		row("GET", "/image_pack/import", httpapi.ClassDirectory),
		row("POST", "/image_pack/import", join),
		row("POST", "/resolve_media/{eventID}", httpapi.ClassMedia),
	}
}

// apiPart is what the paths of the API have after the bridge.
const apiPart = "/provision/v3"

// ours are parameters that are this server's, and that a bridge must not be given.
var ours = []string{"user_id", "access_token", "device_id", "org.matrix.msc3202.device_id", "ts"}

// relay hands a request to the bridge, and its answer back.
func (s *Service) relay(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	bridge, err := s.Bridge(r.Path("network"))
	if err != nil {
		return err
	}
	_, path, _ := strings.Cut(r.URL.EscapedPath(), apiPart)
	query := r.URL.Query()
	for _, name := range ours {
		query.Del(name)
	}
	answer, err := bridge.send(ctx, r.Requester.UserID, r.Method, "/v3"+path, query, r.Body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(answer.StatusCode)
	_, err = io.Copy(w, answer.Body)
	return err
}
