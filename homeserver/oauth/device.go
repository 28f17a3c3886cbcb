package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/store"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"maunium.net/go/mautrix/id"
)

// Bounds of device codes (RFC 8628). There are 20^8 user codes, and few attempts at them: those of package httpapi's class login.
const (
	maxDeviceCodes = 10_000
	deviceCodeMS   = 15 * 60 * 1000
	pollMS         = 5 * 1000 // how long a client waits between two questions, and by how much longer for each that came too early
	// keptDeviceCodeMS is how long a client that asks for an expired code is told so.
	keptDeviceCodeMS = 15 * 60 * 1000
	deviceCodeBytes  = 32
	maxUserCodeBytes = 64
)

// DeviceAuthorization gives a device a code to ask with, and a code for its user to type elsewhere (RFC 8628, section 3.1).
func (p protocol) DeviceAuthorization(ctx context.Context, r *op.ClientRequest[oidc.DeviceAuthorizationRequest]) (*op.Response, error) {
	if !op.ValidateGrantType(r.Client, oidc.GrantTypeDeviceCode) {
		return nil, oidc.ErrUnauthorizedClient().WithDescription("the client has not registered for this grant type")
	}
	asked, err := parseScope(r.Data.Scopes)
	if err != nil {
		return nil, err
	}
	code, err := op.NewDeviceCode(deviceCodeBytes)
	if err != nil {
		return nil, internal(ctx, err)
	}
	userCode, err := op.NewUserCode([]rune(op.CharSetBase20), op.UserCodeBase20.CharAmount, op.UserCodeBase20.DashInterval)
	if err != nil {
		return nil, internal(ctx, err)
	}
	now := p.s.now()
	err = p.s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.UseOAuthClient(r.Client.GetID(), now); err != nil {
			return err
		}
		return tx.AddOAuthDeviceCode(store.OAuthDeviceCode{
			Hash: sha256.Sum256([]byte(code)), UserCode: userCodeHash(userCode), Client: r.Client.GetID(), DeviceID: asked.device,
			Scope: asked.text, ExpiresTS: now + deviceCodeMS, PollTS: now, IntervalMS: pollMS,
		}, now-keptDeviceCodeMS, maxDeviceCodes)
	})
	if errors.Is(err, store.ErrTooMany) {
		return nil, op.NewStatusError(oidc.ErrServerError().WithDescription("too many devices wait"), http.StatusServiceUnavailable)
	}
	if err != nil {
		return nil, internal(ctx, fmt.Errorf("make a device code: %w", err))
	}
	uri := p.s.cfg.PublicURL + PathDevice
	return op.NewResponse(&oidc.DeviceAuthorizationResponse{
		DeviceCode: code, UserCode: userCode, VerificationURI: uri, VerificationURIComplete: uri + "?user_code=" + url.QueryEscape(userCode),
		ExpiresIn: deviceCodeMS / 1000, Interval: pollMS / 1000,
	}), nil
}

// userCodeHash is that under which a user code is stored, however it was typed.
func userCodeHash(userCode string) [32]byte {
	return sha256.Sum256([]byte(strings.Map(func(r rune) rune {
		if strings.ContainsRune(op.CharSetBase20, r) {
			return r
		}
		return -1
	}, strings.ToUpper(userCode))))
}

