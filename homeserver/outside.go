package homeserver

import (
	"context"
	"crypto/ed25519"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
	"causeway/homeserver/identityapi"
	"causeway/homeserver/mail"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// The configuration of what reaches people outside of Matrix, under names that need no further import.
type (
	// MailConfig says by which server mail goes out.
	MailConfig = mail.Config
	// SMSConfig says by which gateway text messages go out.
	SMSConfig = mail.SMSConfig
	// IdentityConfig says which identity service there is.
	IdentityConfig = identity.Config
)

// DefaultMail, DefaultSMS and DefaultIdentity are what holds where the operator says nothing.
var (
	DefaultMail     = mail.DefaultConfig
	DefaultSMS      = mail.DefaultSMSConfig
	DefaultIdentity = identity.DefaultConfig
)

// outside is what reaches people outside of Matrix.
type outside struct {
	emailRequired bool
	threepids     *threepid.Service
	service       *identity.Service // nil for none, or another server's
	gateway       *identity.Gateway // nil for none
}

// newOutside makes the parts that reach people outside of Matrix. The accounts and rooms of s, which are made later, are asked by then.
func (s *Server) newOutside(c Config) *outside {
	s.mail = mail.New(mail.Options{Config: c.Mail, SMS: c.SMS, ServerName: c.ServerName, DB: c.DB, Roots: c.Roots})
	o := &outside{emailRequired: c.EmailRequired}
	o.threepids = threepid.New(threepid.Options{DB: c.DB, Mail: s.mail, ServerName: c.ServerName, PublicURL: c.PublicURL})
	switch server := c.Identity.Server; {
	case server == identity.BuiltIn, server == identity.Auto && s.mail.Sends(mail.Email):
		o.service = identity.New(identity.Options{
			Config: c.Identity, ServerName: c.ServerName, PublicURL: c.PublicURL, DB: c.DB, Mail: s.mail, Threepids: o.threepids,
			OpenID: func(ctx context.Context, server, token string) (id.UserID, error) {
				if server != c.ServerName {
					return "", mautrix.RespError{StatusCode: http.StatusUnauthorized, ErrCode: "M_UNAUTHORIZED",
						Err: "This server does not federate yet: it cannot ask " + server}
				}
				return s.Accounts.OpenIDUser(ctx, token)
			},
			Keys: func(_ context.Context, server, keyID string) (ed25519.PublicKey, bool) {
				if server != c.ServerName || keyID != c.Key.KeyID {
					return nil, false
				}
				return c.Key.Private.Public().(ed25519.PublicKey), true
			},
			Redeem: func(ctx context.Context, in identity.SignedInvite) error {
				return s.rooms.Redeem(ctx, in.RoomID, room.Redemption{Sender: in.Sender, User: in.User, Token: in.Token, Signed: in.Signed})
			},
		})
		s.identity = o.service
		o.gateway = identity.NewGateway(o.service)
	case server == "", server == identity.Auto, server == identity.Off:
	default:
		o.gateway = identity.NewRemoteGateway(server, c.Key, nil)
	}
	return o
}

// accounts completes the configuration of the accounts.
func (o *outside) accounts(c account.Config) account.Config {
	c.EmailRequired, c.Threepids = o.emailRequired, o.threepids
	if o.gateway != nil {
		c.Identities = o.gateway
	}
	if o.service != nil {
		c.Owned = func(tx *store.Tx, user id.UserID, medium, address string) error {
			return o.service.Claim(tx, user, medium, address)
		}
	}
	return c
}

// rooms is the identity service as package room wants it, nil for none.
func (o *outside) rooms() room.Identities {
	if o.gateway == nil {
		return nil
	}
	return finder{o.gateway}
}

func (o *outside) identityURL() string {
	if o.gateway == nil {
		return ""
	}
	return o.gateway.BaseURL()
}

// routes are those of the built-in identity service.
func (o *outside) routes() []httpapi.Route {
	if o.service == nil {
		return nil
	}
	return (&identityapi.API{Identity: o.service, Threepids: o.threepids}).Routes()
}

// finder is a Gateway that speaks as package room does.
type finder struct{ *identity.Gateway }

// Store implements room.Identities.
func (f finder) Store(ctx context.Context, token string, in room.Invitation) (room.StoredInvitation, error) {
	stored, err := f.Gateway.Store(ctx, token, identity.InviteRequest{
		Medium: in.Medium, Address: in.Address, RoomID: in.Room.RoomID, Sender: in.Sender, SenderName: in.SenderName,
		RoomName: in.Room.Name, RoomAlias: string(in.Room.CanonicalAlias), RoomAvatar: in.Room.AvatarURL, RoomType: in.Room.RoomType,
		JoinRule: in.Room.JoinRule,
	})
	out := room.StoredInvitation{Token: stored.Token, DisplayName: stored.DisplayName}
	for _, k := range stored.PublicKeys {
		out.Keys = append(out.Keys, room.InvitationKey{PublicKey: k.PublicKey, ValidityURL: k.ValidityURL})
	}
	return out, err
}
