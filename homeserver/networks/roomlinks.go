package networks

import (
	"context"

	"maunium.net/go/mautrix/id"
)

// RoomLinks are the rooms that a user has connected with chats of a network, or may decide about.
type RoomLinks struct {
	Form  LinkForm   `json:"form"`
	Links []RoomLink `json:"links"`
}

// LinkForm is what has to be told to connect a room.
type LinkForm struct {
	Bot       id.UserID `json:"bot"` // to be invited before
	Places    []string  `json:"places"`
	PlaceName string    `json:"place_name"` // "" where there is nothing to choose
	ChatName  string    `json:"chat_name"`
	WhomName  string    `json:"whom_name"` // "" where nobody is asked
}

// RoomLink is that a room is connected with a chat, or that somebody has asked for that.
type RoomLink struct {
	Room    id.RoomID `json:"room_id"`
	Name    string    `json:"room_name"`
	Place   string    `json:"place"`
	Chat    string    `json:"chat"`
	State   string    `json:"state"`
	UntilTS int64     `json:"until_ts"` // while it is waited for
	MayEnd  bool      `json:"may_end"`
}

// States of a RoomLink.
const (
	LinkWaiting    = "waiting" // for somebody on the network
	LinkConnecting = "connecting"
	LinkConnected  = "connected"
	LinkEnding     = "ending"
	LinkRefused    = "refused"
	LinkUnanswered = "unanswered"
)

// LinkWish is a room and a chat as a user names them.
type LinkWish struct {
	Room  string `json:"room"` // ID or alias
	Place string `json:"place"`
	Chat  string `json:"chat"`
	Whom  string `json:"whom,omitempty"`
}

// RoomLinks tells which rooms of a user's are connected with a network.
func (s *Service) RoomLinks(ctx context.Context, user id.UserID, name string) (all RoomLinks, err error) {
	err = s.ask(ctx, lookWait, user, name, "GET", "/v3/room_links", nil, nil, &all)
	return all, err
}

// LinkRoom connects a room, or has that asked for. An error is one of the field that WrongField names, if it names one.
func (s *Service) LinkRoom(ctx context.Context, user id.UserID, name string, wish LinkWish) (link RoomLink, err error) {
	err = s.ask(ctx, stepWait, user, name, "POST", "/v3/room_links/link", nil, wish, &link)
	return link, err
}

// UnlinkRoom ends that a room is connected, or takes back what was asked for.
func (s *Service) UnlinkRoom(ctx context.Context, user id.UserID, name string, wish LinkWish) error {
	return s.ask(ctx, stepWait, user, name, "POST", "/v3/room_links/unlink", nil, wish, nil)
}
