package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxRequest bounds the body of a request, in bytes.
	maxRequest = 64 << 10
	// clockLeeway is how far the clocks of the server and of this node may be apart.
	clockLeeway = time.Minute
	// serverAway is after what time without a word of its server a node serves another.
	serverAway = time.Minute
)

// grants are what a token of the server allows: LiveKit's names.
type grants struct {
	RoomCreate bool   `json:"roomCreate"`
	RoomList   bool   `json:"roomList"`
	RoomAdmin  bool   `json:"roomAdmin"`
	Room       string `json:"room"`
}

// fault is an error as Twirp has it, with its HTTP status.
type fault struct {
	status int
	Code   string `json:"code"`
	Text   string `json:"msg"`
}

// Error implements error.
func (f *fault) Error() string { return f.Text }

var (
	errToken    = &fault{http.StatusUnauthorized, "unauthenticated", "the request has no token of this node's server, or the secrets differ"}
	errGrant    = &fault{http.StatusForbidden, "permission_denied", "the token does not allow that"}
	errMethod   = &fault{http.StatusNotFound, "bad_route", "there is no such method"}
	errBody     = &fault{http.StatusBadRequest, "malformed", "the request cannot be read"}
	errName     = &fault{http.StatusBadRequest, "invalid_argument", "a name is missing, or too long"}
	errNoRoom   = &fault{http.StatusNotFound, "not_found", "this call is not open here"}
	errNobody   = &fault{http.StatusNotFound, "not_found", "nobody is called that in this call"}
	errTooMany  = &fault{http.StatusTooManyRequests, "resource_exhausted", "too many calls are open here"}
	errStopping = &fault{http.StatusServiceUnavailable, "unavailable", "the node stops"}
	errInternal = &fault{http.StatusInternalServerError, "internal", "something is wrong with this node"}
)

// request is what methods take. Each reads its own part.
type request struct {
	Name             string `json:"name"` // of a call that is made
	EmptyTimeout     int64  `json:"empty_timeout"`
	DepartureTimeout int64  `json:"departure_timeout"`

	Room       string `json:"room"`
	Identity   string `json:"identity"`
	RevokeTS   int64  `json:"revoke_token_ts"` // tokens from before are not taken; in seconds
	Permission *struct {
		Subscribe bool `json:"can_subscribe"`
		Publish   bool `json:"can_publish"`
		Data      bool `json:"can_publish_data"`
		Metadata  bool `json:"can_update_metadata"`
	} `json:"permission"`

	Node     string `json:"node"`
	Server   string `json:"server"`
	Webhook  string `json:"webhook"`
	Instance string `json:"instance"` // to which the server has made all calls known
}

// method is one of the API.
type method struct {
	may func(g grants, in *request) bool
	do  func(n *Node, in *request) (any, error)
}

func creates(g grants, _ *request) bool { return g.RoomCreate }
func lists(g grants, _ *request) bool   { return g.RoomList }

// administers is whether a token is for the call that a request is about.
func administers(g grants, in *request) bool {
	return g.RoomAdmin && in.Room != "" && g.Room == in.Room
}

// methods are LiveKit's RoomService as far as we use it, and our own.
var methods = map[string]method{
	"livekit.RoomService/CreateRoom":        {creates, (*Node).createRoom},
	"livekit.RoomService/DeleteRoom":        {creates, (*Node).deleteRoom},
	"livekit.RoomService/ListRooms":         {lists, (*Node).listRooms},
	"livekit.RoomService/ListParticipants":  {administers, (*Node).listParticipants},
	"livekit.RoomService/RemoveParticipant": {administers, (*Node).removeParticipant},
	"livekit.RoomService/UpdateParticipant": {administers, (*Node).updateParticipant},
	"causeway.Node/Ping":                    {lists, (*Node).ping},
	"causeway.Node/Status":                  {lists, func(n *Node, _ *request) (any, error) { return n.sfu.Status(), nil }},
}

// Handler serves signalling for clients, as sfu.Server's does, and for the server the API below /twirp/: POST requests of JSON.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", n.sfu.Handler())
	mux.HandleFunc("/twirp/", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		out, err := n.answer(r)
		status := http.StatusOK
		if err != nil {
			failure, ok := errors.AsType[*fault](err)
			if !ok {
				n.cfg.Log.Err(err).Str("path", r.URL.Path).Msg("A request of the server has failed")
				failure = errInternal
			}
			status, out = failure.status, failure
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out) // who has hung up reads nothing
	})
	return mux
}

// answer does what a request asks for, if its token allows that.
func (n *Node) answer(r *http.Request) (any, error) {
	g, err := n.verify(r.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	m, ok := methods[strings.TrimPrefix(r.URL.Path, "/twirp/")]
	if !ok || r.Method != http.MethodPost {
		return nil, errMethod
	}
	in := new(request)
	if err := json.NewDecoder(r.Body).Decode(in); err != nil {
		return nil, errBody
	}
	if !m.may(g, in) {
		return nil, errGrant
	}
	if n.stopping.Load() {
		return nil, errStopping
	}
	for _, name := range []string{in.Name, in.Room, in.Identity, in.Node, in.Server, in.Webhook} {
		if len(name) > maxName {
			return nil, errName
		}
	}
	return m.do(n, in)
}

// verify reads a token of the server. That of a participant allows nothing here.
func (n *Node) verify(authorization string) (grants, error) {
	var claims struct {
		jwt.RegisteredClaims
		Video grants `json:"video"`
	}
	_, err := jwt.ParseWithClaims(strings.TrimPrefix(authorization, "Bearer "), &claims, func(*jwt.Token) (any, error) { return []byte(n.cfg.Secret), nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithLeeway(clockLeeway), jwt.WithIssuer(n.cfg.Key))
	if err != nil {
		if claims.Issuer == n.cfg.Key {
			n.differs(err)
		}
		return grants{}, errToken
	}
	return claims.Video, nil
}

// warnEvery is how often the log says at most that the server is refused: anybody may ask.
const warnEvery = time.Minute

// differs tells the log why who asks as the server is refused.
func (n *Node) differs(err error) {
	what := ""
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		what = "A server is refused: calls.sfu.secret is another one there"
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		what = "The server is refused: its clock and that of this node differ"
	default:
		return
	}
	n.mu.Lock()
	due := time.Since(n.warned) >= warnEvery
	if due {
		n.warned = time.Now()
	}
	n.mu.Unlock()
	if due {
		n.cfg.Log.Warn().Err(err).Msg(what)
	}
}
