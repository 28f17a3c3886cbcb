package clientapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// loginPage is GET /_matrix/static/client/login/ (Client-Server API, Login Fallback).
func (a *API) loginPage(_ context.Context, w http.ResponseWriter, _ *httpapi.Request) error {
	var p page
	for _, provider := range a.Accounts.IdentityProviders() {
		p.Providers = append(p.Providers, pageLink{Name: provider.Name, URL: "/_matrix/client/v3/login/sso/redirect/" + provider.ID})
	}
	return writePage(w, http.StatusOK, "login", p, "")
}

// fallbackPage is GET /auth/{type}/fallback/web (Client-Server API, Fallback).
func (a *API) fallbackPage(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if r.Path("type") == stageSSO {
		if err := a.ssoStage(ctx, w, r); err != nil {
			return refusedInBrowser(w, r, err)
		}
		return nil
	}
	p, err := a.Accounts.Fallback(r.Path("type"), r.Query("session"), language(r))
	if err != nil {
		return refusedInBrowser(w, r, err)
	}
	return writeFallback(w, http.StatusOK, p)
}

// completeFallback is POST /auth/{type}/fallback/web: the form of that page.
func (a *API) completeFallback(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	body, err := r.ReadBody()
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return httpapi.InvalidParam("The body is not a form")
	}
	p, err := a.Accounts.CompleteFallback(ctx, r.Path("type"), r.Query("session"), language(r), account.FallbackAnswer{
		Password: form.Get("password"), Token: form.Get("token"), Captcha: form.Get("g-recaptcha-response"),
		Accepted: form.Get("accepted") != "", ClientIP: r.ClientIP(),
	})
	if err != nil {
		return refusedInBrowser(w, r, err)
	}
	status := http.StatusOK
	if !p.Done {
		status = http.StatusForbidden
	}
	return writeFallback(w, status, p)
}

func writeFallback(w http.ResponseWriter, status int, p account.FallbackPage) error {
	captcha := ""
	if !p.Done {
		captcha = p.ScriptURL
	}
	return writePage(w, status, "fallback", page{FallbackPage: p}, captcha)
}

// language is the first of the languages that a browser asks for, without its region.
func language(r *httpapi.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	first, _, _ = strings.Cut(first, ";")
	first, _, _ = strings.Cut(strings.TrimSpace(first), "-")
	return first
}
