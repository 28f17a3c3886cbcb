package oauth

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// Bounds on what a client says about itself.
const (
	// MaxClientMetadata is the size of a registration, in bytes.
	MaxClientMetadata = 32 << 10

	maxRedirectURIs    = 20
	maxURIBytes        = 1024
	maxClientNameBytes = 200
)

const (
	authMethodNone    = "none"
	grantCode         = "authorization_code"
	grantRefresh      = "refresh_token"
	grantDevice       = "urn:ietf:params:oauth:grant-type:device_code"
	applicationWeb    = "web"
	applicationNative = "native"
)

// grantTypes are those that there are.
var grantTypes = []string{grantCode, grantRefresh, grantDevice}

// ClientMetadata is what a client says about itself (RFC 7591; Client-Server API, Client metadata), as far as the server has a use for it.
type ClientMetadata struct {
	ClientURI       string   `json:"client_uri"`
	ClientName      string   `json:"client_name,omitempty"`
	LogoURI         string   `json:"logo_uri,omitempty"`
	TOSURI          string   `json:"tos_uri,omitempty"`
	PolicyURI       string   `json:"policy_uri,omitempty"`
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	ResponseTypes   []string `json:"response_types"`
	GrantTypes      []string `json:"grant_types"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	ApplicationType string   `json:"application_type"`
}

// RegistrationError is why a client cannot register (RFC 7591, section 3.2.2). Marshalled, it is the body of the answer, whose status is 400.
type RegistrationError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// Error implements error.
func (e *RegistrationError) Error() string { return e.Description }

func badMetadata(format string, args ...any) error {
	return &RegistrationError{"invalid_client_metadata", fmt.Sprintf(format, args...)}
}

func badRedirect(format string, args ...any) error {
	return &RegistrationError{"invalid_redirect_uri", fmt.Sprintf(format, args...)}
}

// ParseClientMetadata reads and checks the body of a registration. What the server has no use for is left out. The error is a
// *RegistrationError.
func ParseClientMetadata(body []byte) (*ClientMetadata, error) {
	if len(body) > MaxClientMetadata {
		return nil, badMetadata("the metadata have more than %d bytes", MaxClientMetadata)
	}
	if !utf8.Valid(body) {
		return nil, badMetadata("the metadata are not UTF-8")
	}
	m := new(ClientMetadata)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, badMetadata("the metadata are no JSON object with the fields of RFC 7591 of the right types")
	}
	client, err := m.checkClientURI()
	if err != nil {
		return nil, err
	}
	if err := m.checkKind(); err != nil {
		return nil, err
	}
	if err := m.checkName(); err != nil {
		return nil, err
	}
	for name, uri := range map[string]string{"logo_uri": m.LogoURI, "tos_uri": m.TOSURI, "policy_uri": m.PolicyURI} {
		if uri == "" {
			continue
		}
		if _, err := webURI(uri, client); err != nil {
			return nil, badMetadata("%s: %v", name, err)
		}
	}
	return m, m.checkRedirects(client)
}

// checkClientURI returns the host of client_uri, by which all other addresses are judged.
func (m *ClientMetadata) checkClientURI() (host string, err error) {
	if m.ClientURI == "" {
		return "", badMetadata("client_uri is missing")
	}
	u, err := webURI(m.ClientURI, "")
	if err != nil {
		return "", badMetadata("client_uri: %v", err)
	}
	host = u.Hostname()
	// All who have a domain below such a host would be one client.
	if suffix, icann := publicsuffix.PublicSuffix(host); suffix == host && (icann || strings.Contains(suffix, ".")) {
		return "", badMetadata("client_uri: nobody owns the domain %s", host)
	}
	return host, nil
}

// checkKind checks how the client works, and fills in what it left out.
func (m *ClientMetadata) checkKind() error {
	switch m.ApplicationType {
	case "":
		m.ApplicationType = applicationWeb
	case applicationWeb, applicationNative:
	default:
		return badMetadata("application_type must be web or native")
	}
	// All clients are public here. RFC 7591, section 3.2.1, lets the server choose where the client leaves it open.
	if m.AuthMethod != "" && m.AuthMethod != authMethodNone {
		return badMetadata("token_endpoint_auth_method must be none")
	}
	m.AuthMethod = authMethodNone
	if m.ResponseTypes == nil {
		m.ResponseTypes = []string{"code"}
	}
	if m.GrantTypes == nil {
		m.GrantTypes = []string{grantCode}
	}
	m.ResponseTypes = only(m.ResponseTypes, []string{"code"})
	m.GrantTypes = only(m.GrantTypes, grantTypes)
	if !slices.Contains(m.GrantTypes, grantRefresh) { // every grant comes with a refresh token
		m.GrantTypes = append(m.GrantTypes, grantRefresh)
	}
	code := slices.Contains(m.GrantTypes, grantCode)
	switch {
	case code && len(m.ResponseTypes) == 0:
		return badMetadata("response_types must have code for the grant type %s", grantCode)
	case code && len(m.RedirectURIs) == 0:
		return badRedirect("redirect_uris: the grant type %s needs at least one", grantCode)
	case !code && !slices.Contains(m.GrantTypes, grantDevice):
		return badMetadata("grant_types must have %s or %s", grantCode, grantDevice)
	}
	return nil
}

// only returns those of some values that are known, each once, in the order of those known.
func only(values, known []string) []string {
	some := []string{}
	for _, k := range known {
		if slices.Contains(values, k) {
			some = append(some, k)
		}
	}
	return some
}

// checkName bounds what people are shown as the client's name.
func (m *ClientMetadata) checkName() error {
	m.ClientName = strings.TrimSpace(m.ClientName)
	if len(m.ClientName) > maxClientNameBytes {
		return badMetadata("client_name has more than %d bytes", maxClientNameBytes)
	}
	// What cannot be seen, as marks that turn the direction of writing, has no place in a name that people are to judge by.
	if strings.ContainsFunc(m.ClientName, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return badMetadata("client_name has characters that cannot be seen")
	}
	return nil
}

// checkRedirects follows the Client-Server API, Redirect URI validation.
func (m *ClientMetadata) checkRedirects(client string) error {
	if len(m.RedirectURIs) > maxRedirectURIs {
		return badRedirect("redirect_uris has more than %d", maxRedirectURIs)
	}
	for i, uri := range m.RedirectURIs {
		u, err := webURI(uri, client)
		if err != nil && m.ApplicationType == applicationNative {
			u, err = nativeURI(uri, client)
		}
		if err != nil {
			return badRedirect("redirect_uris[%d]: %v", i, err)
		}
		for _, reserved := range [...]string{"code", "state", "iss", "error", "error_description"} {
			if u.Query().Has(reserved) {
				return badRedirect("redirect_uris[%d]: the parameter %s is the server's", i, reserved)
			}
		}
	}
	return nil
}

// hostForm is what a host may look like. It goes into headers, and before people's eyes.
var hostForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)

// parseURI reads what any address of a client must be.
func parseURI(uri string) (*url.URL, error) {
	if len(uri) > maxURIBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxURIBytes)
	}
	// Browsers take a backslash for a slash, and others do not.
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\\\"<>^`{|}#", r) }) {
		return nil, fmt.Errorf("it has a fragment, or characters that are none of a URI's")
	}
	u, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("it is no URI")
	}
	if u.User != nil || strings.Contains(u.Host, "@") {
		return nil, fmt.Errorf("it has a user")
	}
	return u, nil
}

