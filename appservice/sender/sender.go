// Package sender is the homeserver's end of the Application Service API: it sends to each application service the events that
// concern it, asks them about users and aliases, and pings them. The server's start runs it; the client-server API calls its
// queries and pings.
//
// Delivery. Each service has a durable cursor on the stream of events and a worker that follows it. Every event of interest is
// sent, in the order of the stream, one transaction at a time, until it is acknowledged with status 200. A transaction that is
// sent again, be it after a restart, has the same id and the same bytes. So a service sees every event at least once, and by
// transaction id exactly once. A service that was never seen before begins at the end of the stream; one whose registration goes
// and comes back continues where it was.
//
// Receipts, presence, messages to devices and changes of device lists are rows with positions of the same stream, and are sent in the
// same way to services that ask for them; of who is typing a service is told what holds when a transaction is made.
//
// A service sees what its registration says: all events of the rooms that concern it, whatever their history visibility, and whomever
// its users ignore. Its namespaces were allowed to it by who runs this server. Of what is not an event it hears where one of its users
// is, not where one is only invited.
//
// It never changes an event, and holds no queue in memory that the database does not have too.
package sender

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Options are what a Sender works with. All but Transport and Log are required.
type Options struct {
	DB         *store.DB
	Bus        notify.Bus
	ServerName string
	// Registrations returns the registrations that hold now: the same pointer until they change.
	Registrations func() *registration.Set
	// Transport returns the in-memory transport to a service that runs in this process, and nil for one that is reached over
	// the network. A service of this process has more time to acknowledge a transaction.
	Transport func(*registration.Registration) http.RoundTripper
	// PresenceMembers is the size of the rooms, in members, whose members hear of each other's presence.
	PresenceMembers int
	Log             zerolog.Logger
}

// Sender sends to all application services. It is safe for concurrent use.
type Sender struct {
	opt     Options
	jitter  func(time.Duration) time.Duration
	network *http.Transport
	feed    *feed
	reload  chan struct{} // holds one
	lookups lookups       // of third-party networks
	users   lookups       // of users that there are not

	mu      sync.Mutex // guards all below
	set     *registration.Set
	all     []*client // in the order of set
	running map[string]*run
	live    Live              // nil for none
	ready   *registration.Set // the registrations for which all is stored that must be
	clock   streamClock
}

// run is a worker at work.
type run struct {
	*worker
	stop    context.CancelFunc
	done    chan struct{}
	alarmed bool // it was said that the service is behind; guarded by Sender.mu
}

// New returns a Sender that does not follow the stream before Run, but answers queries and pings at once.
func New(opt Options) *Sender {
	return &Sender{
		opt:     opt,
		jitter:  fullJitter,
		network: newTransport(),
		feed:    newFeed(opt.DB, opt.Log),
		reload:  make(chan struct{}, 1),
		running: make(map[string]*run),
	}
}

