package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"causeway/sfu"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

const (
	// tellWithin bounds a webhook with its answer.
	tellWithin = 5 * time.Second
	// firstRetry and longestRetry are how long to wait until the server is told again that did not answer.
	firstRetry   = 200 * time.Millisecond
	longestRetry = 5 * time.Second
	// maxUntold is how many webhooks wait while the server is away. The oldest are dropped: it asks who is there when it is back.
	maxUntold = 10_000
	// webhookLife is how long the token of a webhook is valid, and webhookEarly how long it was when it is made: clocks differ.
	webhookLife  = 5 * time.Minute
	webhookEarly = 10 * time.Second
)

// participant is one as LiveKit describes it.
type participant struct {
	SID        string             `json:"sid"`
	Identity   string             `json:"identity"`
	State      string             `json:"state"`
	Permission *permissionOfJoins `json:"permission,omitempty"`
}

type permissionOfJoins struct {
	CanSubscribe   bool `json:"canSubscribe"`
	CanPublish     bool `json:"canPublish"`
	CanPublishData bool `json:"canPublishData"`
}

// event is a webhook: that of LiveKit, with the name of the node.
type event struct {
	Event     string `json:"event"`
	ID        string `json:"id"`
	CreatedAt int64  `json:"createdAt,string"`
	Node      string `json:"node"`
	Room      struct {
		SID  string `json:"sid"`
		Name string `json:"name"`
	} `json:"room"`
	Participant participant `json:"participant"`
}

// newEvent tells that somebody has come, with what they may do, or gone.
func newEvent(kind string, who sfu.Presence, room string, may *sfu.Permission) *event {
	e := &event{Event: kind, ID: "EV_" + rand.Text()[:12], CreatedAt: time.Now().Unix()}
	e.Room.SID, e.Room.Name = room, who.Room
	e.Participant = participant{SID: who.SID, Identity: who.Identity, State: "DISCONNECTED"}
	if may != nil {
		e.Participant.State = "ACTIVE"
		e.Participant.Permission = &permissionOfJoins{CanSubscribe: may.Subscribe, CanPublish: may.Publish, CanPublishData: may.Data}
	}
	return e
}

// teller tells the server, in order, who comes and goes.
type teller struct {
	key, secret string
	client      *http.Client
	log         zerolog.Logger
	bell        chan struct{}

	mu      sync.Mutex // guards what follows
	queue   []*event
	node    string // what this node is called
	address string // "" while that is not known
}

func (t *teller) init(cfg Config) {
	t.key, t.secret, t.client, t.log, t.bell = cfg.Key, cfg.Secret, cfg.Client, cfg.Log, make(chan struct{}, 1)
	if t.client == nil {
		// Who answers with another address is not followed: it is told who is in calls.
		t.client = &http.Client{Timeout: tellWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
}

// to sets where the server is, and what it calls this node.
func (t *teller) to(node, address string) {
	t.mu.Lock()
	t.node, t.address = node, address
	t.mu.Unlock()
	t.ring()
}

// add has the server be told of something. It never blocks.
func (t *teller) add(e *event) {
	t.mu.Lock()
	if len(t.queue) >= maxUntold {
		t.queue = append(t.queue[:0], t.queue[1:]...)
	}
	t.queue = append(t.queue, e)
	t.mu.Unlock()
	t.ring()
}

func (t *teller) ring() {
	select {
	case t.bell <- struct{}{}:
	default: // it rings already
	}
}

// next is what is to be told now, nil for nothing. It stays in the queue.
func (t *teller) next() (e *event, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 || t.address == "" {
		return nil, ""
	}
	next := *t.queue[0]
	next.Node = t.node
	return &next, t.address
}

// told takes what was told out of the queue.
func (t *teller) told(e *event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) > 0 && t.queue[0].ID == e.ID {
		t.queue[0] = nil
		t.queue = t.queue[1:]
	}
}

// run tells until ctx ends.
func (t *teller) run(ctx context.Context) {
	wait := firstRetry
	for {
		e, address := t.next()
		if e == nil {
			select {
			case <-ctx.Done():
				return
			case <-t.bell:
			}
			continue
		}
		again, err := t.send(ctx, e, address)
		if ctx.Err() != nil {
			return
		}
		if err == nil || !again {
			if err != nil {
				t.log.Warn().Err(err).Msg("The server does not want to know who comes and goes")
			}
			t.told(e)
			wait = firstRetry
			continue
		}
		if wait == firstRetry {
			t.log.Warn().Err(err).Msg("The server could not be told who comes and goes, and is told again")
		}
		timer := time.NewTimer(wait)
		wait = min(2*wait, longestRetry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// send tells the server of something; again is whether it may take it later.
func (t *teller) send(ctx context.Context, e *event, address string) (again bool, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return false, fmt.Errorf("write a webhook: %w", err)
	}
	sum := sha256.Sum256(body)
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": t.key, "nbf": now.Add(-webhookEarly).Unix(), "exp": now.Add(webhookLife).Unix(), "sha256": base64.StdEncoding.EncodeToString(sum[:]),
	}).SignedString([]byte(t.secret))
	if err != nil {
		return false, fmt.Errorf("sign a webhook: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make a webhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/webhook+json")
	r.Header.Set("Authorization", token)
	answer, err := t.client.Do(r)
	if err != nil {
		return true, fmt.Errorf("send a webhook: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxRequest))
	_ = answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return false, nil
	}
	return answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusNotFound,
		fmt.Errorf("send a webhook: the server answers %d", answer.StatusCode)
}
