// Package accountpages is what the server shows to people in a browser: signing in and up, what an OAuth client asks for, and the page where
// users manage their accounts (Client-Server API, Account management). The pages are plain HTML, and work without scripts, but for a captcha
// where the operator wants one; that of calls is shown anew by one. What waits for a mail has a button for who has followed its link. It also has the
// routes of package oauth's endpoints. Its handlers read a form, call a service, and show a page: what may be done is decided by packages
// account and oauth.
package accountpages

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/callstatus"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/networks"
	"causeway/homeserver/oauth"
	"causeway/homeserver/sso"

	"maunium.net/go/mautrix/id"
)

// Paths of the pages, below that of the account page.
const (
	pathAccount    = oauth.PathAccount
	pathSignIn     = pathAccount + "login"
	pathSignUp     = pathAccount + "register"
	pathSignOut    = pathAccount + "logout"
	pathDevices    = pathAccount + "devices"
	pathDevice     = pathAccount + "device"
	pathPassword   = pathAccount + "password"
	pathDeactivate = pathAccount + "deactivate"
	pathReset      = pathAccount + "reset"
	pathLinked     = pathAccount + "linked"
	pathStyle      = pathAccount + "style.css"

	pathSignUpMail  = pathSignUp + "/mail"
	pathForgot      = pathAccount + "forgot"
	pathNewPassword = account.ResetPath
	pathDeviceName  = pathDevice + "/name"
	pathBrowsers    = pathAccount + "browsers"
	pathEmails      = pathAccount + "emails"
	pathEmailAdd    = pathEmails + "/add"
	pathEmail       = pathAccount + "email"
)

// maxFormBytes bounds what a form sends.
const maxFormBytes = 32 << 10

// Rooms shows the rooms what a user's name is now.
type Rooms interface {
	PropagateProfile(ctx context.Context, user id.UserID) error
}

// Config is what the pages need.
type Config struct {
	ServerName string
	PublicURL  string
	Accounts   *account.Service
	OAuth      *oauth.Service    // nil for none
	SSO        *sso.Service      // nil for no providers
	Networks   *networks.Service // nil for none
	Rooms      Rooms
	Calls      callstatus.Source // tells administrators of calls; nil for a server without an SFU
	// Contact is the email address, user id or page by which one reaches those who run the server, "" for none that strangers are told.
	Contact string
	// Deactivate ends an account for good. nil is for a server whose users cannot do that here. Errors that the user is to see are Matrix
	// errors.
	Deactivate func(ctx context.Context, user id.UserID, erase bool) error
}

// Pages serves the pages.
type Pages struct {
	Config
	contact template.URL // where Contact leads
	public  string       // PublicURL, without a slash at its end
	secure  bool         // the server is reached by https
	cookie  string       // its name
	style   string       // address of the style sheet, which changes with it
	cross   *http.CrossOriginProtection
}

// New returns the pages of a server.
func New(c Config) *Pages {
	if c.Networks == nil {
		c.Networks = networks.New(nil)
	}
	p := &Pages{Config: c, contact: contactURL(c.Contact), public: public(c.PublicURL), cookie: "causeway", style: pathStyle + "?v=" + styleVersion(), cross: http.NewCrossOriginProtection()}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Host != "" {
		if p.secure = u.Scheme == "https"; p.secure {
			p.cookie = "__Host-causeway" // browsers let no other host set it
		}
		_ = p.cross.AddTrustedOrigin(u.Scheme + "://" + u.Host) // a proxy may give another Host to us; what is no origin is not trusted
	}
	return p
}

// pageRoute is a page: what shows it, and what its form does.
type pageRoute struct {
	path       string
	get, post  handler
	class      httpapi.Class // of what the form does
	shownClass httpapi.Class // of showing it
}

// toAccount is GET /, for people who open the server's address in a browser.
func toAccount(_ context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	http.Redirect(w, r.Request, pathAccount, http.StatusSeeOther)
	return nil
}

