//go:build goolm

package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"sync"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/cryptohelper"
	"maunium.net/go/mautrix/crypto/verificationhelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
	_ "modernc.org/sqlite" // the driver
)

// gopher is the client, which is there once it has logged in.
type gopher struct {
	password string
	client   *mautrix.Client
	helper   *cryptohelper.CryptoHelper
	verifier *verificationhelper.VerificationHelper
}

type loginArgs struct {
	BaseURL  string      `json:"base_url"`
	Username string      `json:"username"`
	Password string      `json:"password"`
	DeviceID id.DeviceID `json:"device_id"`
}

type session struct {
	UserID   id.UserID   `json:"user_id"`
	DeviceID id.DeviceID `json:"device_id"`
}

// login logs in with a password.
func (g *gopher) login(ctx context.Context, in loginArgs) (any, error) {
	client, err := mautrix.NewClient(in.BaseURL, "", "")
	if err != nil {
		return nil, err
	}
	_, err = client.Login(ctx, &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: in.Username},
		Password: in.Password, DeviceID: in.DeviceID, StoreCredentials: true,
	})
	if err != nil {
		return nil, err
	}
	g.password = in.Password
	return g.begin(ctx, client, nil)
}

type puppetArgs struct {
	BaseURL string    `json:"base_url"`
	UserID  id.UserID `json:"user_id"`
	Token   string    `json:"as_token"`
}

// puppet is login for a user of an application service, which makes a device without logging in (MSC4190), and acts as it (MSC4326).
func (g *gopher) puppet(ctx context.Context, in puppetArgs) (any, error) {
	client, err := mautrix.NewClient(in.BaseURL, in.UserID, in.Token)
	if err != nil {
		return nil, err
	}
	client.SetAppServiceUserID = true
	return g.begin(ctx, client, func(helper *cryptohelper.CryptoHelper) {
		helper.MSC4190, helper.LoginAs = true, &mautrix.ReqLogin{InitialDeviceDisplayName: "gopher"}
	})
}

// begin publishes keys, and returns when the first answer of /sync was processed. change, if not nil, may change how it has a device.
func (g *gopher) begin(ctx context.Context, client *mautrix.Client, change func(*cryptohelper.CryptoHelper)) (any, error) {
	client.Log = zerolog.New(os.Stderr).With().Timestamp().Stringer("user", client.UserID).Logger()
	ctx = client.Log.WithContext(ctx)
	g.client = client
	syncer := &firstSyncer{DefaultSyncer: mautrix.NewDefaultSyncer(), first: make(chan struct{})}
	client.Syncer = syncer
	// What mautrix-go keeps in memory alone takes those who have left a room for its members. A connection each would be a database each.
	db, err := sql.Open("sqlite", ":memory:?_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	stores, err := dbutil.NewWithDB(db, "sqlite3")
	if err != nil {
		return nil, err
	}
	if g.helper, err = cryptohelper.NewCryptoHelper(client, []byte("pickle"), stores); err != nil {
		return nil, err
	}
	if change != nil {
		change(g.helper)
	}
	if err := g.helper.Init(ctx); err != nil {
		return nil, err
	}
	client.Crypto = g.helper
	g.verifier = verificationhelper.NewVerificationHelper(client, g.helper.Machine(), nil, callbacks{}, false, false, true)
	if err := g.verifier.Init(ctx); err != nil {
		return nil, err
	}
	client.Verification = g.verifier
	ended := make(chan error, 1)
	go func() { ended <- client.SyncWithContext(ctx) }()
	select {
	case <-syncer.first:
	case err := <-ended:
		return nil, errors.Join(errors.New("the sync ended"), err)
	}
	return session{client.UserID, client.DeviceID}, nil
}

// firstSyncer tells when the first answer of /sync was processed.
type firstSyncer struct {
	*mautrix.DefaultSyncer
	once  sync.Once
	first chan struct{}
}

// ProcessResponse implements mautrix.Syncer.
func (s *firstSyncer) ProcessResponse(ctx context.Context, answer *mautrix.RespSync, since string) error {
	defer s.once.Do(func() { close(s.first) })
	return s.DefaultSyncer.ProcessResponse(ctx, answer, since)
}

func (g *gopher) logout(ctx context.Context, _ struct{}) (any, error) {
	g.client.StopSync()
	_, err := g.client.Logout(ctx)
	return nil, err
}

type roomArgs struct {
	RoomID  id.RoomID   `json:"room_id"`
	Invite  []id.UserID `json:"invite"`
	Body    string      `json:"body"`
	EventID id.EventID  `json:"event_id"`
}

// createRoom makes an encrypted room.
func (g *gopher) createRoom(ctx context.Context, in roomArgs) (any, error) {
	stateKey := ""
	made, err := g.client.CreateRoom(ctx, &mautrix.ReqCreateRoom{
		Preset: "private_chat", Invite: in.Invite,
		InitialState: []*event.Event{{Type: event.StateEncryption, StateKey: &stateKey, Content: event.Content{
			Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1},
		}}},
	})
	if err != nil {
		return nil, err
	}
	return roomArgs{RoomID: made.RoomID}, nil
}

