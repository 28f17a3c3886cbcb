package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// register is POST /register.
func (a *API) register(ctx context.Context, r *httpapi.Request, in account.RegisterRequest) (account.Login, error) {
	in.Kind = r.Query("kind")
	in.AppServiceToken, in.ClientIP = bearer(r), r.ClientIP()
	if in.Kind == "guest" || !in.ByAppService() && in.Auth != nil {
		// Another request without auth only asks which flows there are.
		if err := r.LimitClient(httpapi.ClassRegister); err != nil {
			return account.Login{}, err
		}
	} else if !in.ByAppService() && (in.Username != "" || in.GuestToken != "") {
		// It tells who is there, too.
		if err := r.LimitClient(httpapi.ClassDirectory); err != nil {
			return account.Login{}, err
		}
	}
	login, err := a.Accounts.Register(ctx, in)
	return login, challenge(err)
}

type availableResponse struct {
	Available bool `json:"available"`
}

// available is GET /register/available.
func (a *API) available(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (availableResponse, error) {
	if !r.HasQuery("username") {
		return availableResponse{}, httpapi.MissingParam("username")
	}
	return availableResponse{Available: true}, a.Accounts.MayRegister(ctx, r.Query("username"))
}

type validityResponse struct {
	Valid bool `json:"valid"`
}

// registrationTokenValidity is GET /register/m.login.registration_token/validity.
func (a *API) registrationTokenValidity(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (out validityResponse, err error) {
	if !r.HasQuery("token") {
		return out, httpapi.MissingParam("token")
	}
	out.Valid, err = a.Accounts.TokenValid(ctx, r.Query("token"))
	return out, err
}