// Routes are those of the pages and of the OAuth endpoints. Clients call the latter from pages of their own, with CORS, and people visit the
// former.
func (p *Pages) Routes() []httpapi.Route {
	public := httpapi.Public
	routes := []httpapi.Route{
		{Method: "GET", Path: pathStyle, Access: public, Endpoint: httpapi.Raw(serveStyle)},
		{Method: "GET", Path: "/{$}", Access: public, Endpoint: httpapi.Raw(toAccount)},
	}
	const read = httpapi.ClassRead
	all := []pageRoute{
		{pathAccount + "{$}", p.showAccount, p.setName, httpapi.ClassProfile, read},
		{pathSignIn, p.showSignIn, p.signIn, httpapi.ClassLogin, read},
		{pathSignUp, p.showSignUp, p.signUp, httpapi.ClassRegister, read},
		{pathSignOut, nil, p.signOut, httpapi.ClassRead, read},
		{pathDevices, p.showDevices, nil, "", read},
		{pathDevice, p.showDevice, p.endDevice, httpapi.ClassRead, read},
		{pathPassword, p.showPassword, p.setPassword, httpapi.ClassLogin, read},
		{pathDeactivate, p.showDeactivate, p.deactivate, httpapi.ClassLogin, read},
		{pathReset, p.showReset, p.allowReset, httpapi.ClassRead, read},
		{pathSignUpMail, p.showSignUpMail, p.askSignUpMail, httpapi.ClassMail, read},
		{pathForgot, p.showForgot, p.forgot, httpapi.ClassMail, read},
		{pathNewPassword, p.showNewPassword, p.newPassword, httpapi.ClassLogin, read},
		{pathDeviceName, nil, p.renameDevice, httpapi.ClassRead, read},
		{pathBrowsers, p.showBrowsers, p.endBrowsers, httpapi.ClassRead, read},
		{pathEmails, p.showEmails, p.askEmail, httpapi.ClassMail, read},
		{pathEmailAdd, nil, p.addEmail, httpapi.ClassRead, read},
		{pathEmail, p.showEmail, p.removeEmail, httpapi.ClassRead, read},
	}
	all = append(all, p.ssoRoutes()...)
	all = append(all, p.networkRoutes()...)
	calls, script := p.callRoutes()
	all, routes = append(all, calls...), append(routes, script...)
	if p.OAuth != nil {
		protocol := httpapi.Raw(p.protocol).MaxBody(maxFormBytes).Limited(httpapi.ClassDevice)
		routes = append(routes, []httpapi.Route{
			{Method: "POST", Path: oauth.PathRegister, Access: public, Endpoint: httpapi.Dynamic(p.registerClient).MaxBody(oauth.MaxClientMetadata).Limited(httpapi.ClassRegister)},
			{Method: "POST", Path: oauth.PathToken, Access: public, Endpoint: protocol},
			{Method: "POST", Path: oauth.PathRevoke, Access: public, Endpoint: protocol},
			{Method: "POST", Path: oauth.PathDeviceRequest, Access: public, Endpoint: protocol.Limited(httpapi.ClassRegister)},
		}...)
		all = append(all,
			pageRoute{oauth.PathAuthorize, p.showConsent, p.consent, httpapi.ClassRead, read},
			pageRoute{oauth.PathDevice, p.showUserCode, p.enterUserCode, httpapi.ClassLogin, read},
		)
	}
	for _, page := range all {
		if page.get != nil {
			routes = append(routes, httpapi.Route{Method: "GET", Path: page.path, Access: public, Endpoint: p.page(page.get, page.shownClass)})
		}
		if page.post != nil {
			routes = append(routes, httpapi.Route{Method: "POST", Path: page.path, Access: public, Endpoint: p.page(page.post, page.class).MaxBody(maxFormBytes)})
		}
	}
	return routes
}

// protocol serves what clients call without a browser.
func (p *Pages) protocol(_ context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	p.OAuth.ServeHTTP(w, r.Request)
	return nil
}

// registerClient is the client registration endpoint (RFC 7591).
func (p *Pages) registerClient(ctx context.Context, r *httpapi.Request) (any, error) {
	body, err := r.ReadBody()
	if err != nil {
		return nil, err
	}
	registration, err := p.OAuth.Register(ctx, body)
	if err != nil {
		return nil, registrationError(err)
	}
	return httpapi.Response{Status: http.StatusCreated, Header: http.Header{"Cache-Control": {"no-store"}}, Body: registration}, nil
}

// local returns the path that a form is to go on to, and that of the account page for anything but a page of this server: nobody is to be
// sent elsewhere by a link to these pages.
func local(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "":
	case !strings.HasPrefix(next, "/_causeway/") || strings.ContainsAny(next, "\\\r\n\t") || strings.Contains(u.Path, ".."):
	default:
		return next
	}
	return pathAccount
}

// contactURL is the address of what the operator has named as the way to reach them.
func contactURL(contact string) template.URL {
	switch {
	case contact == "":
		return ""
	case strings.HasPrefix(contact, "@"):
		return template.URL("https://matrix.to/#/" + url.PathEscape(contact))
	case strings.HasPrefix(contact, "https://"), strings.HasPrefix(contact, "http://"):
		return template.URL(contact)
	}
	return template.URL("mailto:" + url.PathEscape(contact))
}
