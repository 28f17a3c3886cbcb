package clientapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/sso"
)

// ssoRedirect is GET /login/sso/redirect: it takes a browser to the page where its user chooses how to sign in.
func (a *API) ssoRedirect(_ context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if len(a.Accounts.IdentityProviders()) == 0 {
		return refusedInBrowser(w, r, httpapi.NotFound("Nobody signs in to this server elsewhere"))
	}
	return a.toSSO(w, r, sso.PathChoose, url.Values{})
}

// ssoRedirectTo is GET /login/sso/redirect/{idpId}: it takes a browser to a provider.
func (a *API) ssoRedirectTo(_ context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	for _, p := range a.Accounts.IdentityProviders() {
		if p.ID == r.Path("idpId") {
			return a.toSSO(w, r, sso.PathStart, url.Values{"provider": {p.ID}})
		}
	}
	return refusedInBrowser(w, r, httpapi.NotFound("There is no such identity provider"))
}

// toSSO has a browser go on at the server's own address, under which its cookies are.
func (a *API) toSSO(w http.ResponseWriter, r *httpapi.Request, path string, query url.Values) error {
	address := r.Query("redirectUrl")
	if address == "" {
		return refusedInBrowser(w, r, httpapi.Error(http.StatusBadRequest, "M_MISSING_PARAM", "The application has sent you here without an address to go back to (redirectUrl)."))
	}
	client, err := sso.CheckRedirect(address)
	if err != nil {
		return refusedInBrowser(w, r, httpapi.InvalidParam("%s", sso.RedirectProblem(err)))
	}
	query.Set("redirectUrl", client.String())
	if action := r.Query("action"); action == "login" || action == "register" {
		query.Set("action", action)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r.Request, strings.TrimSuffix(a.PublicURL, "/")+path+"?"+query.Encode(), http.StatusFound)
	return nil
}

// ssoStage shows the page of the stage m.login.sso.
func (a *API) ssoStage(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	session := r.Query("session")
	stage, err := a.Accounts.SSOStage(ctx, session)
	if err != nil {
		return err
	}
	p := page{FallbackPage: account.FallbackPage{Stage: stageSSO, Session: session, What: stage.What, User: stage.User, Done: stage.Done}}
	for _, provider := range stage.Providers {
		query := url.Values{"provider": {provider.ID}, "session": {session}}
		p.Providers = append(p.Providers, pageLink{Name: provider.Name, URL: strings.TrimSuffix(a.PublicURL, "/") + sso.PathStart + "?" + query.Encode()})
	}
	return writePage(w, http.StatusOK, "fallback", p, "")
}

// stageSSO is the type of the stage.
const stageSSO = "m.login.sso"
