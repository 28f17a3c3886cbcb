package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"causeway/appservice/inproc"
	"causeway/appservice/sender"
	"causeway/bridges"
	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"
	"causeway/sfu/network"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

// serve runs every part of the server until ctx ends. What a person must see (addresses, the one-time registration token)
// goes to stdout.
func serve(ctx context.Context, cfg *Config, log zerolog.Logger, stdout io.Writer) (err error) {
	if cfg.Role == roleSFU {
		return serveNode(ctx, cfg, log, stdout)
	}
	db, key, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer closing(&err, db.Close)
	bus := new(notify.Local)

	// The bridges reach the homeserver, and it them, by calls within the process. The homeserver's end is tied at the bottom.
	toHomeserver := inproc.New(nil)
	if err := os.MkdirAll(cfg.AppServices.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of registration files: %w", err)
	}
	hosted, err := openBridges(cfg, log, toHomeserver)
	if err != nil {
		return err
	}
	defer hosted.close(log)
	folder, err := openRegistrations(cfg, log, hosted)
	if err != nil {
		return err
	}

	var relaying *turnPart
	public := publicAddresses(cfg, log, func() { relaying.move() })
	groupCalls, err := openCalls(cfg, db, public, log)
	if err != nil {
		return err
	}
	running := false
	defer func() {
		if !running {
			err = errors.Join(err, groupCalls.close())
		}
	}()
	send := sender.New(sender.Options{
		DB: db, Bus: bus, ServerName: cfg.ServerName, Log: log.With().Str("part", "sender").Logger(),
		Registrations: folder.Set,
		Transport:     hosted.transport, PresenceMembers: cfg.Presence.MaxRoomMembers,
	})
	if relaying, err = openTURN(ctx, cfg, turnSecrets{db}, public, groupCalls.services, log); err != nil {
		return err
	}
	defer closing(&err, relaying.close)
	hs := homeserver.New(homeserver.Config{
		ServerName: cfg.ServerName, PublicURL: cfg.BaseURL(), Support: cfg.Support, Key: key, DB: db, Bus: bus, Log: log,
		OpenRegistration:   cfg.Registration.Open,
		Guests:             cfg.Registration.Guests,
		Sessions:           cfg.Sessions,
		Rules:              cfg.Registration.RegistrationRules,
		JWT:                cfg.JWT,
		EmailRequired:      cfg.Registration.EmailRequired,
		Mail:               cfg.Mail,
		SMS:                cfg.SMS,
		Identity:           cfg.Identity,
		Legacy:             cfg.Legacy,
		DefaultRoomVersion: cfg.DefaultRoomVersion,
		Limits:             limits(cfg.RateLimits),
		ForwardedFor:       len(cfg.TrustedProxies) > 0,
		Maintenance:        cfg.Maintenance,
		UserDirectory:      cfg.UserDirectory,
		Push:               cfg.Push,
		Presence:           cfg.Presence,
		Delayed:            cfg.DelayedEvents.Limits(),
		StickyEvents:       cfg.Experimental.StickyEvents,
		OAuth:              cfg.OAuth,
		SSO:                cfg.SSO,
		AppServices:        folder.Set,
		Aliases:            send,
		Users:              send,
		AliasOwner:         aliasOwner(folder),
		Pinger:             send,
		Alive:              send.Alive,
		Networks:           send,
		Bridges:            hosted.networks(),
		TURN:               relaying.forClients(),
		TURNGuests:         cfg.TURN.Guests,
		Calls:              groupCalls.clientCalls(),
		CallWatch:          groupCalls.watcher(),
		CallStatus:         groupCalls.status(),
	})
	send.Attend(hs)
	groupCalls.attend(hs)
	groupCalls.relayedBy(relaying)
	relaying.attend(hs, groupCalls)
	toHomeserver.SetHandler(hs.Handler())
	socket, err := hosted.openSocket(cfg, hs.Handler(), log)
	if err != nil {
		return err
	}
	defer closing(&err, socket.Close)
	if err := send.Prepare(ctx); err != nil {
		return err
	}
	if err := groupCalls.prepare(ctx); err != nil {
		return err
	}

	services := &appServices{folder: folder, sender: send, accounts: hs.Accounts, bridges: hosted, log: log.With().Str("part", "registrations").Logger()}

	web, err := listen(cfg, hs.Closing, groupCalls.with(hosted.withFiles(hs.Handler(), log)), log)
	if err != nil {
		return err
	}
	metrics, err := listenMetrics(cfg.Metrics, services.status, log, relaying.printMetrics, groupCalls.printMetrics)
	if err != nil {
		return errors.Join(err, web.listener.Close())
	}
	control, err := listenControl(cfg.DataDir, orders{hs.Maintenance, hs.Accounts, services, hosted}, log)
	if err != nil {
		return errors.Join(err, web.listener.Close(), metrics.close())
	}
	if err := greet(ctx, cfg, hs.Accounts, folder.Set(), groupCalls, stdout); err != nil {
		return errors.Join(err, web.listener.Close(), metrics.close(), control.close())
	}
	running = true
	return runParts(ctx, log, parts{
		web: web, metrics: metrics, control: control, homeserver: hs, sender: send, services: services, bridges: hosted, calls: groupCalls,
		turn: relaying, public: public,
	})
}

