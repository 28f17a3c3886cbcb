package sso

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// maxRedirectBytes bounds the address that somebody is sent to: it is kept in a cookie meanwhile.
const maxRedirectBytes = 1500

// loginToken is the parameter by which a client gets a login token.
const loginToken = "loginToken"

// hostPattern has hosts that are the same for people, for browsers and for this server, and that can stand in a Content-Security-Policy.
var hostPattern = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)

// scriptSchemes are those by which a browser would do something else than go to a client.
var scriptSchemes = []string{
	"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source", "mailto", "tel", "sms", "ftp", "ws", "wss",
	"chrome", "resource", "jar", "intent", "content", "matrix",
}

// CheckRedirect returns the address of a client that people may be sent to, in the one form in which it is used from then on. An address that
// is read differently by different programs is refused, and so is one that hides where it leads, or runs a script.
func CheckRedirect(address string) (*url.URL, error) {
	if address == "" || len(address) > maxRedirectBytes {
		return nil, errors.New("it is empty, or too long")
	}
	for _, r := range address {
		if r <= ' ' || r == '\\' || r >= 0x7f {
			return nil, errors.New("it has characters that do not belong in an address")
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("it does not begin as an address does, as with https://")
	}
	web := u.Scheme == "https" || u.Scheme == "http"
	switch {
	case slices.Contains(scriptSchemes, u.Scheme):
		return nil, fmt.Errorf("no application is reached by the scheme %s", u.Scheme)
	case u.User != nil:
		return nil, errors.New("there is a user name in it")
	case web && (u.Host == "" || u.Opaque != ""):
		return nil, errors.New("it names no host")
	case u.Host != "" && !hostPattern.MatchString(u.Host):
		return nil, errors.New("its host has characters that are not allowed")
	}
	return u, nil
}

// RedirectProblem is what people are told of an error of CheckRedirect.
func RedirectProblem(err error) string {
	return fmt.Sprintf("The application has sent you here with an address to go back to that cannot be used: %v. Tell those who make the application.", err)
}

// WithLoginToken is the address by which a client that CheckRedirect has let pass gets a login token, in the place of any that was there.
func WithLoginToken(client *url.URL, token string) string {
	to := *client
	var kept []string
	for pair := range strings.SplitSeq(client.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); pair == "" || err == nil && plain == loginToken {
			continue
		}
		kept = append(kept, pair)
	}
	to.RawQuery = strings.Join(append(kept, loginToken+"="+url.QueryEscape(token)), "&")
	return to.String()
}

// Trusted tells whether people are sent to a client without being asked.
func (s *Service) Trusted(client *url.URL) bool {
	return slices.ContainsFunc(s.trusted, func(t *url.URL) bool { return below(t, client) })
}

// below tells whether an address is a trusted one, or below it.
func below(trusted, u *url.URL) bool {
	if u.Scheme != trusted.Scheme || !strings.EqualFold(u.Host, trusted.Host) || u.Opaque != trusted.Opaque {
		return false
	}
	path, root := u.EscapedPath(), trusted.EscapedPath()
	if strings.Contains(path, "..") || strings.Contains(strings.ToLower(path), "%2e") {
		return false
	}
	return path == root || root == "" || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}
