package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"causeway/homeserver/event"
	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"golang.org/x/text/unicode/norm"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Bounds of invitations.
const (
	maxID      = 255 // bytes of a room or user id
	maxName    = 80  // runes of a name that goes into a mail
	invitesMS  = 180 * 24 * 60 * 60 * 1000
	maxSecrets = 100 // bytes of a private key in base64
)

// InviteRequest is the body of POST /store-invite. What else clients send is not looked at.
type InviteRequest struct {
	Medium     string    `json:"medium"`
	Address    string    `json:"address"`
	RoomID     id.RoomID `json:"room_id"`
	Sender     id.UserID `json:"sender"`
	RoomName   string    `json:"room_name,omitempty"`
	RoomAlias  string    `json:"room_alias,omitempty"`
	RoomAvatar string    `json:"room_avatar_url,omitempty"`
	RoomType   string    `json:"room_type,omitempty"`
	JoinRule   string    `json:"room_join_rules,omitempty"`
	SenderName string    `json:"sender_display_name,omitempty"`
	SenderPic  string    `json:"sender_avatar_url,omitempty"`
}

// InviteKey is a key by which an invitation is redeemed.
type InviteKey struct {
	PublicKey   string `json:"public_key"`
	ValidityURL string `json:"key_validity_url"`
}

// StoredInvite is the answer to POST /store-invite.
type StoredInvite struct {
	Token       string      `json:"token"`
	PublicKeys  []InviteKey `json:"public_keys"`
	DisplayName string      `json:"display_name"`
}

// StoreInvite keeps an invitation until the address is somebody's, and writes to it. Errors: M_MISSING_PARAMS, M_INVALID_PARAM,
// M_UNRECOGNIZED for what is no email address, M_INVALID_EMAIL, M_THREEPID_IN_USE with mxid, 403 M_FORBIDDEN, M_USER_SUSPENDED, 429 M_LIMIT_EXCEEDED.
func (s *Service) StoreInvite(ctx context.Context, by id.UserID, in InviteRequest) (out StoredInvite, err error) {
	address, err := in.check(by)
	if err != nil {
		return out, err
	}
	if !s.Mail.Sends(mail.Email) {
		return out, matrixError(400, "M_UNRECOGNIZED", "This server cannot send mail")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return out, fmt.Errorf("make an ephemeral key: %w", err)
	}
	ephemeral := base64.RawStdEncoding.EncodeToString(public)
	out = StoredInvite{Token: rand.Text() + rand.Text(), DisplayName: threepid.Redacted(address)}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := mayInvite(tx, by); err != nil {
			return err
		}
		user, err := tx.BindingOf(mail.Email, address)
		if err == nil {
			return mautrix.RespError{StatusCode: 400, ErrCode: "M_THREEPID_IN_USE", Err: "Binding already known", ExtraData: map[string]any{"mxid": user}}
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		key, err := s.key(tx)
		if err != nil {
			return err
		}
		const path = "/_matrix/identity/v2/pubkey/"
		out.PublicKeys = []InviteKey{
			{publicKey(key.Private), s.PublicURL + path + "isvalid"}, {ephemeral, s.PublicURL + path + "ephemeral/isvalid"},
		}
		err = tx.InsertIdentityInvite(store.IdentityInvite{Token: out.Token, Medium: mail.Email, Address: address, RoomID: in.RoomID, Sender: in.Sender,
			PublicKey: ephemeral, CreatedTS: s.Now().UnixMilli()})
		if err != nil {
			return err
		}
		return s.Mail.Queue(tx, mail.Message{Medium: mail.Email, Address: address, Requester: string(by),
			Letter: s.invitation(in, address, out.Token, base64.RawStdEncoding.EncodeToString(private.Seed()))})
	})
	if errors.Is(err, mail.ErrTooMany) {
		err = threepid.TooManyMessages()
	}
	return out, err
}

// mayInvite refuses a user of this homeserver who is suspended: nobody is written to in their name (Client-Server API, "Account suspension").
func mayInvite(tx *store.Tx, by id.UserID) error {
	user, err := tx.User(by)
	if errors.Is(err, store.ErrNotFound) {
		return nil // of another server
	}
	if err == nil && user.Suspended {
		err = matrixError(403, "M_USER_SUSPENDED", "You cannot do this while your account is suspended")
	}
	return err
}