// Prepare makes cursors for the services that were never seen before. What enters the stream after it returns reaches them;
// without it, what enters before Run has come so far may not.
func (s *Sender) Prepare(ctx context.Context) error {
	s.clients()
	s.mu.Lock()
	all, set := s.all, s.set // of each other, whoever looks at the registrations meanwhile
	done := set != nil && s.ready == set
	s.mu.Unlock()
	if done {
		return nil
	}
	for _, c := range all {
		if c.base == "" {
			continue
		}
		if _, err := openCursor(ctx, s.opt.DB, c.reg.ID); err != nil {
			return fmt.Errorf("cursor of application service %s: %w", c.reg.ID, err)
		}
	}
	if err := s.settle(ctx, all); err != nil {
		return fmt.Errorf("record which application services take messages to devices: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = set
	return nil
}

// Run follows the stream and sends, until ctx ends; then it returns nil, after at most the time that a transaction under way is
// given for its acknowledgement. An error means that the database could not be read at the start.
func (s *Sender) Run(ctx context.Context) error {
	err := s.Prepare(ctx)
	if err == nil {
		if err = s.feed.open(ctx); err != nil {
			err = fmt.Errorf("find the end of the stream: %w", err)
		}
	}
	if ctx.Err() != nil {
		return nil // it ended before anything had begun
	}
	if err != nil {
		return err
	}
	var reader sync.WaitGroup
	// These return no errors.
	reader.Go(func() { _ = notify.Follow(ctx, s.opt.Bus, tick, s.feed.look, notify.Events) })
	reader.Go(func() { _ = notify.Follow(ctx, s.opt.Bus, tick, s.feed.lookBeside, notify.Anything) })
	defer reader.Wait()
	defer s.closeIdle()
	defer s.stop(func(*run) bool { return true })
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.reconcile(ctx)
		s.watch(ctx)
		select {
		case <-ctx.Done():
		case <-s.reload:
		case <-ticker.C:
		}
	}
	return nil
}

func (s *Sender) closeIdle() {
	for _, c := range s.clients() {
		c.http.CloseIdleConnections()
	}
}

// Reload has Run look at the registrations now. Without it, a change is noticed some seconds later.
func (s *Sender) Reload() { ring(s.reload) }

// Kick has a service that is waiting after a failure tried again at once.
func (s *Sender) Kick(appServiceID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.running[appServiceID]; r != nil {
		ring(r.kick)
	}
}

// Attend has the services that want it told of what is live. It is called before Run.
func (s *Sender) Attend(live Live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = live
	s.feed.attend(live)
}

// Alive says that a service has shown a sign of life: one that is waiting after a failure is tried again, unless that has just been
// done. It costs next to nothing.
func (s *Sender) Alive(appServiceID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.running[appServiceID]; r != nil && r.health.wake() {
		ring(r.alive)
	}
}

// reconcile ends the workers of services that are gone or changed, and starts those that are missing.
func (s *Sender) reconcile(ctx context.Context) {
	if err := s.Prepare(ctx); err != nil && ctx.Err() == nil {
		s.opt.Log.Err(err).Msg("Cannot take up changed registrations")
	}
	all := s.clients()
	current := make(map[string]*client, len(all))
	aliases, besides := false, false
	for _, c := range all {
		if c.base != "" {
			current[c.reg.ID] = c
			aliases = aliases || c.hasAliases()
			besides = besides || c.reg.ReceiveEphemeral || c.reg.MSC3202
		}
	}
	s.stop(func(r *run) bool { return current[r.client.reg.ID] != r.client })
	s.feed.want(len(current) > 0, aliases, besides)
	s.mu.Lock()
	defer s.mu.Unlock()
	for appServiceID, c := range current {
		if s.running[appServiceID] == nil {
			s.running[appServiceID] = s.start(ctx, c)
		}
	}
}

func (s *Sender) start(ctx context.Context, c *client) *run {
	ctx, cancel := context.WithCancel(ctx)
	r := &run{stop: cancel, done: make(chan struct{}), worker: &worker{
		client:   c,
		db:       s.opt.DB,
		feed:     s.feed,
		interest: newInterest(c.matcher),
		log:      s.opt.Log.With().Str("appservice", c.reg.ID).Logger(),
		jitter:   s.jitter,
		kick:     make(chan struct{}, 1),
		alive:    make(chan struct{}, 1),
		beside: beside{
			ephemeral: c.reg.ReceiveEphemeral, devices: c.reg.MSC3202, live: s.live, presenceMembers: s.opt.PresenceMembers,
			typing: make(map[int64][]id.UserID), told: make(map[int64]bool),
		},
	}}
	go func() {
		defer close(r.done)
		defer cancel()
		r.run(ctx)
	}()
	return r
}

// stop ends the workers that which is true for and waits for them.
func (s *Sender) stop(which func(*run) bool) {
	var ended []*run
	s.mu.Lock()
	for appServiceID, r := range s.running {
		if which(r) {
			delete(s.running, appServiceID)
			ended = append(ended, r)
		}
	}
	s.mu.Unlock()
	for _, r := range ended {
		r.stop()
	}
	for _, r := range ended {
		<-r.done
	}
}

// ring rings a bell that may be ringing already.
func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
