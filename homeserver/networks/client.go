package networks

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const (
	// lookWait is how long a page waits for what a bridge has in memory.
	lookWait = 5 * time.Second
	// stepWait is how long a page waits for a network.
	stepWait = 60 * time.Second
	// showWait is how long a page waits to see whether a step that is shown has been done meanwhile.
	showWait = 500 * time.Millisecond
)

// Network is how a user stands with a network.
type Network struct {
	ID, Name string
	Logins   []Login
	Flows    []Flow
	Can      Capabilities
	Err      error // why nothing is known, nil when it is
}

// Login is an account of a user on a network.
type Login struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State struct {
		Event   string `json:"state_event"` // such as CONNECTED, as bridgev2 has it
		Message string `json:"message"`
		Error   string `json:"error"`
		Reason  string `json:"reason"`
	} `json:"state"`
}

// Flow is a way to sign in.
type Flow struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Chats tells whether one can look for somebody, or for whom one knows.
func (c Capabilities) Chats() bool {
	r := c.ResolveIdentifier
	return r.CreateDM || r.LookupPhone || r.LookupEmail || r.LookupUsername || r.ContactList
}

// Capabilities are what a network offers to who wants to start a chat.
type Capabilities struct {
	ResolveIdentifier struct {
		CreateDM       bool `json:"create_dm"`
		LookupPhone    bool `json:"lookup_phone"`
		LookupEmail    bool `json:"lookup_email"`
		LookupUsername bool `json:"lookup_username"`
		ContactList    bool `json:"contact_list"`
		Search         bool `json:"search"`
	} `json:"resolve_identifier"`
	// RoomLinks tells that rooms can be connected with chats.
	RoomLinks bool `json:"causeway.room_links"`
}

// Step is a step of a login, as bridgev2 has it.
type Step struct {
	LoginID      string `json:"login_id"` // of the process
	Type         string `json:"type"`
	ID           string `json:"step_id"`
	TxnID        string `json:"txn_id"`
	Instructions string `json:"instructions"`
	Input        *struct {
		Fields      []Field      `json:"fields"`
		Attachments []Attachment `json:"attachments"`
		CanCancel   bool         `json:"can_cancel"`
	} `json:"user_input"`
	Display *struct {
		Type      string `json:"type"` // qr, emoji, code or nothing
		Data      string `json:"data"`
		ImageURL  string `json:"image_url"`
		CanCancel bool   `json:"can_cancel"`
	} `json:"display_and_wait"`
	Cookies *struct {
		URL    string        `json:"url"`
		Fields []CookieField `json:"fields"`
	} `json:"cookies"`
	Complete *struct {
		UserLoginID string `json:"user_login_id"`
	} `json:"complete"`
}

// Types of steps.
const (
	StepInput    = "user_input"
	StepDisplay  = "display_and_wait"
	StepCookies  = "cookies"
	StepPasskey  = "webauthn"
	StepComplete = "complete"
)

// Field is something to enter.
type Field struct {
	Type        string   `json:"type"`
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Default     string   `json:"default_value"`
	Pattern     string   `json:"pattern"`
	Options     []string `json:"options"`
}

// Attachment is shown beside what is to be entered.
type Attachment struct {
	FileName string `json:"filename"`
	Content  []byte `json:"content"`
	Info     struct {
		MimeType string `json:"mimetype"`
	} `json:"info"`
}

// CookieField is something that a person finds in their browser.
type CookieField struct {
	ID       string         `json:"id"`
	Required bool           `json:"required"`
	Sources  []CookieSource `json:"sources"`
}

// CookieSource is a place to find something at.
type CookieSource struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Domain string `json:"cookie_domain"`
}

// Contact is somebody on a network.
type Contact struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Identifiers []string  `json:"identifiers"`
	UserID      id.UserID `json:"mxid"`
	Room        id.RoomID `json:"dm_room_mxid"`
}

// Networks tells how a user stands with all networks.
func (s *Service) Networks(ctx context.Context, user id.UserID) []Network {
	all := make([]Network, len(s.bridges))
	var asked sync.WaitGroup
	for i, b := range s.bridges {
		asked.Go(func() { all[i] = b.network(ctx, user) })
	}
	asked.Wait()
	return all
}

// Network tells how a user stands with one.
func (s *Service) Network(ctx context.Context, user id.UserID, name string) (Network, error) {
	b, err := s.Bridge(name)
	if err != nil {
		return Network{}, err
	}
	n := b.network(ctx, user)
	return n, n.Err
}

func (b Bridge) network(ctx context.Context, user id.UserID) Network {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	n := Network{ID: b.ID, Name: b.Name}
	var out struct {
		Logins []Login `json:"logins"`
		Flows  []Flow  `json:"login_flows"`
	}
	n.Err = inTime(b.call(ctx, user, "GET", "/v3/whoami", nil, nil, &out))
	if n.Err == nil {
		n.Err = inTime(b.call(ctx, user, "GET", "/v3/capabilities", nil, nil, &n.Can))
	}
	n.Logins, n.Flows = out.Logins, out.Flows
	return n
}

// inTime has errors of time that has run out be errors for people.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errAway
	}
	return err
}

