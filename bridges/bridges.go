// Package bridges hosts a bridgev2 network in this process as an application service.
//
// It holds what every network shares: the bridge's database, its registration with tokens that outlive a
// restart, and the receiving end of the Application Service API. cmd/causeway calls it; networks such as
// bridges/irc import it for the optional interfaces in hooks.go. It never imports a homeserver package: the
// homeserver is an http.RoundTripper, so that a bridge runs as well against another one.
//
// # What is promised
//
// Matrix to network: an event is acknowledged to the homeserver after the network has taken it, or after it is
// in the inbox table when the network is slow (see ackWait). It is handled once however often the transaction
// is repeated, also over a restart; when the process dies between the network's taking an event and the
// record of that, the event is handled again. Events of one sender in one room are handled in order; those of
// different senders too, unless that would cost more than orderWait. An event that edits, redacts, answers or reacts to
// one which the network still holds waits for it, or changes it there (PendingChanger).
package bridges

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/e2be"
	"causeway/bridges/provisioning"
	"causeway/registration"
)

// Options say what to host and where. ID, ServerName and Network are required.
type Options struct {
	// ID names the bridge everywhere: registration, log, database, and the prefix of ghosts (@ID_…) and
	// aliases (#ID_…). Lower-case letters and digits.
	ID string
	// Name is shown to people, as the bot's display name.
	Name string
	// ServerName is the homeserver's server_name.
	ServerName string
	// HomeserverURL is the base of client-server requests. With a Transport that does not dial, only its
	// scheme and host form the request, and the default will do.
	HomeserverURL string
	// Transport carries requests to the homeserver; nil means the network.
	Transport http.RoundTripper
	// Network is what to bridge to. It may implement the interfaces of hooks.go.
	Network bridgev2.NetworkConnector
	// Database is a postgres:// URL, or empty for a SQLite file in DataDir.
	Database string
	// Schema is the PostgreSQL schema of this bridge, created when missing; by default "bridge_" and ID.
	Schema string
	// DataDir is where the SQLite file lies.
	DataDir string
	// Log is where the bridge logs; contents of messages never go there.
	Log zerolog.Logger
	// Permissions say who may use the bridge, as bridgev2 knows them; by default all users of ServerName.
	Permissions bridgeconfig.PermissionConfig
	// Encryption is of the rooms that the bridge is in.
	Encryption Encryption
	// Reaper says when the bridge leaves rooms that everybody else has left; the zero value is never.
	Reaper Reaper
	// Backfill is of rooms whose networks have a history; the zero value is none.
	Backfill Backfill
	// PolicyRooms say who is not let in.
	PolicyRooms PolicyRooms
	// MediaLinks are addresses of files below HomeserverURL; the zero value is none.
	MediaLinks MediaLinks
	// URL is what the registration says about where the homeserver reaches the bridge. By default it is an
	// address that only makes sense for a homeserver that is handed the Handler.
	URL string
}

// Bridge is one hosted network. Make it with New, then Run it; Close is for one that is never run.
type Bridge struct {
	opts      Options
	log       zerolog.Logger
	reg       *registration.Registration
	raw       *dbutil.Database
	v2        *bridgev2.Bridge
	conn      *matrixConnector
	inbox     *inbox
	lanes     *lanes
	ephemera  *ephemera
	policies  *policies
	foreign   foreign
	unbridger *unbridger
	crypto    *e2be.Machine // nil without encryption
	logins    *provisioning.API
	router    http.Handler
	ackWait   time.Duration // ackWait, but in tests
	txnMu     sync.Mutex    // one transaction at a time enters the inbox and the lanes

	gates     gates
	ready     chan struct{} // closed when transactions can be handled
	ended     chan struct{} // closed when the bridge begins to stop, also if it never was ready
	closeOnce sync.Once
	closeErr  error
}

var bridgeID = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

// New opens the bridge's database, makes or loads its registration and prepares the bridge without talking to
// anyone. Errors name the option that is wrong.
func New(opts Options) (*Bridge, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	b := &Bridge{
		opts:    opts,
		log:     opts.Log.Hook(withoutContent{}),
		ready:   make(chan struct{}),
		ended:   make(chan struct{}),
		ackWait: ackWait,
	}
	var err error
	if b.raw, err = openDatabase(opts); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", opts.ID, err)
	}
	if err := b.prepare(); err != nil {
		_ = b.raw.Close()
		return nil, fmt.Errorf("bridge %s: %w", opts.ID, err)
	}
	return b, nil
}

func (o *Options) complete() error {
	switch {
	case !bridgeID.MatchString(o.ID):
		return fmt.Errorf("bridges: ID %q must match %s", o.ID, bridgeID)
	case o.ServerName == "":
		return errors.New("bridges: ServerName is missing")
	case o.Network == nil:
		return errors.New("bridges: Network is missing")
	case o.Database == "" && o.DataDir == "":
		return errors.New("bridges: one of Database and DataDir is needed")
	}
	if err := o.Encryption.Validate(); err != nil {
		return fmt.Errorf("bridges: Encryption.%w", err)
	}
	if err := o.Reaper.Validate(); err != nil {
		return fmt.Errorf("bridges: Reaper.%w", err)
	}
	if err := o.Backfill.Validate(); err != nil {
		return fmt.Errorf("bridges: Backfill.%w", err)
	}
	if err := o.MediaLinks.Validate(); err != nil {
		return fmt.Errorf("bridges: MediaLinks: %w", err)
	}
	if err := o.PolicyRooms.Validate(); err != nil {
		return fmt.Errorf("bridges: PolicyRooms: %w", err)
	}
	if o.Name == "" {
		o.Name = o.Network.GetName().DisplayName + " bridge"
	}
	if o.HomeserverURL == "" {
		o.HomeserverURL = "http://homeserver"
	}
	if o.URL == "" {
		o.URL = "http://bridge-" + o.ID
	}
	if o.Schema == "" {
		o.Schema = "bridge_" + o.ID
	}
	if o.Permissions == nil {
		level := bridgeconfig.PermissionLevelUser
		o.Permissions = bridgeconfig.PermissionConfig{o.ServerName: &level}
	}
	return nil
}

