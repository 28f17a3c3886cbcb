package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	// setupAtOnce is how many users are made at once: hashing passwords is
	// meant to be slow, and more at once would only queue.
	setupAtOnce = 4
	// maxStages bounds the steps of one user-interactive authentication.
	maxStages = 8

	stageDummy = "m.login.dummy"
	stageToken = "m.login.registration_token"
)

// accounts returns n users: those given as name:password, logged in, or new ones.
func (s *site) accounts(ctx context.Context, n int, token string, given []string) ([]*user, error) {
	if len(given) > 0 && len(given) < n {
		return nil, fmt.Errorf("--users names %d users, the load needs %d", len(given), n)
	}
	users := make([]*user, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(setupAtOnce)
	for i := range users {
		group.Go(func() (err error) {
			if len(given) > 0 {
				users[i], err = s.login(ctx, given[i])
			} else {
				users[i], err = s.register(ctx, fmt.Sprintf("bench_%s_%d", s.run, i), token)
			}
			return err
		})
	}
	return users, group.Wait()
}

// session is what login and registration answer.
type session struct {
	UserID      string `json:"user_id"`
	AccessToken string `json:"access_token"`
}

func (s *site) login(ctx context.Context, given string) (*user, error) {
	// The password may hold a colon, and so may a full user ID.
	i := strings.IndexByte(given, ':')
	if strings.HasPrefix(given, "@") && i >= 0 {
		if j := strings.IndexByte(given[i+1:], ':'); j >= 0 {
			i += 1 + j
		}
	}
	if i < 0 {
		return nil, errors.New("--users must be name:password,…")
	}
	in := map[string]any{
		"type":       "m.login.password",
		"identifier": map[string]string{"type": "m.id.user", "user": given[:i]},
		"password":   given[i+1:],
	}
	var out session
	if err := s.call(ctx, "", http.MethodPost, "/_matrix/client/v3/login", in, &out); err != nil {
		return nil, fmt.Errorf("log %s in: %w", given[:i], err)
	}
	return &user{id: out.UserID, token: out.AccessToken}, nil
}

// challenge is the 401 answer of user-interactive authentication.
// Client-Server API, "User-Interactive Authentication API".
type challenge struct {
	Session   string   `json:"session"`
	Completed []string `json:"completed"`
	Flows     []struct {
		Stages []string `json:"stages"`
	} `json:"flows"`
}

// register makes a user with a random password, going through the stages of
// the first flow that needs nothing but what we have.
func (s *site) register(ctx context.Context, name, token string) (*user, error) {
	return s.registerWith(ctx, name, rand.Text(), token)
}

func (s *site) registerWith(ctx context.Context, name, password, token string) (*user, error) {
	in := map[string]any{"username": name, "password": password, "initial_device_display_name": "causeway-bench"}
	for range maxStages {
		var out session
		err := s.call(ctx, "", http.MethodPost, "/_matrix/client/v3/register", in, &out)
		if err == nil {
			return &user{id: out.UserID, token: out.AccessToken}, nil
		}
		var refused *statusError
		if !errors.As(err, &refused) || refused.status != http.StatusUnauthorized {
			return nil, fmt.Errorf("register %s: %w", name, err)
		}
		var asked challenge
		if json.Unmarshal(refused.body, &asked) != nil || asked.Session == "" {
			return nil, fmt.Errorf("register %s: %w", name, err)
		}
		stage, err := nextStage(asked, token)
		if err != nil {
			return nil, fmt.Errorf("register %s: %w", name, err)
		}
		auth := map[string]string{"type": stage, "session": asked.Session}
		if stage == stageToken {
			auth["token"] = token
		}
		in["auth"] = auth
	}
	return nil, fmt.Errorf("register %s: the server asked for more than %d stages", name, maxStages)
}

// nextStage chooses what to do next: in the first flow that can be gone to
// its end, the first stage that is not done.
func nextStage(asked challenge, token string) (string, error) {
	var flows []string
	for _, flow := range asked.Flows {
		flows = append(flows, strings.Join(flow.Stages, " "))
		hard := func(stage string) bool { return stage != stageDummy && (stage != stageToken || token == "") }
		if slices.ContainsFunc(flow.Stages, hard) {
			continue
		}
		if token != "" && !slices.Contains(flow.Stages, stageToken) {
			continue // the token was given to be used
		}
		for _, stage := range flow.Stages {
			if !slices.Contains(asked.Completed, stage) {
				return stage, nil
			}
		}
	}
	return "", fmt.Errorf("no way through what the server asks for (%s); open registration, or give --token or --users", strings.Join(flows, ", or "))
}

// createRoom makes a room that everyone may join.
func (s *site) createRoom(ctx context.Context, owner *user) (string, error) {
	in := map[string]any{"preset": "public_chat", "name": "causeway-bench " + s.run}
	var out struct {
		RoomID string `json:"room_id"`
	}
	if err := s.call(ctx, owner.token, http.MethodPost, "/_matrix/client/v3/createRoom", in, &out); err != nil {
		return "", err
	}
	return out.RoomID, nil
}

func (s *site) join(ctx context.Context, u *user, roomID string) error {
	return s.call(ctx, u.token, http.MethodPost, "/_matrix/client/v3/join/"+url.PathEscape(roomID), struct{}{}, nil)
}