// ask is call of a bridge by its ID, for as long as a page waits.
func (s *Service) ask(ctx context.Context, wait time.Duration, user id.UserID, name, method, path string, query url.Values, in, out any) error {
	b, err := s.Bridge(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return inTime(b.call(ctx, user, method, path, query, in, out))
}

// Start begins to sign a user in, anew to a login if one is named.
func (s *Service) Start(ctx context.Context, user id.UserID, name, flow, login string) (step Step, err error) {
	err = s.ask(ctx, stepWait, user, name, "POST", "/v3/login/start/"+url.PathEscape(flow), loginQuery(login), nil, &step)
	return step, err
}

func loginQuery(login string) url.Values {
	if login == "" {
		return nil
	}
	return url.Values{"login_id": {login}}
}

// Step is the step that a login is at. One that is to be done elsewhere is waited for already when it is shown.
func (s *Service) Step(ctx context.Context, user id.UserID, name, process string) (step Step, err error) {
	err = s.ask(ctx, lookWait, user, name, "GET", "/v3/login/step/"+url.PathEscape(process), nil, nil, &step)
	if err != nil || step.Type != StepDisplay {
		return step, err
	}
	return s.wait(ctx, showWait, user, name, step)
}

// Wait waits for a while until a step that is done elsewhere has been, and returns the one that the login is at then.
func (s *Service) Wait(ctx context.Context, user id.UserID, name string, step Step) (Step, error) {
	return s.wait(ctx, displayWait, user, name, step)
}

// displayWait is how long a page waits that somebody has asked for.
const displayWait = 20 * time.Second

func (s *Service) wait(ctx context.Context, wait time.Duration, user id.UserID, name string, step Step) (Step, error) {
	b, err := s.Bridge(name)
	if err != nil {
		return step, err
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var next Step
	err = b.call(limited, user, "POST", stepPath(step), url.Values{"txn_id": {step.TxnID}}, nil, &next)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return step, nil
	}
	return next, err
}

func stepPath(step Step) string {
	return "/v3/login/step/" + url.PathEscape(step.LoginID) + "/" + url.PathEscape(step.ID) + "/" + url.PathEscape(step.Type)
}

// Back goes back from a step.
func (s *Service) Back(ctx context.Context, user id.UserID, name string, step Step) (next Step, err error) {
	path := "/v3/login/step/" + url.PathEscape(step.LoginID) + "/" + url.PathEscape(step.ID) + "/cancel"
	err = s.ask(ctx, stepWait, user, name, "POST", path, url.Values{"txn_id": {step.TxnID}}, nil, &next)
	return next, err
}

// Submit does a step, with what a user has entered. An error is one of the field that WrongField names, or else the end of the login.
func (s *Service) Submit(ctx context.Context, user id.UserID, name string, step Step, in map[string]string) (next Step, err error) {
	err = s.ask(ctx, stepWait, user, name, "POST", stepPath(step), url.Values{"txn_id": {step.TxnID}}, in, &next)
	return next, err
}

// WrongField is the field of a step that an error is about, "" for none.
func WrongField(err error) string {
	refused, _ := errors.AsType[mautrix.RespError](err)
	field, _ := refused.ExtraData["field"].(string)
	return field
}

// Ended tells whether an error says that a login is not under way any more.
func Ended(err error) bool {
	refused, ok := errors.AsType[mautrix.RespError](err)
	return ok && (refused.StatusCode == http.StatusGone || refused.StatusCode == http.StatusNotFound)
}

// Cancel ends a login that is under way.
func (s *Service) Cancel(ctx context.Context, user id.UserID, name, process string) error {
	return s.ask(ctx, lookWait, user, name, "POST", "/v3/login/cancel/"+url.PathEscape(process), nil, nil, nil)
}

// Logout ends a login for good.
func (s *Service) Logout(ctx context.Context, user id.UserID, name, login string) error {
	return s.ask(ctx, stepWait, user, name, "POST", "/v3/logout/"+url.PathEscape(login), nil, nil, nil)
}

// Contacts lists whom a user knows on a network.
func (s *Service) Contacts(ctx context.Context, user id.UserID, name, login string) ([]Contact, error) {
	var out struct {
		Contacts []Contact `json:"contacts"`
	}
	err := s.ask(ctx, stepWait, user, name, "GET", "/v3/contacts", loginQuery(login), nil, &out)
	return out.Contacts, err
}

// Find looks somebody up on a network.
func (s *Service) Find(ctx context.Context, user id.UserID, name, login, identifier string) (found Contact, err error) {
	err = s.ask(ctx, stepWait, user, name, "GET", "/v3/resolve_identifier/"+segment(identifier), loginQuery(login), nil, &found)
	return found, err
}

// Chat makes a room for a chat with somebody, or finds the one that there is.
func (s *Service) Chat(ctx context.Context, user id.UserID, name, login, identifier string) (found Contact, err error) {
	err = s.ask(ctx, stepWait, user, name, "POST", "/v3/create_dm/"+segment(identifier), loginQuery(login), nil, &found)
	return found, err
}

// segment is a text as one segment of a path, which a lone dot or two would not be.
func segment(text string) string {
	if text == "." || text == ".." {
		return strings.ReplaceAll(text, ".", "%2E")
	}
	return url.PathEscape(text)
}
