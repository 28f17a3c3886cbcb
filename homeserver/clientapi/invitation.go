package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
)

// invitationPage is GET of the page that the link of an invitation leads to. Who has an account with the address may take the invitation
// there; others are told how to.
func (a *API) invitationPage(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if a.Identity == nil {
		return httpapi.Unrecognized()
	}
	p, err := a.Identity.Pending(ctx, r.Query("token"), r.Query("key"))
	if err != nil {
		return showRefusal(w, err)
	}
	view := confirmView{Title: "You have an invitation", Text: string(p.Sender) + " invites you. Make an account on " + a.ServerName + " with the address " + p.Address + ", or add it to yours: you find the invitation there."}
	if a.OAuth != nil {
		view.Next, view.NextName = a.OAuth.AccountURL()+"register/mail", "Make an account"
	}
	if p.User != "" {
		view.Next, view.NextName = "", ""
		view.Text = string(p.Sender) + " invites you. You can take the invitation with your account " + string(p.User) + ", and " + string(p.Sender) + " will see that it is yours."
		view.Button, view.Action, view.Ask = "Take the invitation", identity.InvitationPath, &asked{Fields: map[string]string{"token": p.Token, "key": p.Key}}
	}
	return show(w, http.StatusOK, view)
}

// takeInvitation is the button of that page.
func (a *API) takeInvitation(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if a.Identity == nil {
		return httpapi.Unrecognized()
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxConfirmBody)
	if err := r.ParseForm(); err != nil {
		return show(w, http.StatusBadRequest, confirmView{Title: "That did not work", Text: "Follow the link in the mail once more."})
	}
	p, err := a.Identity.Take(ctx, r.PostForm.Get("token"), r.PostForm.Get("key"))
	if err != nil {
		return showRefusal(w, err)
	}
	return show(w, http.StatusOK, confirmView{Title: "The invitation is yours", Text: "You find it where you use Matrix, as " + string(p.User) + "."})
}