// webURI reads an https address. Unless client is "", its host must be that, or one below it.
func webURI(uri, client string) (*url.URL, error) {
	u, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" || !hostForm.MatchString(u.Host) {
		return nil, fmt.Errorf("it is no https address in lower case")
	}
	if host := u.Hostname(); client != "" && host != client && !strings.HasSuffix(host, "."+client) {
		return nil, fmt.Errorf("its host is neither %s, that of client_uri, nor below it", client)
	}
	return u, nil
}

// loopbackHosts are those on which a native client may listen.
var loopbackHosts = []string{"localhost", "127.0.0.1", "[::1]"}

// nativeURI reads an address that only native clients may have: on the machine itself, of any port, or of a scheme of the client's own.
func nativeURI(uri, client string) (*url.URL, error) {
	u, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		if u.Scheme != "http" || !slices.Contains(loopbackHosts, u.Host) {
			return nil, fmt.Errorf("it is neither below client_uri nor http on localhost, 127.0.0.1 or [::1] without a port")
		}
		return u, nil
	}
	labels := strings.Split(client, ".")
	slices.Reverse(labels)
	reverse := strings.Join(labels, ".")
	scheme, rest, _ := strings.Cut(uri, ":")
	switch {
	case scheme != u.Scheme || scheme != reverse && !strings.HasPrefix(scheme, reverse+"."):
		return nil, fmt.Errorf("its scheme must begin with %s", reverse)
	case strings.HasPrefix(rest, "//"):
		return nil, fmt.Errorf("its scheme must be followed by one slash at most")
	}
	return u, nil
}
