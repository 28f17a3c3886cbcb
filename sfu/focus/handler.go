package focus

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// WebhookPath is where an SFU elsewhere tells who comes and goes.
const WebhookPath = "/sfu_webhook"

// Handler serves what clients find at the livekit_service_url of a transport: POST /sfu/get, POST /get_token,
// POST /delegate_delayed_leave and GET /healthz, and for an SFU elsewhere POST /sfu_webhook. Pages of any origin may ask.
func (s *Service) Handler() http.Handler {
	routes := map[string]map[string]func(*http.Request) (any, error){
		"/sfu/get":   {http.MethodPost: s.serveLegacy},
		"/get_token": {http.MethodPost: s.serveToken},
		"/healthz":   {http.MethodGet: func(*http.Request) (any, error) { return struct{}{}, nil }},
	}
	if s.Delegates() {
		routes["/delegate_delayed_leave"] = map[string]func(*http.Request) (any, error){http.MethodPost: s.serveDelegate}
	}
	if s.cfg.Elsewhere != nil {
		routes[WebhookPath] = map[string]func(*http.Request) (any, error){http.MethodPost: s.serveWebhook}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		path := "/" + strings.Trim(r.URL.Path, "/")
		methods, ok := routes[path]
		if !ok {
			s.answer(w, r, nil, errUnrecognized)
			return
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		serve, ok := methods[method]
		if !ok {
			s.answer(w, r, nil, errMethod)
			return
		}
		limit := int64(maxBody)
		if path == WebhookPath {
			limit = maxWebhook
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		out, err := serve(r)
		s.answer(w, r, out, err)
	})
}

// answer writes what a client is told.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, out any, err error) {
	status := http.StatusOK
	if err != nil {
		failure, ok := refused(err)
		if !ok {
			if !errors.Is(err, context.Canceled) {
				s.cfg.Log.Err(err).Str("path", r.URL.Path).Msg("A request for a call has failed")
			}
			failure = mautrix.RespError{StatusCode: http.StatusInternalServerError, ErrCode: "M_UNKNOWN", Err: "Internal server error"}
		}
		body := map[string]any{"errcode": failure.ErrCode, "error": failure.Err}
		for name, value := range failure.ExtraData {
			body[name] = value
		}
		for name, value := range failure.ExtraHeader {
			w.Header().Set(name, value)
		}
		status, out = failure.StatusCode, body
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // who has hung up reads nothing
}

// openIDToken is a proof of who somebody is, as the homeserver gave it to them.
type openIDToken struct {
	AccessToken      string `json:"access_token"`
	MatrixServerName string `json:"matrix_server_name"`
}

// delay is the part of a request that delegates a delayed event. The server knows the delay, and where its own client-server API is.
type delay struct {
	DelayID string `json:"delay_id"`
}

type legacyRequest struct {
	Room     id.RoomID   `json:"room"`
	OpenID   openIDToken `json:"openid_token"`
	DeviceID id.DeviceID `json:"device_id"`
	delay
}

type tokenRequest struct {
	RoomID id.RoomID   `json:"room_id"`
	SlotID string      `json:"slot_id"`
	OpenID openIDToken `json:"openid_token"`
	Member *struct {
		ID       string      `json:"id"`
		UserID   id.UserID   `json:"claimed_user_id"`
		DeviceID id.DeviceID `json:"claimed_device_id"`
	} `json:"member"`
	MemberID string `json:"member_id"`
	// DeviceID goes with MemberID.
	DeviceID id.DeviceID `json:"device_id"`
	delay
}

// member returns whom a request is about.
func (in *tokenRequest) member(user id.UserID) (Member, error) {
	m := Member{RoomID: in.RoomID, SlotID: in.SlotID, MemberID: in.MemberID, DeviceID: in.DeviceID}
	if in.Member != nil {
		m.MemberID, m.DeviceID = in.Member.ID, in.Member.DeviceID
		if in.Member.UserID != "" && in.Member.UserID != user {
			return m, errNotYou
		}
	}
	if m.DeviceID == "" {
		return m, badJSON("claimed_device_id must not be empty")
	}
	return m, nil
}

// serveLegacy is POST /sfu/get.
func (s *Service) serveLegacy(r *http.Request) (any, error) {
	var in legacyRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	user, err := s.prove(r.Context(), in.OpenID)
	if err != nil {
		return nil, err
	}
	if in.DeviceID == "" {
		return nil, badJSON("device_id must not be empty")
	}
	return s.serve(r.Context(), Who{UserID: user}, Member{RoomID: in.Room, DeviceID: in.DeviceID, Legacy: true}, in.delay)
}

// serveToken is POST /get_token (MSC4195, before it moved into the homeserver).
func (s *Service) serveToken(r *http.Request) (any, error) {
	var in tokenRequest
	user, m, err := s.readMember(r, &in)
	if err != nil {
		return nil, err
	}
	return s.serve(r.Context(), Who{UserID: user}, m, in.delay)
}

// serve makes a token, and takes a delayed event along.
func (s *Service) serve(ctx context.Context, who Who, m Member, in delay) (any, error) {
	access, err := s.admit(ctx, who, m)
	if err != nil {
		return nil, err
	}
	if in.DelayID != "" && s.Delegates() {
		if err := s.delegate(ctx, who, m, access, in.DelayID); err != nil {
			return nil, err
		}
	}
	return s.token(ctx, who, m, access)
}

// serveDelegate is POST /delegate_delayed_leave.
func (s *Service) serveDelegate(r *http.Request) (any, error) {
	var in tokenRequest
	user, m, err := s.readMember(r, &in)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.Delegate(r.Context(), Who{UserID: user}, m, in.DelayID)
}

func (s *Service) readMember(r *http.Request, in *tokenRequest) (id.UserID, Member, error) {
	if err := decode(r, in); err != nil {
		return "", Member{}, err
	}
	user, err := s.prove(r.Context(), in.OpenID)
	if err != nil {
		return "", Member{}, err
	}
	m, err := in.member(user)
	return user, m, err
}

// prove returns whose an OpenID token is.
func (s *Service) prove(ctx context.Context, token openIDToken) (id.UserID, error) {
	if token.AccessToken == "" || token.MatrixServerName == "" || len(token.AccessToken) > 4*maxName || len(token.MatrixServerName) > maxName {
		return "", badJSON("openid_token must have access_token and matrix_server_name")
	}
	var (
		user id.UserID
		err  error
	)
	switch {
	case token.MatrixServerName == s.cfg.ServerName:
		user, err = s.cfg.OpenID.OpenIDUser(ctx, token.AccessToken)
	case s.cfg.Remote == nil:
		return "", errElsewhere
	default:
		user, err = s.cfg.Remote.RemoteOpenIDUser(ctx, token.MatrixServerName, token.AccessToken)
	}
	if _, ok := refused(err); ok {
		return "", errOpenID
	}
	// A server vouches for its own users alone.
	if _, server, bad := user.Parse(); err == nil && (bad != nil || server != token.MatrixServerName) {
		return "", errOpenID
	}
	return user, err
}

// decode reads a body. What it has beyond what we know is passed over: clients are ahead of us, and behind.
func decode(r *http.Request, out any) error {
	raw, err := io.ReadAll(r.Body)
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return matrixError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "The body is larger than %d bytes", large.Limit)
	}
	if err != nil || !json.Valid(raw) {
		return matrixError(http.StatusBadRequest, "M_NOT_JSON", "The body is not JSON")
	}
	if err := json.Unmarshal(raw, out); err != nil {
		wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
		if ok && wrong.Field != "" {
			return badJSON("%s has the wrong type", wrong.Field)
		}
		return badJSON("The body must be a JSON object")
	}
	return nil
}