// parts are what runs.
type parts struct {
	web        *webServer
	metrics    *metricsServer
	control    *controlServer
	homeserver *homeserver.Server
	sender     *sender.Sender
	services   *appServices
	bridges    bridgeSet
	turn       *turnPart
	public     *network.Discovery
	calls      *calls
}

// runParts runs all parts until ctx ends, and ends them in this order: no new requests, those that wait are answered, those
// under way finish; then the sender and the bridges; the caller closes the database last.
func runParts(ctx context.Context, log zerolog.Logger, p parts) error {
	behind, stopBehind := context.WithCancel(log.WithContext(context.WithoutCancel(ctx)))
	defer stopBehind()
	running, behind := errgroup.WithContext(behind)
	running.Go(func() error { return p.homeserver.Run(behind) })
	running.Go(func() error { return p.sender.Run(behind) })
	running.Go(func() error { return p.services.run(behind) })
	running.Go(func() error { return p.control.run(behind) })
	running.Go(func() error { return p.metrics.run(behind) })
	running.Go(func() error { return p.turn.run(behind) })
	running.Go(func() error { return p.public.Run(behind) })
	running.Go(func() error { return p.calls.run(behind) })
	for _, b := range p.bridges {
		running.Go(func() error {
			if err := b.Run(behind); err != nil {
				// The other networks, and Matrix itself, go on without it.
				log.Error().Err(err).Str("bridge", b.Registration().ID).Msg("The bridge has stopped")
			}
			return nil
		})
	}
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	context.AfterFunc(behind, stopFront) // a part that fails takes the server down in order
	webErr := p.web.run(front)
	log.Info().Msg("Stopping")
	stopBehind()
	if err := running.Wait(); err != nil {
		return err
	}
	return webErr
}

// openStore makes the data directory if need be, and opens the database and the signing key.
func openStore(ctx context.Context, cfg *Config) (*store.DB, *event.Key, error) {
	if cfg.Role == roleSFU {
		return nil, nil, usageError{errNodeHasNoStore}
	}
	if err := makeDataDir(cfg.DataDir); err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, cfg.Database)
	if err != nil {
		return nil, nil, err
	}
	fresh, err := db.Claim(ctx, cfg.ServerName)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	if !fresh {
		// A first start that was killed before it had made its key has signed nothing, and is begun anew.
		err = db.View(ctx, func(tx *store.Tx) error {
			pos, err := tx.StreamPos()
			fresh = pos == 0
			return err
		})
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	key, err := openKey(cfg, fresh)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, key, nil
}

func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the data directory %s cannot be made: %w", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be written: %w", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// openKey reads the signing key. Only a new server gets a new one: an old server that signs with another key than before looks
// like an impostor.
func openKey(cfg *Config, fresh bool) (*event.Key, error) {
	path := filepath.Join(cfg.DataDir, "signing.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !fresh {
		return nil, fmt.Errorf("the signing key %s is missing, although this server has had one: "+
			"put it back from a copy of the data directory", path)
	}
	return homeserver.LoadSigningKey(path, cfg.ServerName)
}

// hostedBridge is a bridge of this server, in this process or in a child of it.
type hostedBridge struct {
	bridgePart
	toBridge http.RoundTripper
	network  string // its name, for people
}

// bridgePart is a bridges.Bridge, or a process.Child that runs one.
type bridgePart interface {
	Run(ctx context.Context) error
	Close() error
	Registration() *registration.Registration
}

