package sso

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// How a provider is asked what it is like.
const (
	discoverTries   = 3
	discoverPause   = 250 * time.Millisecond // doubles
	discoverTimeout = 15 * time.Second
	discoverAgain   = time.Hour       // what it said is asked for again after that
	discoverHold    = 3 * time.Second // for how long nobody asks again after it did not answer: those who waited meanwhile do not wait anew
	discoverRetry   = time.Minute     // the same while there is an answer of before
)

const maxSecret = 4 << 10 // bytes of a client's secret

// provider is a Provider, with what it says of itself.
type provider struct {
	Provider
	client   *http.Client
	callback string
	now      func() time.Time

	first sync.Mutex // held while it is asked for the first time, so that it is asked once

	mu         sync.Mutex // guards the rest
	found      *discovered
	refreshing bool
	failed     error
	failedTS   time.Time
}

// discovered is what a provider says of itself.
type discovered struct {
	*oidc.Provider
	verifier *oidc.IDTokenVerifier
	sendsIss bool
	prompts  []string
	atTS     time.Time
}

func (d *discovered) canCreate() bool { return slices.Contains(d.prompts, "create") }

// discover returns what the provider says of itself. What it has said before does, and is asked for again meanwhile, when it is an hour old.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	if found, err := p.known(ctx); found != nil || err != nil {
		return found, err
	}
	p.first.Lock()
	defer p.first.Unlock()
	if found, err := p.known(ctx); found != nil || err != nil { // another has asked meanwhile
		return found, err
	}
	return p.refresh(ctx, discoverTries) // others wait for the answer, too
}

// known returns what is known of the provider, or that it did not answer just now; neither is for one that is to be asked first.
func (p *provider) known(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failedFor := p.now().Sub(p.failedTS)
	if p.found == nil {
		if p.failed != nil && failedFor < discoverHold {
			return nil, p.failed
		}
		return nil, nil
	}
	if !p.refreshing && p.now().Sub(p.found.atTS) >= discoverAgain && (p.failed == nil || failedFor >= discoverRetry) {
		p.refreshing = true
		go func() { _, _ = p.refresh(ctx, 1) }() // that it failed is remembered
	}
	return p.found, nil
}

// refresh asks the provider, for longer than who has it asked may wait.
func (p *provider) refresh(ctx context.Context, tries int) (*discovered, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverTimeout)
	defer cancel()
	found, err := p.ask(ctx)
	for try := 1; try < tries && err != nil && ctx.Err() == nil; try++ {
		select {
		case <-time.After(discoverPause << (try - 1)):
			found, err = p.ask(ctx)
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshing = false
	if err != nil {
		p.failed = &PageError{Status: http.StatusBadGateway, Message: p.Name + " cannot be reached at the moment. Try again later.", cause: err}
		p.failedTS = p.now()
		return nil, p.failed
	}
	p.found, p.failed = found, nil
	return found, nil
}

func (p *provider) ask(ctx context.Context) (*discovered, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask %s what it is like: %w", p.Issuer, err)
	}
	var more struct {
		Iss      bool     `json:"authorization_response_iss_parameter_supported"`
		Prompts  []string `json:"prompt_values_supported"`
		JWKS     string   `json:"jwks_uri"`
		UserInfo string   `json:"userinfo_endpoint"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, fmt.Errorf("read what %s is like: %w", p.Issuer, err)
	}
	for _, address := range []string{found.Endpoint().AuthURL, found.Endpoint().TokenURL, more.JWKS, more.UserInfo} {
		if address == more.UserInfo && address == "" {
			continue
		}
		if err := checkEndpoint(p.Issuer, address); err != nil {
			return nil, fmt.Errorf("read what %s is like: %w", p.Issuer, err)
		}
	}
	return &discovered{
		Provider: found, verifier: found.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.now}), sendsIss: more.Iss, prompts: more.Prompts, atTS: p.now(),
	}, nil
}

// checkEndpoint wants of an address that a provider names that it is no less protected than the provider.
func checkEndpoint(issuer, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !strings.HasPrefix(issuer, "http://")) {
		return fmt.Errorf("%q is not an address of an endpoint", address)
	}
	return nil
}

func (p *provider) oauth(d *discovered, secret string) *oauth2.Config {
	endpoint := d.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	if p.Auth == AuthBasic {
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	scopes := []string{oidc.ScopeOpenID}
	for _, scope := range p.Scopes {
		if scope != oidc.ScopeOpenID {
			scopes = append(scopes, scope)
		}
	}
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: secret, Endpoint: endpoint, RedirectURL: p.callback, Scopes: scopes}
}

// secret returns by what this server says that it is itself.
func (p *provider) secret() (string, error) {
	if p.ClientSecretFile == "" {
		return p.ClientSecret, nil
	}
	f, err := os.Open(p.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("read the secret of provider %s: %w", p.ID, err)
	}
	defer f.Close()
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("read the secret of provider %s: %w", p.ID, err)
	}
	return strings.TrimSpace(string(secret)), nil
}

// identify gives the code that somebody has brought for tokens, and returns who that is.
func (p *provider) identify(ctx context.Context, f flow, query url.Values) (*Identity, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	// RFC 9207: the answer says whose it is.
	if iss := query.Get("iss"); iss != "" && iss != p.Issuer || iss == "" && d.sendsIss {
		return nil, p.wrong(fmt.Errorf("the answer is of issuer %q", iss))
	}
	if code := query.Get("error"); code != "" {
		return nil, p.refused(code, query.Get("error_description"))
	}
	if query.Get("code") == "" {
		return nil, p.wrong(errors.New("the answer has no code"))
	}
	secret, err := p.secret()
	if err != nil {
		return nil, p.wrong(err)
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := p.oauth(d, secret).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, p.wrong(fmt.Errorf("exchange the code: %w", withoutBody(err)))
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, p.wrong(errors.New("there is no id_token"))
	}
	token, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, p.wrong(fmt.Errorf("verify the id_token: %w", err))
	}
	claims, err := p.check(token, tokens.AccessToken, f)
	if err != nil {
		return nil, p.wrong(err)
	}
	if err := p.askMore(ctx, d, tokens, token.Subject, claims); err != nil {
		return nil, p.wrong(err)
	}
	return p.identity(token.Subject, claims, f), nil
}

// withoutBody is an error without what a token endpoint has answered, which may be anything: it goes into the log.
func withoutBody(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil {
		return fmt.Errorf("the token endpoint answers %s %.64q", refused.Response.Status, refused.ErrorCode)
	}
	return err
}

// wrong is the error of an answer that is not what it has to be.
func (p *provider) wrong(cause error) error {
	if shown, ok := errors.AsType[*PageError](cause); ok {
		return shown
	}
	return &PageError{Status: http.StatusBadGateway, Message: "Signing in with " + p.Name + " did not work. Try again, or ask those who run the server.", cause: cause}
}

// refused is the error of an answer that says no.
func (p *provider) refused(code, description string) error {
	message := p.Name + " did not sign you in."
	if code == "access_denied" {
		message = "You did not sign in with " + p.Name + ", or did not allow it."
	}
	return &PageError{Status: http.StatusForbidden, Message: message, cause: fmt.Errorf("the provider answers %.64q %.256q", code, description)}
}
