package focus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// LiveKit is an SFU elsewhere: a LiveKit server, or a cluster of them. It is an SFU by LiveKit's RoomService, which is Twirp: a POST request of
// JSON for each call.
type LiveKit struct {
	// URL is the WebSocket address for clients, and API that of RoomService, https://host, without a slash at its end.
	URL, API    string
	Key, Secret string
	Client      *http.Client // nil for one with a timeout

	departure int // in the place of departureTimeout, if it is not zero
}

const (
	// liveKitTimeout bounds a request.
	liveKitTimeout = 5 * time.Second
	// maxLiveKitAnswer bounds an answer, in bytes: that with who is in a room has a few hundred for each.
	maxLiveKitAnswer = 8 << 20
	// emptyTimeout is how long a room is kept, in seconds, that nobody has come into, and departureTimeout one that all have left.
	emptyTimeout     = 300
	departureTimeout = 20
	// apiTokenLife is how long our own access tokens are valid.
	apiTokenLife = time.Minute
)

var defaultClient = &http.Client{Timeout: liveKitTimeout}

// apiGrant is what our own access tokens allow.
type apiGrant struct {
	RoomCreate bool   `json:"roomCreate,omitempty"`
	RoomList   bool   `json:"roomList,omitempty"`
	RoomAdmin  bool   `json:"roomAdmin,omitempty"`
	Room       string `json:"room,omitempty"`
}

type apiClaims struct {
	jwt.RegisteredClaims
	Video  *apiGrant `json:"video,omitempty"`
	SHA256 string    `json:"sha256,omitempty"` // of a webhook's body
}

// refusal is an answer that is no good one.
type refusal struct {
	method     string
	status     int
	code, text string // as Twirp has them; empty where something between has answered
}

// Error implements error.
func (r *refusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("ask the SFU to %s: it answers %d, as what is no SFU does, or a proxy in front of one", r.method, r.status)
	}
	return fmt.Sprintf("ask the SFU to %s: it answers %d %.40s: %.200s", r.method, r.status, r.code, r.text)
}

// errGone is of what LiveKit does not have.
var errGone = errors.New("LiveKit has no such room or participant")

// call calls a method of RoomService.
func (l *LiveKit) call(ctx context.Context, method string, grant apiGrant, in, out any) error {
	return l.callAt(ctx, "livekit.RoomService", method, grant, in, out)
}

// callAt calls a method of a service.
func (l *LiveKit) callAt(ctx context.Context, service, method string, grant apiGrant, in, out any) error {
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, apiClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: l.Key, NotBefore: jwt.NewNumericDate(now.Add(-webhookLeeway)), ExpiresAt: jwt.NewNumericDate(now.Add(apiTokenLife)),
		},
		Video: &grant,
	}).SignedString([]byte(l.Secret))
	if err != nil {
		return fmt.Errorf("sign a token for LiveKit: %w", err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write a request for LiveKit: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, liveKitTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.API+"/twirp/"+service+"/"+method, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request for LiveKit: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	client := l.Client
	if client == nil {
		client = defaultClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the SFU to %s: %w", method, err)
	}
	defer func() { _ = answer.Body.Close() }()
	return readAnswer(answer, method, out)
}

// readAnswer reads an answer of Twirp.
func readAnswer(answer *http.Response, method string, out any) error {
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxLiveKitAnswer))
	if err != nil {
		return fmt.Errorf("read the SFU's answer to %s: %w", method, err)
	}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, out); err != nil { // a page of a web server
			return &refusal{method: method, status: answer.StatusCode, text: err.Error()}
		}
		return nil
	}
	var fault struct {
		Code string `json:"code"`
		Text string `json:"msg"`
	}
	_ = json.Unmarshal(raw, &fault) // a proxy's answer is none of LiveKit's
	if answer.StatusCode == http.StatusNotFound && fault.Code == "not_found" {
		return errGone
	}
	return &refusal{method: method, status: answer.StatusCode, code: fault.Code, text: fault.Text}
}

// Open implements SFU: tokens of ours make no room, so that nobody is in one that we do not know. Errors: 503 M_UNKNOWN, which says of what SFU
// and what is wrong with it.
func (l *LiveKit) Open(ctx context.Context, room string) (string, error) {
	url, err := l.open(ctx, room)
	if err != nil {
		err = fmt.Errorf("%w: %w", matrixError(http.StatusServiceUnavailable, "M_UNKNOWN", "The SFU at %s (calls.sfu.livekit) %s", l.URL, fault(err)), err)
	}
	return url, err
}

// fault is what is wrong with an SFU that does not open a call, for people.
func fault(err error) string {
	r, ok := errors.AsType[*refusal](err)
	switch {
	case !ok:
		return "cannot be reached"
	case r.isStranger():
		return "does not take the key and the secret of this server"
	case isRefusal(err) && r.code != badRoute:
		return fmt.Sprintf("opens no call (%.40s)", r.code)
	}
	return fmt.Sprintf("is no LiveKit: it answers %d", r.status)
}

