package provisioning

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"
)

// RoomLinker is implemented by a network whose chats people can connect with rooms that they have already. All errors that are the
// asking person's to know are mautrix.RespErrors; an error of one field of a form has its name under "field".
type RoomLinker interface {
	// LinkForm says what has to be told to connect a room.
	LinkForm() LinkForm
	// RoomLinks lists what a person has asked for, and the links of the rooms about which they may decide; nothing about rooms that
	// they are not in.
	RoomLinks(ctx context.Context, user *bridgev2.User) ([]RoomLink, error)
	// LinkRoom connects a room with a chat, or asks on the network whether it may be. It returns what has come of that.
	LinkRoom(ctx context.Context, user *bridgev2.User, room id.RoomID, wish LinkWish) (RoomLink, error)
	// UnlinkRoom ends a link, or takes back what was asked for.
	UnlinkRoom(ctx context.Context, user *bridgev2.User, room id.RoomID, wish LinkWish) error
}

// LinkForm is what a person tells to connect a room.
type LinkForm struct {
	// Bot is to be invited to the room before.
	Bot id.UserID `json:"bot"`
	// Places are of what Place can be, nil where there is nothing to choose; PlaceName and ChatName are what a place and a chat are called.
	Places    []string `json:"places,omitempty"`
	PlaceName string   `json:"place_name,omitempty"`
	ChatName  string   `json:"chat_name"`
	// WhomName is what those are called who can be asked on the network, "" where nobody is.
	WhomName string `json:"whom_name,omitempty"`
}

// LinkWish is a chat, as a person names it.
type LinkWish struct {
	// Room is an ID or an alias.
	Room  string `json:"room"`
	Place string `json:"place"`
	Chat  string `json:"chat"`
	// Whom is to be asked, "" for whoever can be.
	Whom string `json:"whom,omitempty"`
}

// States of a RoomLink.
const (
	RoomLinkWaiting    = "waiting"    // for somebody on the network to allow it, until UntilTS
	RoomLinkConnecting = "connecting" // it is allowed, or needs not be
	RoomLinkConnected  = "connected"
	RoomLinkEnding     = "ending"
	RoomLinkRefused    = "refused"    // on the network
	RoomLinkUnanswered = "unanswered" // nobody there could be asked, or has answered
)

// RoomLink is that a room is connected with a chat, or that somebody has asked for that.
type RoomLink struct {
	Room    id.RoomID `json:"room_id"`
	Name    string    `json:"room_name,omitempty"`
	Place   string    `json:"place"`
	Chat    string    `json:"chat"`
	State   string    `json:"state"`
	AskedBy id.UserID `json:"asked_by"`
	UntilTS int64     `json:"until_ts,omitempty"`
	// MayEnd tells that the person may end it, or take it back.
	MayEnd bool `json:"may_end"`
}

// maxLinkField bounds what is told of a chat, in bytes.
const maxLinkField = 500

// linker is the network, if rooms can be connected with its chats.
func (a *API) linker() (RoomLinker, error) {
	if linker, ok := a.bridge.Network.(RoomLinker); ok {
		return linker, nil
	}
	return nil, mautrix.MUnrecognized.WithMessage("Rooms are not connected with this network by hand")
}

// roomLinks is GET /v3/room_links, which bridgev2 does not have, as all that follows.
func (a *API) roomLinks(ctx context.Context, p person) (any, error) {
	linker, err := a.linker()
	if err != nil {
		return nil, err
	}
	links, err := linker.RoomLinks(ctx, p.User)
	if err != nil {
		return nil, linkError(ctx, err)
	}
	return struct {
		Form  LinkForm   `json:"form"`
		Links []RoomLink `json:"links"`
	}{linker.LinkForm(), append([]RoomLink{}, links...)}, nil
}

// linkRoom is POST /v3/room_links/link. What it has begun goes on when who asked for it has gone.
func (a *API) linkRoom(ctx context.Context, p person) (any, error) {
	linker, room, wish, err := a.wish(ctx, p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createWait)
	defer cancel()
	link, err := linker.LinkRoom(ctx, p.User, room, wish)
	return link, linkError(ctx, err)
}

// unlinkRoom is POST /v3/room_links/unlink.
func (a *API) unlinkRoom(ctx context.Context, p person) (any, error) {
	linker, room, wish, err := a.wish(ctx, p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createWait)
	defer cancel()
	return struct{}{}, linkError(ctx, linker.UnlinkRoom(ctx, p.User, room, wish))
}

// linkError is an error as the person hears it: what is not theirs to know is in the log.
func linkError(ctx context.Context, err error) error {
	if _, theirs := errors.AsType[mautrix.RespError](err); err == nil || theirs {
		return err
	}
	zerolog.Ctx(ctx).Err(err).Msg("Connect a room with a chat, or end that")
	return mautrix.MUnknown.WithMessage("It did not work; try again later").WithStatus(http.StatusInternalServerError)
}

// wish reads what somebody wants of a room.
func (a *API) wish(ctx context.Context, p person) (linker RoomLinker, room id.RoomID, wish LinkWish, err error) {
	if linker, err = a.linker(); err != nil {
		return nil, "", wish, err
	}
	if err := decode(p, &wish); err != nil {
		return nil, "", wish, err
	}
	for name, field := range map[string]*string{"room": &wish.Room, "place": &wish.Place, "chat": &wish.Chat, "whom": &wish.Whom} {
		if *field = strings.TrimSpace(*field); len(*field) > maxLinkField {
			return nil, "", wish, wrongField(name, "This is too long")
		}
	}
	switch {
	case strings.HasPrefix(wish.Room, "!"):
		return linker, id.RoomID(wish.Room), wish, nil
	case strings.HasPrefix(wish.Room, "#") && strings.Contains(wish.Room, ":"):
		room, err = a.roomOf(ctx, id.RoomAlias(wish.Room))
		switch {
		case errors.Is(err, mautrix.MNotFound):
			err = wrongField("room", "There is no room of this address")
		case err != nil:
			zerolog.Ctx(ctx).Warn().Err(err).Msg("look for the room of an address")
			err = wrongField("room", "It cannot be found out which room this is")
		}
		return linker, room, wish, err
	}
	return nil, "", wish, wrongField("room", "A room is told by its ID, which begins with !, or by an address such as #room:example.org")
}
