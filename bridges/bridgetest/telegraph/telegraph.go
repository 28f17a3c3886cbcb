// Package telegraph is a network for tests, that of a connector of bridgev2: it has a way to sign in for each kind of step, and people to
// talk to, and lives in memory alone. It imports mautrix-go only, so that a copy of it is a module of its own.
package telegraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.mau.fi/util/configupgrade"
	"go.mau.fi/util/ptr"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
)

// Connector is the network.
type Connector struct {
	br *bridgev2.Bridge

	mu     sync.Mutex               // guards what follows
	paired map[string]chan struct{} // what waits for a code to be entered elsewhere
}

var _ bridgev2.NetworkConnector = (*Connector)(nil)

// Init implements bridgev2.NetworkConnector.
func (c *Connector) Init(br *bridgev2.Bridge) { c.br = br }

// Start implements bridgev2.NetworkConnector.
func (c *Connector) Start(context.Context) error { return nil }

// GetBridgeInfoVersion implements bridgev2.NetworkConnector.
func (c *Connector) GetBridgeInfoVersion() (info, capabilities int) { return 1, 1 }

// GetName implements bridgev2.NetworkConnector.
func (c *Connector) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{DisplayName: "Telegraph", NetworkID: "telegraph", BeeperBridgeType: "telegraph", DefaultPort: 29998}
}

// GetDBMetaTypes implements bridgev2.NetworkConnector.
func (c *Connector) GetDBMetaTypes() database.MetaTypes { return database.MetaTypes{} }

// GetConfig implements bridgev2.NetworkConnector.
func (c *Connector) GetConfig() (example string, data any, upgrader configupgrade.Upgrader) {
	return "", nil, configupgrade.NoopUpgrader
}

// GetCapabilities implements bridgev2.NetworkConnector.
func (c *Connector) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	can := new(bridgev2.NetworkGeneralCapabilities)
	can.Provisioning.ResolveIdentifier = bridgev2.ResolveIdentifierCapabilities{CreateDM: true, LookupUsername: true, LookupPhone: true}
	return can
}

// LoadUserLogin implements bridgev2.NetworkConnector.
func (c *Connector) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	login.Client = &office{c, login}
	return nil
}

// office is a person's account.
type office struct {
	c     *Connector
	login *bridgev2.UserLogin
}

// Connect implements bridgev2.NetworkAPI. How it goes is in the name.
func (o *office) Connect(context.Context) {
	state := status.BridgeState{StateEvent: status.StateConnected}
	switch o.login.RemoteName {
	case "shaky":
		state = status.BridgeState{StateEvent: status.StateTransientDisconnect, Error: "telegraph-storm", Message: "there is a storm over the Channel"}
	case "expired":
		state = status.BridgeState{StateEvent: status.StateBadCredentials}
	case "broken":
		state = status.BridgeState{StateEvent: status.StateUnknownError, Error: "telegraph-cable", Message: "the cable is cut"}
	}
	o.login.BridgeState.Send(state)
}

// Disconnect implements bridgev2.NetworkAPI.
func (o *office) Disconnect() {}

// IsLoggedIn implements bridgev2.NetworkAPI.
func (o *office) IsLoggedIn() bool { return true }

// LogoutRemote implements bridgev2.NetworkAPI.
func (o *office) LogoutRemote(context.Context) {}

// IsThisUser implements bridgev2.NetworkAPI.
func (o *office) IsThisUser(_ context.Context, user networkid.UserID) bool {
	return string(user) == o.login.RemoteName
}

// GetCapabilities implements bridgev2.NetworkAPI.
func (o *office) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	return &event.RoomFeatures{ID: "telegraph.1"}
}

// GetChatInfo implements bridgev2.NetworkAPI.
func (o *office) GetChatInfo(_ context.Context, portal *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	return chat(networkid.UserID(strings.TrimPrefix(string(portal.ID), "chat-"))), nil
}

// chat is one with somebody.
func chat(with networkid.UserID) *bridgev2.ChatInfo {
	return &bridgev2.ChatInfo{
		Type: ptr.Ptr(database.RoomTypeDM),
		Members: &bridgev2.ChatMemberList{IsFull: true, OtherUserID: with, Members: []bridgev2.ChatMember{
			{EventSender: bridgev2.EventSender{IsFromMe: true}, Membership: event.MembershipJoin},
			{EventSender: bridgev2.EventSender{Sender: with}, Membership: event.MembershipJoin},
		}},
	}
}

// GetUserInfo implements bridgev2.NetworkAPI.
func (o *office) GetUserInfo(_ context.Context, ghost *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	return person(ghost.ID), nil
}

func person(user networkid.UserID) *bridgev2.UserInfo {
	return &bridgev2.UserInfo{Name: ptr.Ptr(strings.ToUpper(string(user[:1])) + string(user[1:])), Identifiers: []string{"telegraph:" + string(user)}}
}

// HandleMatrixMessage implements bridgev2.NetworkAPI.
func (o *office) HandleMatrixMessage(_ context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	return &bridgev2.MatrixMessageResponse{DB: &database.Message{ID: networkid.MessageID(msg.Event.ID)}}, nil
}