// isStranger is whether it does not know who asks.
func (r *refusal) isStranger() bool {
	return r.status == http.StatusUnauthorized || r.status == http.StatusForbidden
}

// badRoute is what Twirp says where it has no such method.
const badRoute = "bad_route"

// isAway is whether no SFU has answered, or one that has nothing to do with this server, so that nothing that it is asked is done.
func isAway(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return !ok || r.code == "" || r.code == badRoute || r.isStranger()
}

func (l *LiveKit) open(ctx context.Context, room string) (string, error) {
	var out struct{}
	return l.URL, l.call(ctx, "CreateRoom", apiGrant{RoomCreate: true}, map[string]any{
		"name": room, "empty_timeout": emptyTimeout, "departure_timeout": cmp.Or(l.departure, departureTimeout),
	}, &out)
}

// Remove implements SFU.
func (l *LiveKit) Remove(ctx context.Context, room, identity string) error {
	var out struct{}
	err := l.call(ctx, "RemoveParticipant", apiGrant{RoomAdmin: true, Room: room}, map[string]any{"room": room, "identity": identity}, &out)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// SetPublish implements SFU.
func (l *LiveKit) SetPublish(ctx context.Context, room, identity string, publish bool) error {
	var out struct{}
	err := l.call(ctx, "UpdateParticipant", apiGrant{RoomAdmin: true, Room: room}, map[string]any{
		"room": room, "identity": identity,
		"permission": map[string]any{"can_subscribe": true, "can_publish": publish, "can_publish_data": publish, "can_update_metadata": true},
	}, &out)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// Present implements SFU.
func (l *LiveKit) Present(ctx context.Context, room string) (identities []string, err error) {
	var out struct {
		Participants []struct {
			Identity string `json:"identity"`
			State    string `json:"state"`
		} `json:"participants"`
	}
	err = l.call(ctx, "ListParticipants", apiGrant{RoomAdmin: true, Room: room}, map[string]any{"room": room}, &out)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	for _, p := range out.Participants {
		if p.State != "DISCONNECTED" {
			identities = append(identities, p.Identity)
		}
	}
	return identities, err
}

const (
	// maxWebhook bounds the body of a webhook, in bytes. It describes a room and a participant, with all of their tracks.
	maxWebhook = 1 << 20
	// webhookLeeway is how far the clocks of LiveKit and of this server may be apart.
	webhookLeeway = time.Minute
)

var errWebhook = matrixError(http.StatusUnauthorized, "M_UNAUTHORIZED", "That is not signed by LiveKit with the key of this server")

// verify finds out whether a webhook is LiveKit's: its token is signed with our key, and has the SHA-256 of the body.
func (l *LiveKit) verify(authorization string, sum string) error {
	var claims apiClaims
	_, err := jwt.ParseWithClaims(strings.TrimPrefix(authorization, "Bearer "), &claims, func(*jwt.Token) (any, error) { return []byte(l.Secret), nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithLeeway(webhookLeeway), jwt.WithIssuer(l.Key))
	if err != nil || claims.SHA256 == "" || claims.SHA256 != sum {
		return errWebhook
	}
	return nil
}

// speaksFor implements Elsewhere: a cluster is one.
func (l *LiveKit) speaksFor(string, string) bool { return true }

// ours implements Elsewhere: others may use the same LiveKit.
func (l *LiveKit) ours() bool { return false }

// askAll and run implement Elsewhere: LiveKit looks after its calls by itself.
func (l *LiveKit) askAll(context.Context, *Service) {}

func (l *LiveKit) run(context.Context, *Service) {}

// errAway is of an SFU elsewhere that is away, of which the log tells once.
var errAway = errors.New("the SFU elsewhere is away")

// reached takes in what came of asking the SFU, and returns that, as errAway if it is away. Nodes tell by themselves which of them are.
func (s *Service) reached(ctx context.Context, err error) error {
	if s.cfg.Elsewhere == nil || s.cfg.Elsewhere.ours() || ctx.Err() != nil {
		return err
	}
	away := err != nil && isAway(err)
	s.mu.Lock()
	before := s.away
	s.away = away
	s.mu.Unlock()
	switch {
	case away && !before:
		s.cfg.Log.Error().Err(err).Msg("The SFU elsewhere (calls.sfu.livekit) cannot be reached, or does not know this server: nobody can come into calls until it does")
	case before && !away:
		s.cfg.Log.Info().Msg("The SFU elsewhere (calls.sfu.livekit) is reached again")
	}
	if away {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	return err
}

// presentIn is who is in a room, for look-ups.
type presentIn map[string]bool

// ask returns who is in a room.
func (s *Service) ask(ctx context.Context, alias string) (presentIn, error) {
	identities, err := s.cfg.SFU.Present(ctx, alias)
	if err := s.reached(ctx, err); err != nil {
		return nil, err
	}
	in := make(presentIn, len(identities))
	for _, identity := range slices.Compact(identities) {
		in[identity] = true
	}
	return in, nil
}
