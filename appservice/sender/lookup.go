package sender

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// What services say of third-party networks is asked for by anybody, and changes rarely: answers are remembered for a while, and failures for
// long enough that a service that hangs is not waited for by everybody who asks.
const (
	lookupTimeout = 5 * time.Second
	protocolKept  = time.Minute
	answerKept    = 10 * time.Second // who and what is there comes and goes
	failureKept   = 20 * time.Second
	// maxLookups bounds the questions that are remembered or under way. When all are under way, further ones are not asked.
	maxLookups = 1000
)

// errNone is for a service that knows nothing of what it is asked for.
var errNone = errors.New("the application service knows nothing of it")

// question is what a service is asked. path is escaped already, and has the query.
type question struct {
	client   *client
	protocol string
	path     string
	kept     time.Duration // for how long the answer is remembered
}

// found is what a service says to a question: body, or why there is none.
type found struct {
	question
	body []byte
	err  error
}

// lookups remembers questions. The zero value is ready for use.
type lookups struct {
	mu  sync.Mutex // guards all, and the entries' until
	all map[lookupKey]*lookup
}

// lookupKey has the client and not its id: when a registration changes there is another.
type lookupKey struct {
	client *client
	path   string
}

type lookup struct {
	until time.Time     // when it is to be asked again; zero while it is under way
	done  chan struct{} // closed when body and err are set
	body  []byte
	err   error
}

// lookUpAll asks all questions at once, and returns what was said to them in their order. What takes too long is an error of its own.
func (s *Sender) lookUpAll(ctx context.Context, asked []question) []found {
	answers := make([]found, len(asked))
	var waiting sync.WaitGroup
	for i, q := range asked {
		waiting.Go(func() {
			answers[i] = found{question: q}
			l := s.lookups.look(q, s.askFor)
			if l == nil {
				answers[i].err = respError(http.StatusServiceUnavailable, "M_CONNECTION_TIMEOUT", "The application services are being asked too much")
				return
			}
			select {
			case <-l.done:
				answers[i].body, answers[i].err = l.body, l.err
			case <-ctx.Done():
				answers[i].err = ctx.Err()
			}
		})
	}
	waiting.Wait()
	return answers
}

// look returns the entry of a question, which it has asked if nobody has of late; nil when there are too many.
func (k *lookups) look(q question, ask func(question, *lookup)) *lookup {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, now := lookupKey{q.client, q.path}, time.Now()
	if l := k.all[key]; l != nil && !l.past(now) {
		return l
	}
	if !k.makeRoom(now) {
		return nil
	}
	l := &lookup{done: make(chan struct{})}
	if k.all == nil {
		k.all = make(map[lookupKey]*lookup)
	}
	k.all[key] = l
	go ask(q, l)
	return l
}

// settle says what was found, and for how long it holds.
func (k *lookups) settle(l *lookup, body []byte, err error, kept time.Duration) {
	k.mu.Lock()
	l.body, l.err, l.until = body, err, time.Now().Add(kept)
	k.mu.Unlock()
	close(l.done)
}

func (l *lookup) past(now time.Time) bool { return !l.until.IsZero() && !now.Before(l.until) }

// makeRoom forgets what is past, and if need be one that is not. k.mu is held.
func (k *lookups) makeRoom(now time.Time) bool {
	if len(k.all) < maxLookups {
		return true
	}
	var spare *lookupKey
	for key, l := range k.all {
		switch {
		case l.past(now):
			delete(k.all, key)
		case !l.until.IsZero():
			spare = &key
		}
	}
	if len(k.all) >= maxLookups && spare != nil {
		delete(k.all, *spare)
	}
	return len(k.all) < maxLookups
}

// askFor asks a question on behalf of all who wait for it, whoever of them goes: it ends by itself.
func (s *Sender) askFor(q question, l *lookup) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	a, err := q.client.call(ctx, http.MethodGet, q.path, nil)
	kept, body := q.kept, []byte(nil)
	switch {
	case isTimeout(err):
		err = respError(http.StatusGatewayTimeout, "M_CONNECTION_TIMEOUT", "Application service %s did not answer in time", q.client.reg.ID)
	case err != nil:
		err = s.unreachable(q.client, err)
	case a.status == http.StatusNotFound:
		err = errNone
	case a.status != http.StatusOK:
		err = respError(http.StatusBadGateway, "M_BAD_STATUS", "Application service %s answered with status %d", q.client.reg.ID, a.status)
	default:
		body = a.body
	}
	if err != nil && !errors.Is(err, errNone) {
		kept = failureKept
	}
	s.lookups.settle(l, body, err, kept)
}
