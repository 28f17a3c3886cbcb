package oauth

import "causeway/homeserver/account"

// Metadata says where the endpoints are and what they can do (RFC 8414; Client-Server API, Server metadata discovery).
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	PromptValues          []string `json:"prompt_values_supported"`
	Scopes                []string `json:"scopes_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
	AccountURI            string   `json:"account_management_uri"`
	AccountActions        []string `json:"account_management_actions_supported"`
}

// Actions of the account page (Client-Server API, Account management URL actions).
const (
	ActionProfile      = "org.matrix.profile"
	ActionDevicesList  = "org.matrix.devices_list"
	ActionDeviceView   = "org.matrix.device_view"
	ActionDeviceDelete = "org.matrix.device_delete"
	ActionDeactivate   = "org.matrix.account_deactivate"
	ActionResetKeys    = account.ActionResetKeys
)

// OldActions are the names that actions had before MSC4191 was merged, and their names now. Clients look for them among those supported.
var OldActions = map[string]string{
	"profile":                  ActionProfile,
	"sessions_list":            ActionDevicesList,
	"org.matrix.sessions_list": ActionDevicesList,
	"session_view":             ActionDeviceView,
	"org.matrix.session_view":  ActionDeviceView,
	"session_end":              ActionDeviceDelete,
	"org.matrix.session_end":   ActionDeviceDelete,
}

// Metadata returns what clients have to know.
func (s *Service) Metadata() Metadata {
	return Metadata{
		Issuer:                s.issuer(),
		AuthorizationEndpoint: s.cfg.PublicURL + PathAuthorize,
		TokenEndpoint:         s.cfg.PublicURL + PathToken,
		RevocationEndpoint:    s.cfg.PublicURL + PathRevoke,
		RegistrationEndpoint:  s.cfg.PublicURL + PathRegister,
		DeviceEndpoint:        s.cfg.PublicURL + PathDeviceRequest,
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query", "fragment"},
		GrantTypes:            grantTypes,
		ChallengeMethods:      []string{"S256"},
		PromptValues:          []string{"create"},
		Scopes:                []string{scopeAPI, unstableAPI},
		AuthMethods:           []string{authMethodNone},
		RevocationAuthMethods: []string{authMethodNone},
		IssParameter:          true,
		AccountURI:            s.AccountURL(),
		AccountActions:        s.actions(),
	}
}

// actions are those of the account page, by the old names, too.
func (s *Service) actions() []string {
	all := []string{
		ActionProfile, ActionDevicesList, ActionDeviceView, ActionDeviceDelete, ActionResetKeys,
		"org.matrix.sessions_list", "org.matrix.session_view", "org.matrix.session_end",
	}
	if s.cfg.Deactivation {
		all = append(all, ActionDeactivate)
	}
	return all
}

// issuer names this authorization server. It is a URL without query and fragment (RFC 8414, section 2).
func (s *Service) issuer() string { return s.cfg.PublicURL + "/" }

// AccountURL is the address of the account page.
func (s *Service) AccountURL() string { return s.cfg.PublicURL + PathAccount }