// prepare builds everything that needs the open database.
func (b *Bridge) prepare() error {
	unlimitHandlers()
	ctx := b.log.WithContext(context.Background())
	if err := upgradeHostTables(ctx, b.raw); err != nil {
		return err
	}
	tokens, err := loadTokens(ctx, b.raw)
	if err != nil {
		return err
	}
	if b.reg, err = b.makeRegistration(tokens); err != nil {
		return err
	}
	b.inbox = newInbox(b.raw)
	cfg := b.makeConfig(tokens)
	b.conn = newMatrixConnector(b, cfg)
	if hosted, ok := b.opts.Network.(Hosted); ok {
		hosted.SetHost(&Host{b: b})
	}
	// bridgev2's Stop would close the database before the last events are recorded in the inbox.
	b.v2 = bridgev2.NewBridge(networkid.BridgeID(b.opts.ID), b.raw, b.log, &cfg.Bridge, b.conn, b.opts.Network,
		commands.NewProcessor)
	b.v2.ExternallyManagedDB = true
	if err := b.prepareEncryption(ctx); err != nil {
		return err
	}
	transport := b.opts.Transport
	if transport == nil {
		transport = b.conn.AS.HTTPClient.Transport
	}
	b.conn.ghosts = newRegistrar(b.conn.AS, transport)
	b.conn.AS.HTTPClient.Transport = b.conn.ghosts
	// The lanes of this package bound the time of a handler; the processor's own time-out would let an
	// unfinished event pass for a finished one.
	b.conn.EventProcessor.ExecSyncWarnTime = 0
	b.conn.EventProcessor.ExecSyncTimeout = 0
	b.watchMembers()
	b.watchJoinRules()
	b.watchEvents()
	b.watchPresence()
	b.policies = newPolicies(b)
	b.lanes = newLanes(b)
	b.ephemera = newEphemera(b)
	b.unbridger = newUnbridger(b)
	b.addCommands()
	b.logins = provisioning.New(b.v2, b.conn.Provisioning, cfg.Provisioning.SharedSecret, b.conn.tally.stateOf, (&Host{b: b}).RoomOf)
	b.router = b.makeRouter()
	return nil
}

// Registration is what the homeserver must know of this bridge. It is the same after a restart.
func (b *Bridge) Registration() *registration.Registration { return b.reg }

// Handler is where the homeserver calls: transactions, pings, queries. Transactions wait until Run is ready.
func (b *Bridge) Handler() http.Handler { return b.router }

// Bot is the user ID the bridge acts as when it is not a ghost.
func (b *Bridge) Bot() id.UserID { return b.conn.Bot.UserID }

// Close releases the database of a bridge; Run does so itself when it ends.
func (b *Bridge) Close() error {
	b.closeOnce.Do(func() { b.closeErr = b.raw.Close() })
	return b.closeErr
}

func (b *Bridge) makeConfig(t tokens) *bridgeconfig.Config {
	return &bridgeconfig.Config{
		Homeserver: bridgeconfig.HomeserverConfig{
			Address: b.opts.HomeserverURL, Domain: b.opts.ServerName,
			Software: bridgeconfig.SoftwareStandard, RetryLimit: 4,
		},
		AppService: bridgeconfig.AppserviceConfig{
			ID: b.opts.ID, ASToken: t.AS, HSToken: t.HS, NoServer: true, PublicAddress: b.opts.HomeserverURL,
			Bot:              bridgeconfig.BotUserConfig{Username: b.botLocalpart(), Displayname: b.opts.Name},
			UsernameTemplate: b.opts.ID + "_{{.}}",
		},
		Encryption:  b.opts.Encryption.config(),
		PublicMedia: b.opts.MediaLinks.config(b.opts.ID, t.Files),
		// Nobody outside of this process has the secret.
		Provisioning: bridgeconfig.ProvisioningConfig{SharedSecret: rand.Text()},
		Matrix:       bridgeconfig.MatrixConfig{MessageErrorNotices: true, FederateRooms: true},
		Bridge: bridgeconfig.BridgeConfig{
			CommandPrefix: "!" + b.opts.ID,
			// No buffer: an event has been handled when the call that brings it returns.
			PortalEventBuffer:         0,
			DeduplicateMatrixMessages: true,
			BridgeMatrixLeave:         true,
			BridgeNotices:             true,
			BridgeStatusNotices:       "none",
			Permissions:               b.opts.Permissions,
			Backfill:                  b.opts.Backfill.config(),
		},
	}
}

// botLocalpart lies inside the exclusive namespace, so nobody else can register it, and has no second
// underscore, so it is no ghost.
func (b *Bridge) botLocalpart() string { return b.opts.ID + "_bot" }

var unlimitOnce sync.Once

// unlimitHandlers lifts bridgev2's five minutes after which it reports an unfinished event as handled
// ("backgrounded"). A handler that hangs then holds up its room, visibly in the log, and loses nothing.
func unlimitHandlers() {
	unlimitOnce.Do(func() { bridgev2.EventHandlingTimeoutTicks = maxHandlerTicks })
}

// maxHandlerTicks of 30 seconds each are more than a lifetime of a process.
const maxHandlerTicks = 1 << 30

var _ bridgev2.MatrixConnector = (*matrix.Connector)(nil)
