package clientapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
)

// Support says how people reach those who run the server. Client-Server API, GET /.well-known/matrix/support.
type Support struct {
	Contacts []Contact `yaml:"contacts" json:"contacts,omitempty"`
	Page     string    `yaml:"page" json:"support_page,omitempty"` // URL
}

// Contact is a way to reach somebody. One of MatrixID and EmailAddress at least is there.
type Contact struct {
	Role         string `yaml:"role" json:"role"` // m.role.admin, m.role.security, or a namespaced one
	MatrixID     string `yaml:"matrix_id" json:"matrix_id,omitempty"`
	EmailAddress string `yaml:"email_address" json:"email_address,omitempty"`
}

// Contact returns the page, or else the email address or id of the first contact, "" where there is none.
func (s Support) Contact() string {
	if s.Page != "" || len(s.Contacts) == 0 {
		return s.Page
	}
	return cmp.Or(s.Contacts[0].EmailAddress, s.Contacts[0].MatrixID)
}

// Validate returns all that is wrong, a line for each, which begins with its key.
func (s Support) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for i, c := range s.Contacts {
		if c.Role == "" {
			bad("contacts[%d].role: must not be empty: m.role.admin or m.role.security", i)
		}
		if c.MatrixID == "" && c.EmailAddress == "" {
			bad("contacts[%d]: needs a matrix_id or an email_address", i)
		}
		if c.MatrixID != "" && !event.ValidUserID(c.MatrixID) {
			bad("contacts[%d].matrix_id: %q is not a user ID", i, c.MatrixID)
		}
		if c.EmailAddress != "" && !strings.Contains(c.EmailAddress, "@") {
			bad("contacts[%d].email_address: %q is not an address", i, c.EmailAddress)
		}
	}
	if u, err := url.Parse(s.Page); s.Page != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		bad("page: %q is not an http:// or https:// address", s.Page)
	}
	return errors.Join(problems...)
}

// wellKnownSupport is GET /.well-known/matrix/support.
func (a *API) wellKnownSupport(context.Context, *httpapi.Request, httpapi.Empty) (Support, error) {
	if len(a.Support.Contacts) == 0 && a.Support.Page == "" {
		return Support{}, httpapi.NotFound("This server names nobody who would give support")
	}
	return a.Support, nil
}