func (in *InviteRequest) check(by id.UserID) (address string, err error) {
	for _, field := range []struct{ name, value string }{
		{"medium", in.Medium}, {"address", in.Address}, {"room_id", string(in.RoomID)}, {"sender", string(in.Sender)},
	} {
		if field.value == "" {
			return "", missingParam(field.name)
		}
	}
	switch {
	case in.Medium != mail.Email:
		return "", matrixError(400, "M_UNRECOGNIZED", "People are invited by email")
	case in.RoomID[0] != '!' || len(in.RoomID) > maxID || strings.ContainsRune(string(in.RoomID), 0):
		return "", matrixError(400, "M_INVALID_PARAM", "room_id is not a room ID")
	case in.Sender != by:
		return "", matrixError(403, "M_FORBIDDEN", "The access token is not that of the sender")
	}
	if address, err = threepid.Email(in.Address); err != nil {
		return "", matrixError(400, "M_INVALID_EMAIL", "address is not an email address")
	}
	return address, nil
}

// invitation is what the mail to an invited person says.
func (s *Service) invitation(in InviteRequest, address, token, private string) mail.Letter {
	who := string(in.Sender)
	if name := shownName(in.SenderName); name != "" {
		who = name + " (" + who + ")"
	}
	where := "a room"
	if in.RoomType == "m.space" {
		where = "a space"
	}
	if name := shownName(in.RoomName); name != "" {
		where = fmt.Sprintf("%s, “%s”,", where, name)
	}
	l := mail.Letter{
		Subject: "You have an invitation (" + s.ServerName + ")",
		Paragraphs: []string{
			fmt.Sprintf("%s invites you to %s on Matrix, an open network for messages.", who, where),
			fmt.Sprintf("To accept, follow the link; or make an account on %s with this address, or, if you have one, add this address to it: you find the invitation there.", s.ServerName),
			"If you do not know who this is, you need do nothing.",
		},
	}
	l.Link = s.PublicURL + InvitationPath + "?" + url.Values{"token": {token}, "key": {private}}.Encode()
	if s.Mail.WebClient != "" {
		signURL := s.PublicURL + "/_matrix/identity/v2/sign-ed25519?" + url.Values{"token": {token}, "private_key": {private}}.Encode()
		l.Link = strings.TrimRight(s.Mail.WebClient, "/") + "/#/room/" + url.PathEscape(string(in.RoomID)) + "?" + url.Values{
			"email": {address}, "signurl": {signURL}, "inviter_name": {shownName(in.SenderName)}, "room_name": {shownName(in.RoomName)},
		}.Encode()
	}
	l.LinkText = "See the invitation"
	return l
}

// shownName returns a name as it is put into a mail, "" when it is better left out: a name that is an advertisement with an address in it
// is to win nothing by having this server send it.
func shownName(name string) string {
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName]) + "…"
	}
	if strings.ContainsRune(name, '@') || strings.Contains(name, "://") || hostPattern.MatchString(norm.NFKC.String(name)) {
		return ""
	}
	return name
}

// hostPattern is of what programs that show mail make a link of: a name with a dot in it, be that one of another script.
var hostPattern = regexp.MustCompile(`[\pL\pN][.。][\pL\pN]`)

// SignedInvite is an invitation that the service has signed for a user.
type SignedInvite struct {
	RoomID id.RoomID
	Sender id.UserID
	User   id.UserID
	Token  string
	Signed json.RawMessage // {mxid, sender, token, signatures}
}

// SignRequest is the body of POST /sign-ed25519.
type SignRequest struct {
	MXID    id.UserID `json:"mxid"`
	Token   string    `json:"token"`
	Private string    `json:"private_key"`
}

// Sign signs that a user has an invitation, with the key that came with it. Errors: M_MISSING_PARAMS, M_INVALID_PARAM, 404 M_UNRECOGNIZED.
func (s *Service) Sign(ctx context.Context, in SignRequest) (json.RawMessage, error) {
	switch {
	case in.MXID == "":
		return nil, missingParam("mxid")
	case in.Token == "":
		return nil, missingParam("token")
	case in.Private == "":
		return nil, missingParam("private_key")
	case len(in.Private) > maxSecrets || !event.ValidUserID(string(in.MXID)):
		return nil, matrixError(400, "M_INVALID_PARAM", "mxid or private_key is none")
	}
	seed, err := base64.RawStdEncoding.DecodeString(standard(in.Private))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, matrixError(400, "M_INVALID_PARAM", "private_key is not a key")
	}
	var invite store.IdentityInvite
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		invite, err = tx.IdentityInvite(in.Token)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixError(404, "M_UNRECOGNIZED", "Didn't recognize token")
	}
	if err != nil {
		return nil, err
	}
	return signInvite(invite, in.MXID, &event.Key{ServerName: s.name, KeyID: keyID, Private: ed25519.NewKeyFromSeed(seed)})
}

func signInvite(invite store.IdentityInvite, user id.UserID, key *event.Key) (json.RawMessage, error) {
	raw, err := json.Marshal(map[string]any{"mxid": user, "sender": invite.Sender, "token": invite.Token})
	if err != nil {
		return nil, err
	}
	return event.SignJSON(raw, key)
}
