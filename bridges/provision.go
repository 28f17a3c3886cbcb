package bridges

import (
	"context"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// ProvisioningPath is below which a bridge has its provisioning API (package provisioning), for the homeserver alone: a request has the
// hs_token, and names in user_id whom the homeserver has found it to come from.
const ProvisioningPath = "/_causeway/provisioning"

// provision answers requests of people who sign in and start chats.
func (b *Bridge) provision(w http.ResponseWriter, r *http.Request) {
	if !b.conn.AS.CheckServerToken(w, r) {
		return
	}
	if reason, out := b.policies.excluded(id.UserID(r.URL.Query().Get("user_id"))); out {
		mautrix.MForbidden.WithMessage("You cannot use this bridge: %s", excludedText(reason)).Write(w)
		return
	}
	http.StripPrefix(ProvisioningPath, b.logins).ServeHTTP(w, r)
}

// formKey marks the context of logins by forms.
type formKey struct{}

// ByForm tells whether somebody logs in by a form, which has the fields of a step beside each other and can leave one empty, rather than
// by commands in a room. It is of the context that a login flow is given.
func ByForm(ctx context.Context) bool { return ctx.Value(formKey{}) != nil }

// withForm marks a context as that of forms.
func withForm(ctx context.Context) context.Context { return context.WithValue(ctx, formKey{}, true) }
