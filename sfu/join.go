package sfu

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
)

const (
	// maxJoin is how large the first message of a client may be, in bytes, unpacked.
	maxJoin = 1 << 20
	// maxName bounds identities and the like in tokens, in bytes.
	maxName = 1024
)

// validate tells whether a client may come in, in words.
func (s *Server) validate(w http.ResponseWriter, r *http.Request) {
	if allowAnyOrigin(w, r) {
		return
	}
	if _, err := s.admit(r); err != nil {
		http.Error(w, err.Error(), refusalStatus(err))
		return
	}
	_, _ = io.WriteString(w, "success")
}

// admit says who asks to come in, and what they may do.
func (s *Server) admit(r *http.Request) (Grant, error) {
	grant, err := s.verify(tokenOf(r))
	if err == nil && s.cfg.Admit != nil {
		if err = s.cfg.Admit(r.Context(), &grant); err != nil {
			err = notAdmitted{err}
		}
	}
	return grant, err
}

// refusalStatus is the status of who is not admitted. After 401 clients do not try again.
func refusalStatus(err error) int {
	if errors.Is(err, ErrLater) {
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

// allowAnyOrigin lets pages of other origins ask. It answers questions that come before the question.
func allowAnyOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return true
	}
	return false
}

// tokenOf gives the access token of a request: a parameter, or a header.
func tokenOf(r *http.Request) string {
	if t := r.URL.Query().Get("access_token"); t != "" {
		return t
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// serve takes a client's WebSocket. v1 is whether it has one peer connection for both directions.
func (s *Server) serve(v1 bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		order := s.order.Add(1) // before anything that takes longer for one than for another
		grant, err := s.admit(r)
		if err != nil {
			s.tally.refuse(err)
			http.Error(w, err.Error(), refusalStatus(err))
			return
		}
		join, err := joinRequest(r, v1)
		if err != nil {
			s.tally.refuse(errJoinRequest)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if !s.coming.take(grant.Room, grant.Identity) {
			s.tally.refuse(errTooOften)
			http.Error(w, errTooOften.Error(), http.StatusTooManyRequests)
			return
		}
		if r.Context().Err() != nil {
			// The client has given up, and maybe come anew: it is not to put itself out.
			s.tally.refuse(errGivenUp)
			http.Error(w, errGivenUp.Error(), http.StatusServiceUnavailable)
			return
		}
		// What a page says here is checked by its token, not by its origin.
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return // it has been answered
		}
		s.take(r, newSession(conn, order), grant, join, v1)
	}
}

// take serves a client that has come, or come back.
func (s *Server) take(r *http.Request, session *session, grant Grant, join *signalling.JoinRequest, v1 bool) {
	if join.Reconnect {
		p := s.find(grant.Room, grant.Identity)
		if p == nil || p.sid != join.ParticipantSID {
			s.turnAway(r, session, errNotThere)
			return
		}
		if err := p.room.comeBack(p, session, join); err != nil {
			s.turnAway(r, session, err)
			return
		}
		session.serve(r, p)
		return
	}
	p := s.newParticipant(grant, join, v1)
	p.session, p.order = session, session.order
	session.taken.Store(true)
	p.post(func() { p.begin(join) }) // before anybody can post something else
	before, err := s.enter(grant.Room, p)
	if err != nil {
		s.turnAway(r, session, err)
		return
	}
	s.tally.join()
	if joined := s.cfg.Joined; joined != nil {
		joined(p.presence(), grant.Permission) // before it can leave
	}
	if before != nil {
		p.room.replace(before, p) // not sooner: its user has been in the call all the time
	}
	go p.run()
	session.serve(r, p)
}

// turnAway tells a client why it cannot come in.
func (s *Server) turnAway(r *http.Request, session *session, err error) {
	s.tally.refuse(err)
	reason, action := signalling.JoinFailure, signalling.Disconnect
	switch {
	case errors.Is(err, errNotThere):
		reason, action = signalling.StateMismatch, signalling.Reconnect
	case errors.Is(err, errOvertaken):
		reason = signalling.DuplicateIdentity
	case errors.Is(err, errStopping):
		reason = signalling.ServerShutdown
		fallthrough
	default:
		s.cfg.Log.Info().Err(err).Msg("Somebody cannot come into a call")
	}
	b := signalling.Marshal(&signalling.SignalResponse{Leave: &signalling.LeaveRequest{
		Reason: reason, Action: action, CanReconnect: action != signalling.Disconnect,
	}})
	_ = session.conn.Write(r.Context(), websocket.MessageBinary, b)
	_ = session.conn.Close(websocket.StatusNormalClosure, "")
}

// joinRequest reads what a client says at first: in v1 one message, else parameters.
func joinRequest(r *http.Request, v1 bool) (*signalling.JoinRequest, error) {
	q := r.URL.Query()
	if v1 {
		return unpack(q.Get("join_request"))
	}
	yes := func(name string) bool { v := q.Get(name); return v == "1" || v == "true" }
	join := &signalling.JoinRequest{
		ConnectionSettings: &signalling.ConnectionSettings{
			AutoSubscribe: yes("auto_subscribe") || q.Get("auto_subscribe") == "", AdaptiveStream: yes("adaptive_stream"),
			DisableICELite: yes("disable_ice_lite"),
		},
		ClientInfo: &signalling.ClientInfo{Version: q.Get("version"), Browser: q.Get("browser"), OS: q.Get("os")},
		Reconnect:  yes("reconnect"), ParticipantSID: q.Get("sid"),
	}
	if v := q.Get("subscriber_allow_pause"); v != "" {
		allow := yes("subscriber_allow_pause")
		join.ConnectionSettings.SubscriberAllowPause = &allow
	}
	if n, err := strconv.ParseInt(q.Get("protocol"), 10, 32); err == nil {
		join.ClientInfo.Protocol = int32(n)
	}
	return join, nil
}

// unpack reads a client's first message: base64url of a WrappedJoinRequest.
func unpack(text string) (*signalling.JoinRequest, error) {
	raw, err := base64.URLEncoding.WithPadding(base64.NoPadding).DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("join_request is not base64url: %w", err)
	}
	var wrapped signalling.WrappedJoinRequest
	if err := signalling.Unmarshal(raw, &wrapped); err != nil {
		return nil, fmt.Errorf("read join_request: %w", err)
	}
	packed := wrapped.JoinRequest
	if wrapped.Compression == signalling.Gzip {
		if packed, err = gunzip(packed); err != nil {
			return nil, fmt.Errorf("unpack join_request: %w", err)
		}
	}
	join := new(signalling.JoinRequest)
	if err := signalling.Unmarshal(packed, join); err != nil {
		return nil, fmt.Errorf("read join_request: %w", err)
	}
	if len(join.Metadata) > maxMetadata || sizeOf(join.ParticipantAttributes) > maxAttributes {
		return nil, errMetadata
	}
	return join, nil
}

var (
	errLarge    = errors.New("it is larger than 1 MB")
	errMetadata = errors.New("the metadata or the attributes in join_request are longer than 64 kB")
)

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, maxJoin+1))
	if err != nil {
		return nil, err
	}
	if len(out) > maxJoin {
		return nil, errLarge
	}
	return out, nil
}