type bridgeSet []hostedBridge

// openBridges prepares the bridges that the configuration asks for.
func openBridges(cfg *Config, log zerolog.Logger, toHomeserver http.RoundTripper) (set bridgeSet, err error) {
	plans, err := planBridges(cfg, log)
	if err != nil || len(plans) == 0 {
		return nil, err
	}
	if err := os.MkdirAll(bridgesDir(cfg), 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for the bridges: %w", err)
	}
	for _, plan := range plans {
		b, err := openBridge(cfg, log, plan, toHomeserver)
		if err != nil {
			set.close(log)
			return nil, err
		}
		set = append(set, b)
	}
	return set, nil
}

func openBridge(cfg *Config, log zerolog.Logger, plan bridgePlan, toHomeserver http.RoundTripper) (hostedBridge, error) {
	name := plan.opts.Network.GetName().DisplayName
	if plan.isolated {
		child, err := openChild(cfg, log, plan.opts)
		if err != nil {
			return hostedBridge{}, err
		}
		return hostedBridge{child, child.Transport(), name}, nil
	}
	plan.opts.Transport = toHomeserver
	b, err := bridges.New(plan.opts)
	if err != nil {
		return hostedBridge{}, err
	}
	return hostedBridge{b, inproc.New(b.Handler()), name}, nil
}

// bridgeLog is quieter than the rest: at info, the library tells of each step of its start.
func bridgeLog(cfg *Config, log zerolog.Logger, part string) zerolog.Logger {
	log = log.With().Str("part", part).Logger()
	if cfg.Log.Level == zerolog.LevelInfoValue {
		log = log.Level(zerolog.WarnLevel)
	}
	return log
}

// close closes what was opened for bridges that do not run.
func (set bridgeSet) close(log zerolog.Logger) {
	for _, b := range set {
		if err := b.Close(); err != nil {
			log.Error().Err(err).Str("bridge", b.Registration().ID).Msg("Closing the bridge")
		}
	}
}

// transport returns the way to an application service of this process, nil for others.
func (set bridgeSet) transport(reg *registration.Registration) http.RoundTripper {
	for _, b := range set {
		if b.Registration().ID == reg.ID {
			return b.toBridge
		}
	}
	return nil
}

// withAccounts calls f with the accounts of a server that is not running.
func withAccounts(ctx context.Context, cfg *Config, log zerolog.Logger, f func(*account.Service) error) (err error) {
	db, _, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer closing(&err, db.Close)
	// The bridges say which names are theirs.
	hosted, err := openBridges(cfg, log, inproc.New(nil))
	if err != nil {
		return err
	}
	defer hosted.close(log)
	folder, err := openRegistrations(cfg, log, hosted)
	if err != nil {
		return err
	}
	return f(accountsOf(cfg, db, folder))
}

// accountsOf are the accounts in the database of a server that is not running.
func accountsOf(cfg *Config, db *store.DB, folder *registration.Folder) *account.Service {
	return account.New(account.Config{ServerName: cfg.ServerName, Rules: cfg.Registration.RegistrationRules}, db, new(notify.Local), folder.Set)
}

// createUser makes an account in the database of a server that is not running.
func createUser(ctx context.Context, cfg *Config, log zerolog.Logger, u newUser) (user id.UserID, err error) {
	err = withAccounts(ctx, cfg, log, func(accounts *account.Service) error {
		user, err = accounts.CreateUser(ctx, u.Localpart, u.Password, u.Admin)
		return err
	})
	return user, err
}

// closing runs a function that ends something and adds its error to that of the caller.
func closing(err *error, end func() error) { *err = errors.Join(*err, end()) }

// aliasOwner names the service that alone may make an alias.
func aliasOwner(folder *registration.Folder) func(id.RoomAlias) string {
	return func(alias id.RoomAlias) string {
		if reg := folder.Set().ExclusiveOwnerOfAlias(alias); reg != nil {
			return reg.ID
		}
		return ""
	}
}

// limits are the configured rate limits by httpapi's classes.
func limits(c RateLimitsConfig) map[httpapi.Class]httpapi.Limit {
	all := make(map[httpapi.Class]httpapi.Limit)
	for class, l := range c.Limits() {
		all[httpapi.Class(class)] = httpapi.Limit{PerSecond: l.PerSecond, Burst: l.Burst}
	}
	return all
}
