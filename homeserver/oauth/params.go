package oauth

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// The parameters that are read of requests. The rest is left out before the library sees it.
var (
	authorizationParams = []string{
		"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "prompt", "code_challenge", "code_challenge_method",
		"request", "request_uri",
	}
	protocolParams = []string{
		"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "code", "redirect_uri", "code_verifier",
		"refresh_token", "scope", "device_code", "token", "token_type_hint",
	}
)

// Errors of parameters.
var (
	errTwice    = errors.New("a parameter is there twice")
	errSpelling = errors.New("the name of a parameter is not in lower case")
)

// params returns the parameters of a request that have one of the names known, to the letter. The library's decoder takes client_id and
// CLIENT_ID for the same, and whichever of them comes last in a map without order: with both, a request would mean one thing now and another
// thing later. So a name that is another spelling of a known one is refused, and so is a name that is there twice (RFC 6749, sections 3.1
// and 3.2).
func params(in url.Values, known []string) (url.Values, error) {
	out := url.Values{}
	for name, values := range in {
		if len(values) > 1 {
			return nil, errTwice
		}
		if slices.Contains(known, name) {
			out.Set(name, in.Get(name))
		} else if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			return nil, errSpelling
		}
	}
	return out, nil
}
