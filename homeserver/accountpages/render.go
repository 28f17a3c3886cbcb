package accountpages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"causeway/homeserver/httpapi"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

//go:embed html
var files embed.FS

// pages are the templates by their names, each with the frame around it.
var pages = func() map[string]*template.Template {
	frame := template.Must(template.New("frame.html").Funcs(template.FuncMap{
		"date": date, "describe": describe, "wrong": wrong, "browser": browserName, "unsent": unsent, "qr": qrImage,
		"lower": strings.ToLower, "source": sourceName, "codec": codecName, "layer": layerName, "bitrate": bitrate, "percent": percent,
	}).ParseFS(files, "html/frame.html", "html/providers.html"))
	all := make(map[string]*template.Template)
	for _, name := range []string{
		"error", "signin", "signup", "consent", "refused", "usercode", "deviceconsent", "done", "profile", "devices", "device", "password", "deactivate", "reset",
		"signupmail", "signupwait", "forgot", "newpassword", "deadlink", "browsers", "emails", "newemail", "email",
		"ssochoice", "ssoclient", "ssoenter", "goon", "ssofailed", "ssonew", "ssostage", "ssolink", "linked",
		"networks", "netlogout", "netsignin", "netstep", "netover", "netchat", "netroom", "netrooms", "netunlink", "calls",
	} {
		all[name] = template.Must(template.Must(frame.Clone()).ParseFS(files, "html/"+name+".html"))
	}
	return all
}()

// date shows a time in milliseconds.
func date(ts int64) string { return time.UnixMilli(ts).UTC().Format("2 January 2006, 15:04 UTC") }

// view is what a template shows.
type view struct {
	Server string
	Style  string
	User   id.UserID        // who is signed in, "" for nobody
	Recent bool             // and gave their password just now
	Token  string           // for forms
	Here   string           // the address of the page
	Error  string           // what was wrong with the form
	Field  string           // the id of the field that Error is about, "" for the whole
	Done   string           // what was done
	At     string           // the template's name
	Ends   bool             // accounts can be ended here
	Mails  bool             // people can be sent mail
	Links  bool             // accounts can be linked to who their users are elsewhere
	Nets   bool             // there are networks to sign in to
	Calls  bool             // the user may see which calls run
	Again  []providerButton // where whoever has no password shows that they are still there
	Page   any

	// Contact is the address of who runs the server, and ContactName what it is called; "" for none that is known.
	Contact     template.URL
	ContactName string
}

// show answers with a page.
func (v *visit) show(status int, name string, page any) {
	v.showWith(status, name, "", "", page)
}

// again shows a form once more, with what was wrong with it. Errors that are nobody's fault are returned.
func (v *visit) again(err error, name string, page any) error {
	status, text := message(err)
	if text == "" {
		return err
	}
	v.showWith(status, name, text, fieldOf(err), page)
	return nil
}

func (v *visit) showWith(status int, name, problem, field string, page any) {
	var body bytes.Buffer
	err := pages[name].Execute(&body, view{
		Server: v.pages.ServerName, Style: v.pages.style, User: v.browser.UserID, Recent: v.browser.Recent, Token: v.token(), Here: v.here(),
		Error: problem, Field: field, Mails: v.pages.Accounts.CanMail(), Done: done[v.Query("done")], At: name, Ends: v.pages.Deactivate != nil,
		Links: v.pages.SSO != nil, Nets: len(v.pages.Networks.Bridges()) > 0, Again: v.stillThereButtons(), Page: page,
		Calls:   v.pages.Config.Calls != nil && v.browser.Admin,
		Contact: v.pages.contact, ContactName: v.pages.Config.Contact,
	})
	if err != nil {
		zerolog.Ctx(v.Context()).Err(fmt.Errorf("show the page %s: %w", name, err)).Send()
		status = http.StatusInternalServerError
		body.Reset()
		body.WriteString("<!doctype html><title>Error</title><p>Something went wrong on the server.")
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body.Bytes()) // the only error there can be is that the browser is gone
}

// done are the words for what was done, by what stands in the address of the page that says so.
var done = map[string]string{
	"name":     "Your name is changed.",
	"device":   "The device is signed out.",
	"password": "Your password is changed. Sign in with the new one.",
	"reset":    "Go back to your application within ten minutes, and finish there.",
	"signout":  "You are signed out in this browser.",
	"rename":   "The device has another name now.",
	"browser":  "The browser is signed out.",
	"browsers": "All other browsers are signed out.",
	"email":    "The address is yours now.",
	"noemail":  "The address is removed.",
	"linked":   "The account is linked.",
	"unlinked": "The account is not linked any more. You are signed out in all other browsers.",
	"first":    "You have a password now.",
	"netout":   "You are signed out of the network.",
	"netstop":  "You have not been signed in.",
	"netasked": "It is being asked for on the network. What comes of it is told in the room.",
	"netlink":  "The room is being connected.",
	"netend":   "The room is not connected any more. Those on the network leave it one after the other.",
	"netback":  "It is taken back.",
}

var style = func() []byte {
	css, err := files.ReadFile("html/style.css")
	if err != nil {
		panic(err)
	}
	return css
}()

// styleVersion changes with the style sheet.
func styleVersion() string {
	sum := sha256.Sum256(style)
	return hex.EncodeToString(sum[:6])
}

func serveStyle(_ context.Context, w http.ResponseWriter, _ *httpapi.Request) error {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(style)
	return nil
}