// ResolveIdentifier implements bridgev2.IdentifierResolvingNetworkAPI.
func (o *office) ResolveIdentifier(ctx context.Context, identifier string, create bool) (*bridgev2.ResolveIdentifierResponse, error) {
	switch identifier {
	case "nobody":
		return nil, nil
	case "strike":
		return nil, errors.New("the operators are on strike")
	}
	answer, err := o.resolve(ctx, networkid.UserID(identifier))
	if err == nil && create {
		answer.Chat = &bridgev2.CreateChatResponse{
			PortalKey:  networkid.PortalKey{ID: networkid.PortalID("chat-" + identifier), Receiver: o.login.ID},
			PortalInfo: chat(answer.UserID),
		}
	}
	return answer, err
}

func (o *office) resolve(ctx context.Context, user networkid.UserID) (*bridgev2.ResolveIdentifierResponse, error) {
	ghost, err := o.c.br.GetGhostByID(ctx, user)
	return &bridgev2.ResolveIdentifierResponse{Ghost: ghost, UserID: user, UserInfo: person(user)}, err
}

// GetContactList implements bridgev2.ContactListingNetworkAPI.
func (o *office) GetContactList(ctx context.Context) (all []*bridgev2.ResolveIdentifierResponse, err error) {
	for _, name := range []networkid.UserID{"ada", "charles", "samuel"} {
		one, err := o.resolve(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// GetLoginFlows implements bridgev2.NetworkConnector.
func (c *Connector) GetLoginFlows() []bridgev2.LoginFlow {
	return []bridgev2.LoginFlow{
		{ID: "key", Name: "Name and key", Description: "With the name and the key of your office"},
		{ID: "pair", Name: "Another device", Description: "With a device where you are signed in already"},
		{ID: "scan", Name: "Scanner", Description: "What the other device does"},
		{ID: "cookies", Name: "Cookies", Description: "With what your browser has of the network's site"},
		{ID: "all", Name: "Everything", Description: "With fields of every kind"},
		{ID: "passkey", Name: "Passkey", Description: "With a passkey"},
		{ID: "fault", Name: "Fault", Description: "Does not work"},
	}
}

// CreateLogin implements bridgev2.NetworkConnector.
func (c *Connector) CreateLogin(_ context.Context, user *bridgev2.User, flow string) (bridgev2.LoginProcess, error) {
	l := login{c: c, user: user}
	switch flow {
	case "key":
		return &keyLogin{login: l}, nil
	case "pair":
		return &pairLogin{login: l}, nil
	case "scan":
		return &scanLogin{l}, nil
	case "cookies":
		return &cookieLogin{l}, nil
	case "all":
		return &allLogin{l}, nil
	case "passkey":
		return &passkeyLogin{l}, nil
	case "fault":
		return &faultLogin{l}, nil
	}
	return nil, bridgev2.ErrInvalidLoginFlowID
}

// login is what all ways to sign in share.
type login struct {
	c    *Connector
	user *bridgev2.User
}

// Cancel implements bridgev2.LoginProcess.
func (l *login) Cancel() {}

// finish signs a person in.
func (l *login) finish(ctx context.Context, name string) (*bridgev2.LoginStep, error) {
	made, err := l.user.NewLogin(ctx, &database.UserLogin{
		ID: networkid.UserLoginID(name + "-" + string(l.user.MXID)), RemoteName: name,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("make a login: %w", err)
	}
	made.Client.Connect(ctx)
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeComplete, StepID: "telegraph.complete", Instructions: "Welcome to the telegraph, " + name,
		CompleteParams: &bridgev2.LoginCompleteParams{UserLoginID: made.ID, UserLogin: made},
	}, nil
}

func input(step, instructions string, fields ...bridgev2.LoginInputDataField) *bridgev2.LoginStep {
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeUserInput, StepID: "telegraph." + step, Instructions: instructions,
		UserInputParams: &bridgev2.LoginUserInputParams{Fields: fields},
	}
}

// passkeyLogin wants what no page of another site can ask for.
type passkeyLogin struct{ login }

// Start implements bridgev2.LoginProcess.
func (l *passkeyLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeWebAuthn, StepID: "telegraph.passkey", Instructions: "Touch your key",
		WebAuthnParams: &bridgev2.LoginWebAuthnParams{URL: "https://telegraph.example/", PublicKey: json.RawMessage(`{"challenge":"x"}`)},
	}, nil
}

// SubmitWebAuthnResponse implements bridgev2.LoginProcessWebAuthn.
func (l *passkeyLogin) SubmitWebAuthnResponse(ctx context.Context, _ json.RawMessage) (*bridgev2.LoginStep, error) {
	return l.finish(ctx, "key")
}

// faultLogin panics when it is given something.
type faultLogin struct{ login }

// Start implements bridgev2.LoginProcess.
func (l *faultLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	return input("fault", "", bridgev2.LoginInputDataField{Type: bridgev2.LoginInputFieldTypeUsername, ID: "x", Name: "x"}), nil
}

// SubmitUserInput implements bridgev2.LoginProcessUserInput.
func (l *faultLogin) SubmitUserInput(context.Context, map[string]string) (*bridgev2.LoginStep, error) {
	panic("the pole has fallen")
}
