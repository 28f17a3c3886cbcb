package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"causeway/registration"
)

const (
	// firstPause is the longest time before a child that died is started again; it doubles with each death in a row up
	// to maxPause.
	firstPause = 500 * time.Millisecond
	maxPause   = time.Minute
	// steadyAfter is how long a child has to run for its predecessors' deaths to be forgotten.
	steadyAfter = 10 * time.Minute
	// downAfter is how many deaths in a row make a bridge one that is down, rather than one that had an accident.
	downAfter = 10
	// stopWait is how long a child may take to say goodbye: longer than bridges.Bridge takes.
	stopWait = 20 * time.Second
)

// Child is a bridge in a child process, as its parent sees it. Make it with NewChild, then Run it.
type Child struct {
	place     Place
	reg       *registration.Registration
	command   func() *exec.Cmd
	job       []byte
	log       zerolog.Logger
	transport *http.Transport
	pause     time.Duration // firstPause, but in tests

	mu      sync.Mutex // guards what follows
	pid     int        // 0 while there is none
	started time.Time
	deaths  int // in a row
	words   string
}

// NewChild describes a child that does not run yet. The command is made anew for each start; what it reads from its
// standard input is the job, and then nothing for as long as it is to run.
func NewChild(place Place, reg *registration.Registration, job []byte, log zerolog.Logger, command func() *exec.Cmd) *Child {
	return &Child{
		place: place, reg: reg, command: command, job: job, log: log,
		transport: transportTo(place.socket()), pause: firstPause,
	}
}

// Registration is what the homeserver must know of the bridge.
func (c *Child) Registration() *registration.Registration { return c.reg }

// Transport carries the homeserver's requests to the bridge. They fail while no child runs.
func (c *Child) Transport() http.RoundTripper { return c.transport }

// Close has nothing to close: a child that is never run has nothing open here.
func (c *Child) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Status is how a child is doing.
type Status struct {
	PID       int    `json:"pid,omitempty"`     // 0 while none runs
	Crashes   int    `json:"crashes,omitempty"` // in a row
	Down      bool   `json:"down,omitempty"`    // it crashes whenever it is started
	LastWords string `json:"last_words,omitempty"`
}

// Status tells how the child is doing now.
func (c *Child) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	deaths := c.deaths
	if c.pid != 0 && time.Since(c.started) >= steadyAfter {
		deaths = 0
	}
	return Status{PID: c.pid, Crashes: deaths, Down: deaths >= downAfter, LastWords: c.words}
}

// Run keeps a child running until ctx ends, then has it stop in good order and returns nil.
func (c *Child) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		words, err := c.once(ctx)
		if ctx.Err() != nil {
			break
		}
		pause := c.died(words, err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// died notes the end of a child that was not asked to end, and says how long to wait before the next.
func (c *Child) died(words string, err error) time.Duration {
	reason := "it ended by itself"
	if err != nil {
		reason = err.Error()
	}
	if words != "" {
		reason += "; its last words: " + words
	}
	c.mu.Lock()
	if c.pid != 0 && time.Since(c.started) >= steadyAfter {
		c.deaths = 0
	}
	c.pid = 0
	c.deaths++
	c.words = reason
	deaths := c.deaths
	c.mu.Unlock()
	pause := backoff(c.pause, deaths)
	event := c.log.Warn()
	if deaths >= downAfter {
		event = c.log.Error()
	}
	event.Int("crashes", deaths).Str("pause", pause.Round(time.Millisecond).String()).
		Msg("The bridge's process has ended, and is started again: " + reason)
	return pause
}

// backoff is the pause after so many deaths in a row. Its second half is chosen at random, so that bridges which died
// of the same thing do not all come back at once.
func backoff(first time.Duration, deaths int) time.Duration {
	longest := first
	for n := 1; n < deaths && longest < maxPause; n++ {
		longest *= 2
	}
	longest = min(longest, maxPause)
	return longest/2 + rand.N(longest/2+1)
}

// once runs one child to its end, and returns what it said last.
func (c *Child) once(ctx context.Context) (words string, err error) {
	cmd := c.command()
	dieWithParent(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	output, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	cmd.Stdout = cmd.Stderr
	ended := make(chan error, 1)
	begun := make(chan error, 1)
	said := &lastWords{}
	go func() {
		// The kernel takes for the parent the thread that started the child. This one stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err != nil {
			return
		}
		relay(output, c.log, said)
		ended <- cmd.Wait()
	}()
	if err := <-begun; err != nil {
		return "", fmt.Errorf("start the bridge's process: %w", err)
	}
	c.mu.Lock()
	c.pid, c.started = cmd.Process.Pid, time.Now()
	c.mu.Unlock()
	c.log.Info().Int("pid", cmd.Process.Pid).Msg("The bridge's process runs")
	handOver := make(chan struct{})
	go func() {
		defer close(handOver)
		_, _ = stdin.Write(c.job) // a child that ended meanwhile has said why
	}()
	err = c.await(ctx, cmd, func() {
		select {
		case <-handOver: // so that it knows what it is to stop
		case <-time.After(dialTimeout):
		}
		_ = stdin.Close()
	}, ended)
	_ = stdin.Close()
	<-handOver
	return said.String(), err
}

// await returns when the child has ended, which it is told to when ctx ends, and made to when it does not.
func (c *Child) await(ctx context.Context, cmd *exec.Cmd, tell func(), ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	tell()
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil {
			c.log.Warn().Err(err).Msg("The bridge's process did not end well")
		}
		return err
	case <-timer.C:
		c.log.Error().Msg("The bridge's process does not stop, and is killed")
		_ = cmd.Process.Kill()
		return <-ended
	}
}
