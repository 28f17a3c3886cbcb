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
// It never changes an event, holds no queue in memory that the database does not have too, and sends no ephemeral data.
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
	Log       zerolog.Logger
}

// Sender sends to all application services. It is safe for concurrent use.
type Sender struct {
	opt     Options
	jitter  func(time.Duration) time.Duration
	network *http.Transport
	feed    *feed
	reload  chan struct{} // holds one
	lookups lookups       // of third-party networks

	mu      sync.Mutex // guards all below
	set     *registration.Set
	all     []*client // in the order of set
	running map[string]*run
}

// run is a worker at work.
type run struct {
	*worker
	stop context.CancelFunc
	done chan struct{}
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
	for _, c := range s.clients() {
		if c.base == "" {
			continue
		}
		if _, err := openCursor(ctx, s.opt.DB, c.reg.ID); err != nil {
			return fmt.Errorf("cursor of application service %s: %w", c.reg.ID, err)
		}
	}
	return nil
}

// Run follows the stream and sends, until ctx ends; then it returns nil, after at most the time that a transaction under way is
// given for its acknowledgement. An error means that the database could not be read at the start.
func (s *Sender) Run(ctx context.Context) error {
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	if err := s.feed.open(ctx); err != nil {
		return fmt.Errorf("find the end of the stream: %w", err)
	}
	var reader sync.WaitGroup
	reader.Go(func() { _ = notify.Follow(ctx, s.opt.Bus, tick, s.feed.look, notify.Events) }) // look returns no error
	defer reader.Wait()
	defer s.closeIdle()
	defer s.stop(func(*run) bool { return true })
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.reconcile(ctx)
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

// Status tells how the services with a URL are doing, in no order. It is empty while Run is not running.
func (s *Sender) Status() []Status {
	end := s.feed.position()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.running))
	for appServiceID, r := range s.running {
		status, _ := r.health.get()
		status.ID, status.Behind = appServiceID, max(0, end-status.Pos)
		all = append(all, status)
	}
	return all
}

// reconcile ends the workers of services that are gone or changed, and starts those that are missing.
func (s *Sender) reconcile(ctx context.Context) {
	all := s.clients()
	current := make(map[string]*client, len(all))
	aliases := false
	for _, c := range all {
		if c.base != "" {
			current[c.reg.ID] = c
			aliases = aliases || c.hasAliases()
		}
	}
	s.stop(func(r *run) bool { return current[r.client.reg.ID] != r.client })
	s.feed.want(len(current) > 0, aliases)
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