// DeviceToken tells a device what its user has decided (RFC 8628, sections 3.4 and 3.5).
func (p protocol) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	hash := sha256.Sum256([]byte(r.Data.DeviceCode))
	var (
		code   store.OAuthDeviceCode
		answer error
	)
	err := p.s.cfg.DB.Write(ctx, func(tx *store.Tx) (err error) {
		code, answer, err = p.poll(tx, hash, r.Client.GetID())
		return err
	})
	if err != nil {
		return nil, internal(ctx, fmt.Errorf("look up a device code: %w", err))
	}
	if answer != nil {
		return nil, answer
	}
	tokens, err := p.s.cfg.Accounts.BeginOAuth(ctx, func(tx *store.Tx) (account.OAuthGrant, error) {
		code, answer, err := p.poll(tx, hash, r.Client.GetID()) // again: another request may have been faster, and time goes by
		if err == nil {
			err = answer
		}
		if err != nil {
			return account.OAuthGrant{}, err
		}
		if err := tx.DeleteOAuthDeviceCode(hash); err != nil {
			return account.OAuthGrant{}, err
		}
		return grant(tx, code.UserNID, code.DeviceID, r.Client.(*client))
	})
	if err != nil {
		return nil, tokenError(ctx, err)
	}
	return tokenResponse(tokens, code.Scope), nil
}

// poll looks a device code up. answer is what the client hears when there are no tokens for it.
func (p protocol) poll(tx *store.Tx, hash [32]byte, client string) (code store.OAuthDeviceCode, answer, err error) {
	code, err = tx.OAuthDeviceCode(hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && code.Client != client {
		return code, oidc.ErrInvalidGrant().WithDescription("the device code is not valid"), nil
	}
	now := p.s.now()
	switch {
	case err != nil:
		return code, nil, err
	case code.ExpiresTS <= now:
		return code, oidc.ErrExpiredDeviceCode(), nil
	case code.State == store.DeviceCodeDenied:
		return code, oidc.ErrAccessDenied(), tx.DeleteOAuthDeviceCode(hash)
	case now < code.PollTS:
		code.IntervalMS += pollMS
		return code, oidc.ErrSlowDown(), tx.PollOAuthDeviceCode(hash, now+code.IntervalMS, code.IntervalMS)
	case code.State == store.DeviceCodePending:
		// A second less than the client was told: it measures from when it had the last answer.
		return code, oidc.ErrAuthorizationPending(), tx.PollOAuthDeviceCode(hash, now+code.IntervalMS-1000, code.IntervalMS)
	}
	return code, nil, nil
}

// DeviceRequest is what a device asks a user for.
type DeviceRequest struct {
	ClientName string
	ClientHost string // of client_uri
	TOSURI     string // "" for none
	PolicyURI  string // "" for none
	DeviceID   id.DeviceID

	hash [32]byte
}

// ErrNoSuchCode is the error of a user code that there is not, that has expired, or that was decided about.
var ErrNoSuchCode = errors.New("there is no such code")

// DeviceRequest finds what a user code is for. The error is ErrNoSuchCode.
func (s *Service) DeviceRequest(ctx context.Context, userCode string) (*DeviceRequest, error) {
	if len(userCode) > maxUserCodeBytes {
		return nil, ErrNoSuchCode
	}
	var code store.OAuthDeviceCode
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		code, err = tx.OAuthDeviceCodeByUserCode(userCodeHash(userCode))
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (code.ExpiresTS <= s.now() || code.State != store.DeviceCodePending) {
		return nil, ErrNoSuchCode
	}
	if err != nil {
		return nil, fmt.Errorf("look up a user code: %w", err)
	}
	c, err := s.client(ctx, code.Client)
	if err != nil {
		return nil, ErrNoSuchCode
	}
	return &DeviceRequest{
		ClientName: c.name(), ClientHost: c.host(), TOSURI: c.TOSURI, PolicyURI: c.PolicyURI, DeviceID: code.DeviceID, hash: code.Hash,
	}, nil
}

// Decide records what a user says to what a device asks for. The error is ErrNoSuchCode when it was decided about already.
func (s *Service) Decide(ctx context.Context, d *DeviceRequest, user account.Browser, yes bool) error {
	state := int64(store.DeviceCodeDenied)
	if yes {
		state = store.DeviceCodeApproved
	}
	err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		if err := user.Check(tx, s.now()); err != nil {
			return err
		}
		return tx.DecideOAuthDeviceCode(d.hash, state, user.UserNID)
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoSuchCode
	}
	return err
}
