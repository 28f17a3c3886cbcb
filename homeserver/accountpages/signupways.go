package accountpages

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"causeway/homeserver/account"
)

// signUpWays are the flows of registration that these pages know: the stages of each, nil for none. There are four: with and without a
// registration token, and with and without an email address.
type signUpWays struct {
	plain, token         []string
	mailPlain, mailToken []string
	Policies             []policy // what the user has to agree to
	captchaKey           string   // "" for no captcha
	closed               bool     // there is no token that could be used, where it takes one
}

func (w signUpWays) any() bool  { return w.plain != nil || w.token != nil || w.mail() }
func (w signUpWays) open() bool { return !w.closed && w.any() }

// mail tells whether there is a way with an email address, and mailOnly whether there is no other.
func (w signUpWays) mail() bool     { return w.mailPlain != nil || w.mailToken != nil }
func (w signUpWays) mailOnly() bool { return w.plain == nil && w.token == nil && w.mail() }

// stages returns those of the way for somebody with or without a token and an email address, nil for none.
func (w signUpWays) stages(token, mail bool) []string {
	plain, withToken := w.plain, w.token
	if mail {
		plain, withToken = w.mailPlain, w.mailToken
	}
	if withToken != nil && (token || plain == nil) {
		return withToken
	}
	return plain
}

// policy is a document that the user has to agree to.
type policy struct{ Name, URL string }

// Stages that these pages know.
const (
	stageDummy   = "m.login.dummy"
	stageToken   = "m.login.registration_token"
	stageTerms   = "m.login.terms"
	stageCaptcha = "m.login.recaptcha"
	stageEmail   = "m.login.email.identity"
)

var knownStages = []string{stageDummy, stageToken, stageTerms, stageCaptcha, stageEmail}

// signUpWays asks for the ways in which one can get an account.
func (p *Pages) signUpWays(ctx context.Context) (signUpWays, error) {
	var ways signUpWays
	_, err := p.Accounts.SignUp(ctx, account.RegisterRequest{})
	challenge, ok := errors.AsType[*account.Challenge](err)
	if !ok {
		return ways, err
	}
	for _, flow := range challenge.Flows {
		if slices.ContainsFunc(flow.Stages, func(s string) bool { return !slices.Contains(knownStages, s) }) {
			continue
		}
		way := &ways.plain
		switch token, mail := slices.Contains(flow.Stages, stageToken), slices.Contains(flow.Stages, stageEmail); {
		case token && mail:
			way = &ways.mailToken
		case token:
			way = &ways.token
		case mail:
			way = &ways.mailPlain
		}
		*way = flow.Stages
		if slices.Contains(flow.Stages, stageTerms) {
			ways.Policies = policies(challenge.Params[stageTerms])
		}
		if slices.Contains(flow.Stages, stageCaptcha) {
			ways.captchaKey = captchaKey(challenge.Params[stageCaptcha])
		}
	}
	takes, err := p.Accounts.TakesNewUsers(ctx)
	ways.closed = !takes
	return ways, err
}

// policies reads the parameters of the stage m.login.terms (Client-Server API, Terms of service at registration), in English or whatever
// language there is.
func policies(params any) (all []policy) {
	raw, err := json.Marshal(params)
	var terms struct {
		Policies map[string]map[string]json.RawMessage `json:"policies"`
	}
	if err != nil || json.Unmarshal(raw, &terms) != nil {
		return nil
	}
	for _, languages := range terms.Policies {
		var found policy
		for language, raw := range languages {
			var p policy
			if json.Unmarshal(raw, &p) == nil && p.URL != "" && (found.URL == "" || language == "en") {
				found = p
			}
		}
		if found.URL != "" {
			all = append(all, found)
		}
	}
	slices.SortFunc(all, func(a, b policy) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// captchaKey reads the parameters of the stage m.login.recaptcha (Client-Server API, Google ReCaptcha).
func captchaKey(params any) string {
	fields, _ := params.(map[string]any)
	key, _ := fields["public_key"].(string)
	return key
}

// allowCaptcha has a page run the script that shows a captcha, and what that loads, by a nonce that is returned. Nothing changes for a page
// without one.
func (v *visit) allowCaptcha(page signUpPage) (nonce string) {
	if page.CaptchaKey == "" {
		return ""
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	nonce = base64.RawURLEncoding.EncodeToString(secret)
	origin := "'none'"
	if u, err := url.Parse(page.Script); err == nil {
		origin = u.Scheme + "://" + u.Host
	}
	// It shows what it has to show in a frame, with styles of its own.
	v.w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src https: "+origin+"; script-src 'nonce-"+nonce+
		"' 'strict-dynamic'; connect-src "+origin+"; frame-src https: "+origin+"; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	return nonce
}
