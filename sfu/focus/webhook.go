package focus

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// webhook is what LiveKit tells of a participant. Its names are those of protobuf's JSON, of which there are two.
type webhook struct {
	Event string `json:"event"`
	Node  string `json:"node"` // ours say as which of them they speak
	Room  struct {
		Name string `json:"name"`
	} `json:"room"`
	Participant struct {
		SID        string `json:"sid"`
		Identity   string `json:"identity"`
		Permission *struct {
			CanPublish  bool `json:"canPublish"`
			CanPublish2 bool `json:"can_publish"`
		} `json:"permission"`
	} `json:"participant"`
}

// serveWebhook is POST /sfu_webhook.
func (s *Service) serveWebhook(r *http.Request) (any, error) {
	raw, err := io.ReadAll(r.Body)
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, matrixError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "The body is larger than %d bytes", large.Limit)
	}
	if err != nil {
		return nil, matrixError(http.StatusBadRequest, "M_NOT_JSON", "The body ended early")
	}
	sum := sha256.Sum256(raw)
	if err := s.cfg.Elsewhere.verify(r.Header.Get("Authorization"), base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return nil, err
	}
	var in webhook
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, badJSON("The body is no webhook of LiveKit")
	}
	if !s.cfg.Elsewhere.speaksFor(in.Node, in.Room.Name) {
		return struct{}{}, nil // of a call that has moved
	}
	k := key{in.Room.Name, in.Participant.Identity}
	switch in.Event {
	case "participant_joined":
		p := in.Participant.Permission
		s.came(k, in.Participant.SID, p == nil || p.CanPublish || p.CanPublish2)
	case "participant_left", "participant_connection_aborted":
		s.went(k, in.Participant.SID)
	}
	return struct{}{}, nil
}

// maxSIDs bounds how many participants by one identity are told apart: one that takes the place of another comes before that has gone.
const maxSIDs = 8

// polledSID stands for a participant of whom no webhook has told.
const polledSID = "polled"

// came is Joined for a participant that has an id, of whom may be told more than once. Who is not ours is passed over: others may use the same
// LiveKit. On nodes nobody is who has no seat.
func (s *Service) came(k key, sid string, publish bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seats[k]
	if t == nil && s.cfg.Elsewhere.ours() {
		s.dirty[k] = true // and is put out
		ring(s.look)
	}
	if t == nil || t.sids[sid] || sid == polledSID && t.here > 0 {
		return
	}
	if t.sids == nil {
		t.sids = map[string]bool{}
	}
	if t.sids[polledSID] || len(t.sids) >= maxSIDs {
		clear(t.sids)
		t.here = 0
	}
	t.sids[sid] = true
	s.joined(k, publish)
	t.unsure = sid == polledSID
}

// went is Left for a participant that has an id.
func (s *Service) went(k key, sid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seats[k]
	if t == nil {
		return
	}
	if !t.sids[sid] {
		sid = polledSID
	}
	if t.sids[sid] {
		delete(t.sids, sid)
		s.left(k)
	}
}

// pollEvery is how often LiveKit is asked who is in the calls where that matters: a webhook may be lost, or none be configured.
const pollEvery = 20 * time.Second

// freshFor is how long after a token was made it is looked whether somebody has come by it.
const freshFor = 5 * time.Minute

// watchPresence asks who is in the calls, until ctx ends.
func (s *Service) watchPresence(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		for _, alias := range s.polled() {
			in, err := s.ask(ctx, alias)
			if err != nil {
				if errors.Is(err, errNodeAway) {
					continue // which is known, and nobody waits for
				}
				if ctx.Err() == nil && !errors.Is(err, errAway) {
					s.cfg.Log.Err(err).Msg("Who is in a call could not be seen")
				}
				break // LiveKit is away, so that the other calls would be no better
			}
			s.reconcile(alias, in)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.poll:
		case <-ticker.C:
		}
	}
}

// polled returns the calls in which somebody is, or ought to be.
func (s *Service) polled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	aliases := map[string]bool{}
	fresh := time.Now().Add(tokenLife - freshFor).UnixMilli()
	for k, t := range s.seats {
		if t.here > 0 || t.barred || t.UntilTS > fresh {
			aliases[k.alias] = true
		}
	}
	for k := range s.delegations {
		aliases[k.alias] = true
	}
	all := make([]string, 0, len(aliases))
	for alias := range aliases {
		all = append(all, alias)
	}
	return all
}

// reconcile takes in who is in a call.
func (s *Service) reconcile(alias string, in presentIn) {
	type change struct {
		k    key
		came bool
		sids []string
	}
	var changes []change
	s.mu.Lock()
	for identity := range in {
		if k := (key{alias, identity}); s.seats[k] == nil && s.cfg.Elsewhere.ours() {
			s.dirty[k] = true
			ring(s.look)
		}
	}
	for k, t := range s.seats {
		switch {
		case k.alias != alias:
		case in[k.identity] && t.here == 0:
			changes = append(changes, change{k: k, came: true})
		case !in[k.identity] && t.here > 0:
			c := change{k: k}
			for sid := range t.sids {
				c.sids = append(c.sids, sid)
			}
			changes = append(changes, c)
		}
	}
	s.mu.Unlock()
	for _, c := range changes {
		if c.came {
			s.came(c.k, polledSID, false)
		}
		for _, sid := range c.sids {
			s.went(c.k, sid)
		}
	}
}
