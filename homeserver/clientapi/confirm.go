package clientapi

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
)

// maxConfirmBody bounds the form of the page, in bytes.
const maxConfirmBody = 4 << 10

// confirmHTML is the page that the link of a mail leads to. Following the link does nothing yet: programs that look through people's mail
// follow links.
var confirmHTML = template.Must(template.New("confirm").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><meta name="color-scheme" content="light dark"><title>{{.Title}}</title>
<style>
:root{--page:#f4f5f7;--card:#fff;--text:#17191c;--faint:#dfe3e8;--main:#14572f;--on:#fff;--link:#0b5aa6}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1e2226;--text:#eceef0;--faint:#343a41;--main:#7fd6a0;--on:#0c2616;--link:#8cc2ff}}
html{font:100%/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;background:var(--page);color:var(--text)}
body{margin:0;padding:3.5rem 1rem 3rem;overflow-wrap:anywhere}
main{max-width:42rem;margin:0 auto;box-sizing:border-box;background:var(--card);border:1px solid var(--faint);border-radius:.75rem;padding:1.5rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}p:last-child{margin-bottom:0}a{color:var(--link)}
button{font:inherit;font-weight:600;width:100%;min-height:2.75rem;padding:.65rem 1.25rem;border:0;border-radius:.5rem;background:var(--main);color:var(--on);cursor:pointer}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
</style>
</head><body><main><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{if .Ask}}<form method="post" action="{{.Action}}">{{range $name, $value := .Ask.Fields}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<button type="submit">{{.Button}}</button></form>
<p>If you have not asked for this, close this page.</p>{{end}}
{{if .Next}}<p><a href="{{.Next}}" rel="noreferrer">{{or .NextName "Go on"}}</a></p>{{end}}</main></body></html>
`))

type confirmView struct {
	Title, Text, Button, Action, Next string
	NextName                          string // of the link Next, "" for "Go on"
	Ask                               *asked // nil where there is nothing to ask
}

// asked is what the form of a page sends, and where who has sent it is led.
type asked struct {
	Fields map[string]string
	Next   string
}

// confirmPage is GET of the page that the link of a mail leads to.
func (a *API) confirmPage(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	c, err := a.Threepids.Confirmation(ctx, r.Query("sid"), r.Query("token"))
	if err != nil {
		return showRefusal(w, err)
	}
	if c.Validated {
		return show(w, http.StatusOK, confirmed(c))
	}
	view := confirmView{Title: "Is this your address?", Text: "Somebody wants to use " + c.Address + " on " + a.ServerName + ".", Button: "Yes, confirm it", Action: threepid.ConfirmPath,
		Ask: &asked{Fields: map[string]string{"sid": c.SID, "token": c.Token}, Next: c.NextLink}}
	switch {
	case c.Purpose == threepid.Password:
		view.Title, view.Button = "Choose a new password?", "Yes, that was me"
		view.Text = "Somebody wants to choose a new password for the account with " + c.Address + " on " + a.ServerName + "."
	case c.User != "":
		view.Text = string(c.User) + " wants to use " + c.Address + " on " + a.ServerName + "."
	}
	return show(w, http.StatusOK, view)
}

// confirm is the button of that page.
func (a *API) confirm(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxConfirmBody)
	if err := r.ParseForm(); err != nil {
		return show(w, http.StatusBadRequest, confirmView{Title: "That did not work", Text: "Follow the link in the mail once more."})
	}
	c, err := a.Threepids.Confirm(ctx, r.PostForm.Get("sid"), r.PostForm.Get("token"))
	if err != nil {
		return showRefusal(w, err)
	}
	if c.NextLink != "" {
		w.Header().Set("Location", c.NextLink)
		return show(w, http.StatusSeeOther, confirmed(c))
	}
	return show(w, http.StatusOK, confirmed(c))
}

func confirmed(c threepid.Confirmation) confirmView {
	view := confirmView{Title: "Your address is confirmed", Text: "Go back to where you began, and go on there. You can close this page.", Next: c.NextLink}
	if c.Purpose == threepid.Password {
		view.Title = "Confirmed"
	}
	return view
}

func showRefusal(w http.ResponseWriter, err error) error {
	var refused mautrix.RespError
	if !errors.As(err, &refused) {
		return err
	}
	text := "The link is not valid, or has served already."
	if refused.ErrCode == "M_SESSION_EXPIRED" {
		text = "The link has expired. Begin anew where you began."
	}
	return show(w, refused.StatusCode, confirmView{Title: "That did not work", Text: text})
}

// show writes a page. Nothing of it is kept, framed, or told to others: its address holds a token.
func show(w http.ResponseWriter, status int, view confirmView) error {
	var page bytes.Buffer
	if err := confirmHTML.Execute(&page, view); err != nil {
		return err
	}
	formAction, next := "'self'", view.Next
	if view.Ask != nil {
		next = view.Ask.Next
	}
	if u, err := url.Parse(next); err == nil && u.Host != "" {
		formAction += " " + u.Scheme + "://" + u.Host // the redirect after the form is one of its targets
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	httpapi.SetPageHeaders(h, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action "+formAction, "no-referrer")
	w.WriteHeader(status)
	_, err := w.Write(page.Bytes())
	return err
}
