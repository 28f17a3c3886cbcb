package bridges

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"go.mau.fi/util/configupgrade"
	"go.mau.fi/util/ptr"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// loopNetwork is a network of one login. It notes what Matrix sends and can hold it back.
type loopNetwork struct {
	br   *bridgev2.Bridge
	host *Host
	hold bool // whether messages stay unfinished until finish

	mu    sync.Mutex
	got   []string
	held  map[string]func()
	joins []id.UserID
	// refuse is how often HandleMember is to fail.
	refuse int
	bell   chan struct{}
	// history is what was said before, for Backfill.
	history []*bridgev2.BackfillMessage
	// connected is what connects has counted.
	connected int
}

func newLoopNetwork() *loopNetwork {
	return &loopNetwork{held: map[string]func(){}, bell: make(chan struct{}, 1)}
}

const loopLogin networkid.UserLoginID = "loop"

func (n *loopNetwork) Init(br *bridgev2.Bridge)         { n.br = br }
func (n *loopNetwork) Start(context.Context) error      { return nil }
func (n *loopNetwork) SetHost(h *Host)                  { n.host = h }
func (n *loopNetwork) GetBridgeInfoVersion() (a, b int) { return 1, 1 }
func (n *loopNetwork) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{DisplayName: "Loop", NetworkID: "loop", BeeperBridgeType: "causeway/test"}
}
func (n *loopNetwork) GetDBMetaTypes() database.MetaTypes { return database.MetaTypes{} }
func (n *loopNetwork) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}
func (n *loopNetwork) GetConfig() (string, any, configupgrade.Upgrader) {
	return "", nil, configupgrade.NoopUpgrader
}
func (n *loopNetwork) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	login.Client = &loopClient{n: n}
	return nil
}
func (n *loopNetwork) GetLoginFlows() []bridgev2.LoginFlow { return nil }
func (n *loopNetwork) CreateLogin(context.Context, *bridgev2.User, string) (bridgev2.LoginProcess, error) {
	return nil, bridgev2.ErrInvalidLoginFlowID
}

func (n *loopNetwork) QueryAlias(_ context.Context, alias id.RoomAlias) error {
	return &UnknownAlias{Reason: string(alias) + " is not on this network"}
}

func (n *loopNetwork) HandleMember(_ context.Context, _ *bridgev2.Portal, evt *event.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse > 0 {
		n.refuse--
		return errors.New("the database is locked")
	}
	n.joins = append(n.joins, id.UserID(evt.GetStateKey()))
	select {
	case n.bell <- struct{}{}:
	default: // it rings already
	}
	return nil
}

// note records text and keeps done if the network holds messages.
func (n *loopNetwork) note(text string, done func()) {
	n.mu.Lock()
	n.got = append(n.got, text)
	if n.hold {
		n.held[text] = done
		done = func() {}
	}
	n.mu.Unlock()
	done()
	select {
	case n.bell <- struct{}{}:
	default:
	}
}

// await returns what was received when it is at least count messages.
func (n *loopNetwork) await(t *testing.T, count int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bridgetest.Patience)
	defer cancel()
	for {
		n.mu.Lock()
		got := append([]string(nil), n.got...)
		n.mu.Unlock()
		if len(got) >= count {
			return got
		}
		select {
		case <-n.bell:
		case <-ctx.Done():
			t.Fatalf("got %q, want %d messages", got, count)
		}
	}
}

// finish lets go of a held message.
func (n *loopNetwork) finish(text string) {
	n.mu.Lock()
	done := n.held[text]
	n.mu.Unlock()
	done()
}

// connects counts how often logins were connected, less those disconnected.
func (n *loopNetwork) connects(by int) {
	n.mu.Lock()
	n.connected += by
	n.mu.Unlock()
	select {
	case n.bell <- struct{}{}:
	default:
	}
}

type loopClient struct{ n *loopNetwork }

