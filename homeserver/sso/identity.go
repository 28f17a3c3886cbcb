package sso

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Bounds of what a provider says of somebody.
const (
	maxSubject   = 255 // OpenID Connect Core 1.0, section 2
	maxClaim     = 256
	authTimeSlop = time.Minute // by which clocks differ
)

// check is what of an id_token is to be verified beside its signature, issuer, audience and times (OpenID Connect Core 1.0, section 3.1.3.7).
func (p *provider) check(token *oidc.IDToken, accessToken string, f flow) (map[string]any, error) {
	claims := make(map[string]any)
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("read the id_token: %w", err)
	}
	party, named := claims["azp"]
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(f.Nonce)) != 1:
		return nil, errors.New("the nonce is another one")
	case named && party != p.ClientID, !named && len(token.Audience) > 1:
		return nil, errors.New("the id_token is for another client")
	case token.Subject == "" || len(token.Subject) > maxSubject || !storable(token.Subject):
		return nil, errors.New("the subject is none, or too long")
	case f.For.Again:
		// max_age was sent: then auth_time is required (section 2), and is to be looked at (section 3.1.3.7, 13).
		if err := p.checkAsked(claims, f); err != nil {
			return nil, err
		}
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(accessToken); err != nil {
			return nil, fmt.Errorf("verify the access token: %w", err)
		}
	}
	return claims, nil
}

// checkAsked demands that the provider has had somebody prove anew who they are.
func (p *provider) checkAsked(claims map[string]any, f flow) error {
	asked := authTime(claims)
	if asked == 0 && p.AssumeLoginPrompt {
		return nil
	}
	if asked == 0 {
		return &PageError{Status: http.StatusBadGateway, cause: errors.New("the id_token has no auth_time though max_age was sent"),
			Message: p.Name + " does not say when you have proven there who you are (auth_time), so that it cannot confirm that it is you. Tell those who run this server."}
	}
	if asked < f.Expires-(Lifetime+authTimeSlop).Milliseconds() {
		return errors.New("the provider did not ask who it is")
	}
	return nil
}

// askMore adds what the provider tells at its userinfo endpoint alone.
func (p *provider) askMore(ctx context.Context, d *discovered, tokens *oauth2.Token, subject string, claims map[string]any) error {
	wanted := slices.ContainsFunc([]string{p.LocalpartClaim, p.DisplayNameClaim, p.EmailClaim}, func(name string) bool {
		_, has := claims[name]
		return name != "" && !has
	})
	if !wanted || d.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return fmt.Errorf("ask for more: %w", err)
	}
	if info.Subject != subject { // section 5.3.2
		return errors.New("what the userinfo endpoint says is of somebody else")
	}
	more := make(map[string]any)
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("read what the userinfo endpoint says: %w", err)
	}
	// A pair: whether an address is verified is said by who says the address.
	if _, has := claims[p.EmailClaim]; !has {
		claims["email_verified"] = more["email_verified"]
	}
	for _, name := range []string{p.LocalpartClaim, p.DisplayNameClaim, p.EmailClaim} {
		if _, has := claims[name]; name != "" && !has {
			claims[name] = more[name]
		}
	}
	return nil
}

func (p *provider) identity(subject string, claims map[string]any, f flow) *Identity {
	who := &Identity{
		Provider: p.ID, Issuer: p.Issuer, Subject: subject, Localpart: text(claims, p.LocalpartClaim), DisplayName: text(claims, p.DisplayNameClaim),
		Session: text(claims, "sid"), AuthTS: authTime(claims),
	}
	if who.AuthTS == 0 && f.For.Again { // the provider is trusted to have asked
		who.AuthTS = f.Expires - Lifetime.Milliseconds()
	}
	if verified := claims["email_verified"]; p.EmailClaim == emailClaim && (verified == true || verified == "true") {
		who.Email = text(claims, p.EmailClaim)
	}
	return who
}

// text returns a claim, "" for none that is of any use.
func text(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	if name == "" || len(s) > maxClaim || !storable(s) {
		return ""
	}
	return strings.TrimSpace(s)
}

func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// authTime is when somebody proved to the provider who they are, in milliseconds, 0 for unknown.
func authTime(claims map[string]any) int64 {
	switch t := claims["auth_time"].(type) {
	case float64:
		if t > 0 && t < 1e11 {
			return int64(t) * 1000
		}
	case json.Number:
		if n, err := t.Int64(); err == nil && n > 0 && n < 1e11 {
			return n * 1000
		}
	}
	return 0
}
