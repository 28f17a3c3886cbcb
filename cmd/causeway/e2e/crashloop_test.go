package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	// loopsEnv says how often TestCrashLoop kills on each engine.
	loopsEnv     = "CRASH_LOOPS"
	defaultLoops = 3

	// minAcknowledged and maxAcknowledged bound the requests between two kills.
	minAcknowledged, maxAcknowledged = 20, 400
	// maxDelay is how long after the last of these the kill comes at most.
	maxDelay = 20 * time.Millisecond
	// maxStartup is how long a start may go on before it is killed, in some rounds.
	maxStartup = 150 * time.Millisecond
)

// crashLoops is how often to kill.
func crashLoops(t *testing.T) int {
	t.Helper()
	value := os.Getenv(loopsEnv)
	if value == "" {
		return defaultLoops
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number of at least 1", loopsEnv, value)
	}
	return n
}

// TestCrashLoop kills the server at random moments while users write, and on
// PostgreSQL also the database, or both: nothing that was acknowledged is lost,
// nothing is done twice, no room is made by half, and the database is sound.
func TestCrashLoop(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { newCrasher(t, nil).loop(t) })
	t.Run("PostgreSQL", func(t *testing.T) { newCrasher(t, newPostgres(t, "", "")).loop(t) })
}

// crasher is a server under load, and who kills it.
type crasher struct {
	*load
	server   *causeway
	postgres *ownPostgres // nil on SQLite
	random   *rand.Rand
}

// victims are what is killed in a round; the rounds take turns.
var victims = []struct {
	name             string
	server, database bool
	startup          bool // the server is killed once more while it starts
}{
	{name: "server", server: true},
	{name: "database", database: true},
	{name: "server, twice", server: true, startup: true},
	{name: "server and database", server: true, database: true},
}

func newCrasher(t *testing.T, postgres *ownPostgres) *crasher {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	o := options{}
	if postgres != nil {
		o.database = postgres.url()
	}
	c := &crasher{server: install(t, o), postgres: postgres, random: rand.New(rand.NewPCG(seed, seed))}
	c.interruptStart() // in the middle of the migrations, perhaps
	c.server.start()
	c.load = newLoad(t, c.server, seed)
	return c
}

// within waits for a random time, as one who pulls a plug does.
func (c *crasher) within(limit time.Duration) {
	<-time.After(time.Duration(c.random.Int64N(int64(limit))))
}

func (c *crasher) interruptStart() {
	c.server.launch()
	c.within(maxStartup)
	c.server.kill()
}

func (c *crasher) loop(t *testing.T) {
	total := int64(0)
	for i := range crashLoops(t) {
		v := victims[i%len(victims)]
		r := c.begin(t, false)
		c.awaitMoment(t, r)
		if v.server || c.postgres == nil {
			c.server.kill()
		}
		if v.database && c.postgres != nil {
			c.postgres.kill()
		}
		r.end()
		total += r.acked.Load()
		if failed := r.failed.Load(); failed > 0 && !v.database {
			t.Errorf("round %d (%s): %d requests failed before the kill, want none", i, v.name, failed)
		}
		c.revive(v.startup)
		c.audit(t)
		if t.Failed() {
			t.Fatalf("in round %d: %s", i, v.name)
		}
	}
	c.server.kill()
	c.server.doctor(t)
	t.Logf("%d requests were acknowledged in %d rounds", total, crashLoops(t))
}

// awaitMoment returns at a random moment while the writers write.
func (c *crasher) awaitMoment(t *testing.T, r *run) {
	t.Helper()
	r.await(t, "requests acknowledged", &r.acked, minAcknowledged+c.random.Int64N(maxAcknowledged-minAcknowledged))
	c.within(maxDelay)
}

// revive starts what was killed. A server that was not must do without.
func (c *crasher) revive(interrupted bool) {
	if c.postgres != nil && !c.postgres.server.running() {
		c.postgres.start()
	}
	if c.server.running() {
		return
	}
	if interrupted {
		c.interruptStart()
	}
	c.server.start()
}
