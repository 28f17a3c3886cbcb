package accountpages

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// errNotFollowed is for who says to have followed a link that nobody has.
func errNotFollowed() error {
	return httpapi.Error(http.StatusConflict, "M_SESSION_NOT_VALIDATED", "The link has not been followed yet, or the button behind it has not been pressed.")
}

// errStaleProof has somebody begin anew whose proof has expired, has served, or was asked for in another browser.
func errStaleProof() error {
	return httpapi.Error(http.StatusNotFound, "M_NO_VALID_SESSION",
		"This has expired, has served already, or was begun in another browser: go on there, or begin anew here.")
}

// elsewhere tells somebody to go on where they began who has followed the link of a mail in another browser, and confirmed the address there.
// It returns true then.
func (p *Pages) elsewhere(ctx context.Context, v *visit, purpose account.Purpose, sid, what string) (told bool, err error) {
	if sid == "" {
		return false, nil
	}
	if _, err := p.Accounts.Proof(ctx, purpose, sid, v.secretFor(what), v.browser.UserID); err == nil {
		return false, nil
	}
	confirmed, err := p.Accounts.Confirmed(ctx, purpose, sid)
	if err == nil && confirmed {
		v.show(http.StatusOK, "done", donePage{Title: "The address is confirmed", Text: "Go on in the browser in which you began. You can close this page."})
	}
	return confirmed, err
}