func (g *gopher) join(ctx context.Context, in roomArgs) (any, error) {
	_, err := g.client.JoinRoomByID(ctx, in.RoomID)
	return nil, err
}

// members returns who is in a room as far as the client knows, or nobody as long as it does not know that the room is encrypted.
func (g *gopher) members(ctx context.Context, in roomArgs) (any, error) {
	encrypted, err := g.client.StateStore.IsEncrypted(ctx, in.RoomID)
	if err != nil || !encrypted {
		return []id.UserID{}, err
	}
	members, err := g.client.StateStore.GetAllMembers(ctx, in.RoomID)
	all := []id.UserID{}
	for user, member := range members {
		if member.Membership == event.MembershipJoin {
			all = append(all, user)
		}
	}
	slices.Sort(all)
	return all, err
}

func (g *gopher) say(ctx context.Context, in roomArgs) (any, error) {
	sent, err := g.client.SendMessageEvent(ctx, in.RoomID, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: in.Body})
	if err != nil {
		return nil, err
	}
	return roomArgs{EventID: sent.EventID}, nil
}

type reading struct {
	Body string `json:"body,omitempty"`
	// Failure is why the message cannot be read.
	Failure string `json:"failure,omitempty"`
	Trust   string `json:"trust,omitempty"`
}

// read returns what an encrypted message says, as far as the client has its key by now.
func (g *gopher) read(ctx context.Context, in roomArgs) (any, error) {
	e, err := g.client.GetEvent(ctx, in.RoomID, in.EventID)
	if err != nil {
		return nil, err
	}
	if e.Type.Type != event.EventEncrypted.Type {
		return nil, errors.New("the message is not encrypted, but of type " + e.Type.Type)
	}
	e.Type.Class = event.MessageEventType
	if err := e.Content.ParseRaw(e.Type); err != nil {
		return nil, err
	}
	clear, err := g.helper.Machine().DecryptMegolmEvent(ctx, e)
	if err != nil {
		return reading{Failure: err.Error()}, nil
	}
	return reading{Body: clear.Content.AsMessage().Body, Trust: clear.Mautrix.TrustState.String()}, nil
}

type userArgs struct {
	UserID   id.UserID   `json:"user_id"`
	DeviceID id.DeviceID `json:"device_id"`
}

// devices returns the devices of a user that the client knows.
func (g *gopher) devices(ctx context.Context, in userArgs) (any, error) {
	devices, err := g.helper.Machine().CryptoStore.GetDevices(ctx, in.UserID)
	all := []id.DeviceID{}
	for device := range devices {
		all = append(all, device)
	}
	slices.Sort(all)
	return all, err
}