func (c *loopClient) Connect(context.Context)                           { c.n.connects(1) }
func (c *loopClient) Disconnect()                                       { c.n.connects(-1) }
func (c *loopClient) IsLoggedIn() bool                                  { return true }
func (c *loopClient) LogoutRemote(context.Context)                      {}
func (c *loopClient) IsThisUser(context.Context, networkid.UserID) bool { return false }
func (c *loopClient) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	return &event.RoomFeatures{ID: "loop.1"}
}
func (c *loopClient) GetChatInfo(context.Context, *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	info := &bridgev2.ChatInfo{Name: ptr.Ptr("Loop"), Members: &bridgev2.ChatMemberList{}}
	if c.n.history != nil {
		info.CanBackfill = true
		info.Members.MemberMap = bridgev2.ChatMemberMap{}
		info.Members.MemberMap.Add(bridgev2.ChatMember{EventSender: bridgev2.EventSender{IsFromMe: true, SenderLogin: loopLogin}})
	}
	return info, nil
}

func (c *loopClient) FetchMessages(_ context.Context, params bridgev2.FetchMessagesParams) (*bridgev2.FetchMessagesResponse, error) {
	messages := c.n.history
	return &bridgev2.FetchMessagesResponse{Messages: messages[max(0, len(messages)-params.Count):], Forward: params.Forward}, nil
}
func (c *loopClient) GetUserInfo(_ context.Context, ghost *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	return &bridgev2.UserInfo{Name: ptr.Ptr(string(ghost.ID))}, nil
}

func (c *loopClient) HandleMatrixMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	done := c.n.host.Defer(msg.Event.ID)
	c.n.note(msg.Content.Body, done)
	return &bridgev2.MatrixMessageResponse{Pending: true}, nil
}

// world is a homeserver with one bridge that has a login of alice and portals.
type world struct {
	*Bridge
	hs    *bridgetest.Homeserver
	net   *loopNetwork
	alice id.UserID
	stop  func()
}

// startWorld runs a bridge on dir; stop ends it and may be left to the end of the test.
func startWorld(t *testing.T, hs *bridgetest.Homeserver, dir string, adjust func(w *world)) *world {
	t.Helper()
	return startWith(t, hs, dir, nil, adjust)
}

// startWith is startWorld with other options.
func startWith(t *testing.T, hs *bridgetest.Homeserver, dir string, change func(o *Options), adjust func(w *world)) *world {
	t.Helper()
	w := &world{hs: hs, net: newLoopNetwork(), alice: hs.User("alice")}
	opts := Options{
		ID: "loop", ServerName: hs.ServerName, Transport: hs, Network: w.net, DataDir: dir,
		Log: zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel),
	}
	if change != nil {
		change(&opts)
	}
	var err error
	if w.Bridge, err = New(opts); err != nil {
		t.Fatal(err)
	}
	if adjust != nil {
		adjust(w)
	}
	hs.SetBridge(w.Handler(), w.Bot(), w.Registration().HSToken)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	select {
	case <-w.ready:
	case err := <-ended:
		t.Fatal("the bridge ended: ", err)
	}
	return w
}

// portal makes a room with alice in it.
func (w *world) portal(t *testing.T, name networkid.PortalID) id.RoomID {
	t.Helper()
	ctx := t.Context()
	user, err := w.v2.GetUserByMXID(ctx, w.alice)
	if err != nil {
		t.Fatal(err)
	}
	login := w.v2.GetCachedUserLoginByID(loopLogin)
	if login == nil { // to make it once more would change one that is in use
		if login, err = user.NewLogin(ctx, &database.UserLogin{ID: loopLogin}, nil); err != nil {
			t.Fatal(err)
		}
	}
	portal, err := w.v2.GetPortalByKey(ctx, networkid.PortalKey{ID: name})
	if err != nil {
		t.Fatal(err)
	}
	if err := portal.CreateMatrixRoom(ctx, login, nil); err != nil {
		t.Fatal(err)
	}
	login.MarkInPortal(ctx, portal)
	w.hs.SetMember(w.alice, portal.MXID, w.alice, "join", "")
	return portal.MXID
}

// remote queues a message of the network.
func (w *world) remote(portal networkid.PortalID, sender networkid.UserID, messageID networkid.MessageID, text string) bridgev2.EventHandlingResult {
	login := w.v2.GetCachedUserLoginByID(loopLogin)
	return login.QueueRemoteEvent(&simplevent.PreConvertedMessage{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessage, PortalKey: networkid.PortalKey{ID: portal},
			Sender: bridgev2.EventSender{Sender: sender},
		},
		ID: messageID,
		Data: &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{{
			Type: event.EventMessage, Content: &event.MessageEventContent{MsgType: event.MsgText, Body: text},
		}}},
	})
}
